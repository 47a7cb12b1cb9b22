"""Tides, traffic and letters: gradients that explode, units that are stuck, and batches that don't belong."""

from __future__ import annotations

import copy
import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, RMSprop

from tests.diagnosis.data import Part, digits, split
from tests.diagnosis.proof import accuracy, double, loss_of, outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


def behind(loss: float, better: float, times: float = 1.5) -> None:
    """Raise NotProvenError unless a loss is so many times that of a sound training; NaN is as bad as it gets."""
    require(math.isfinite(better) and not loss < times * better, f"{loss:.4g} is not {times:g} times {better:.4g}")


def tides(seed: int, *, length: int = 48) -> Part:
    """Return the level of the sea at hours, [n, length, 2] with the hour's wind, and that of the next one, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    phase = 6.28 * torch.rand(800, 2, generator=generator)
    hours = torch.arange(length + 1.0)
    level = (hours / 2.0 + phase[:, :1]).sin() + 0.6 * (hours / 3.7 + phase[:, 1:]).sin()
    wind = torch.randn(800, length + 1, generator=generator)
    level = level + 0.05 * torch.randn(800, length + 1, generator=generator)
    level[:, 1:] += 0.2 * wind[:, :-1]
    return Part(torch.stack([level, wind], 2)[:, :-1], level[:, -1:])


class Tide(nn.Module):
    """A plain recurrent network with ReLU; says the next level."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.RNN(2, 40, nonlinearity="relu", batch_first=True), nn.Linear(40, 1)
        nn.init.normal_(self.rnn.weight_ih_l0, 0.0, 0.3)
        nn.init.normal_(self.rnn.weight_hh_l0, 0.0, 0.3)

    def forward(self, levels: Tensor) -> Tensor:
        """Return [n, 1] of [n, hours, 2]."""
        told: Tensor = self.head(self.rnn(levels)[0][:, -1])
        return told


def growth(model: Tide, part: Part) -> float:
    """Return how many times the gradient of the first hour's state is that of the last one's, in float64."""
    precise = double(model)
    weight = dict(precise.rnn.named_parameters()) if isinstance(precise.rnn, nn.RNN) else {}
    state, states = torch.zeros(len(part.targets), 40, dtype=torch.float64), []
    for seen in part.inputs.double().unbind(1):
        inner = functional.linear(seen, weight["weight_ih_l0"], weight["bias_ih_l0"])
        state = (inner + functional.linear(state, weight["weight_hh_l0"], weight["bias_hh_l0"])).relu()
        states.append(state)
    loss = functional.mse_loss(precise.get_submodule("head")(state), part.targets.double())
    first, last = torch.autograd.grad(loss, [states[0], states[-1]])
    return float(first.norm() / last.norm())


def next_tide(trial: Trial) -> Truth:
    """nn.RNN with ReLU over two days, weights drawn with a deviation of 0.3, and nothing clips the gradients."""
    data, model, criterion = tides(trial.seed), Tide(), nn.MSELoss()
    other = copy.deepcopy(model)
    recurrent = dict(other.named_parameters())["rnn.weight_hh_l0"]
    with torch.no_grad():
        recurrent.copy_(0.9 * torch.eye(40))
    grown, sound = growth(model, data.first(64)), growth(other, data.first(64))
    require(grown > 500 and sound < 10, f"gradients grow {grown:.3g}-fold, and {sound:.3g}-fold where it is sound")
    optimizer, draw = Adam(model.parameters(), lr=1e-3), data.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, steps=200)
    optimizer, draw = Adam(other.parameters(), lr=1e-3), data.batches(32, trial.seed)
    behind(history.end, control(other, draw, optimizer, criterion, steps=200, clip=1.0), 3)
    return Truth(("rnn",), 0, 5)


class Gather(nn.Module):
    """Adds up what is at the neighbours, or takes its mean, and passes it through a linear layer."""

    def __init__(self, edges: Tensor, inputs: int, made: int) -> None:
        super().__init__()
        self.register_buffer("edges", edges, persistent=False)
        self.linear = nn.Linear(inputs, made)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return [n, made]."""
        made: Tensor = self.linear(self.edges @ nodes).relu()
        return made


class Roads(nn.Module):
    """Six rounds over the junctions of a town; says how much traffic each will have."""

    def __init__(self, edges: Tensor) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(Gather(edges, a, b) for a, b in pairwise([5, *[32] * 6])))
        self.head = nn.Linear(32, 1)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return [n, 1]."""
        told: Tensor = self.head(self.layers(nodes))
        return told


def junctions(trial: Trial) -> Truth:
    """Six layers that add up some twenty neighbours each: sums grow forwards, and gradients on their way back."""
    generator = torch.Generator().manual_seed(trial.seed)
    places = torch.rand(150, 2, generator=generator)
    near = (torch.cdist(places, places) < 0.23).float()
    days, shares = torch.randn(100, 150, 5, generator=generator), near / near.sum(1, keepdim=True)
    busy = shares @ days[..., :1].sin() + shares @ shares @ (days[..., 1:2] * days[..., 2:3]) + 0.3 * days[..., 3:4]
    data = split(days, busy / busy.std(), 20, trial.seed)
    model, other = Roads(near), Roads(shares)
    other.load_state_dict(model.state_dict())
    criterion, losses = nn.MSELoss(), []
    grown = []
    for network in (model, other):
        precise = double(network)
        held: list[Tensor] = []
        for layer in precise.get_submodule("layers").children():
            layer.register_forward_hook(lambda _module, _inputs, made, held=held: held.append(made))
        loss = criterion(precise(data.train.inputs[:4].double()), data.train.targets[:4].double())
        first, last = torch.autograd.grad(loss, [held[0], held[-1]])
        grown.append(float(first.norm() / last.norm()))
    require(grown[0] > 1e3 and grown[1] < 10, f"gradients grow {grown[0]:.3g}-fold, of means {grown[1]:.3g}-fold")
    optimizer, draw = RMSprop(model.parameters(), lr=1e-3), data.train.batches(4, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(160):
            days, counted = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(days), counted)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/mse", losses[-1], writer.step)
            if step % 40 == 39:
                writer.add_scalar("val/mse", evaluate(model, criterion, data.held_out), writer.step)
    optimizer, draw = RMSprop(other.parameters(), lr=1e-3), data.train.batches(4, trial.seed)
    behind(sum(losses[-16:]) / 16, control(other, draw, optimizer, criterion, steps=160), 3)
    return Truth((*(f"layers.{at}" for at in range(6)), *(f"layers.{at}.linear" for at in range(6))), 0, 5)


class Reader(nn.Module):
    """Four tanh layers of a hundred units over digits, with weights that its author draws."""

    def __init__(self, spread: float | None) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3, self.fc4 = (nn.Linear(n, 100) for n in (64, 100, 100, 100))
        self.act1, self.act2, self.act3, self.act4 = (nn.Tanh() for _ in range(4))
        self.out = nn.Linear(100, 10)
        for layer in (self.fc1, self.fc2, self.fc3, self.fc4):
            nn.init.normal_(layer.weight, 0.0, layer.in_features**-0.5 if spread is None else spread)
            nn.init.zeros_(layer.bias)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return scores [n, 10]."""
        hidden = self.act2(self.fc2(self.act1(self.fc1(pixels))))
        scores: Tensor = self.out(self.act4(self.fc4(self.act3(self.fc3(hidden)))))
        return scores


def from_scratch(trial: Trial) -> Truth:
    """`nn.init.normal_(layer.weight, 0, 1)`, as in a course that uses randn: the tanh stand at one or minus one."""
    data, model, other, losses = digits(trial.seed), Reader(1.0), Reader(None), []
    optimizer, draw = SGD(model.parameters(), lr=0.05), data.train.batches(64, trial.seed)
    stuck = [float((outputs(model, f"act{at}", data.train.inputs).abs() > 0.95).double().mean()) for at in range(1, 5)]
    with trial.writer() as writer:
        writer.watch(model, optimizer, nn.CrossEntropyLoss(), every=1, on_finding="ignore")
        for step in range(240):
            pixels, classes = draw(step)
            scores = model(pixels)
            loss = functional.cross_entropy(scores, classes)
            writer.observe(outputs=scores, targets=classes, loss=loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("Loss", losses[-1], writer.step)
            right = (scores.argmax(1) == classes).float().mean()
            writer.add_scalar("Accuracy", float(right), writer.step)
    after = [float((outputs(model, f"act{at}", data.train.inputs).abs() > 0.95).double().mean()) for at in range(1, 5)]
    require(min(stuck) > 0.7 and min(after) > 0.7, f"shares of the units that are stuck: {stuck}, {after}")
    control(other, data.train.batches(64, trial.seed), SGD(other.parameters(), lr=0.05))
    should, does = accuracy(other, data.held_out), accuracy(model, data.held_out)
    require(does < should - 0.15, f"an accuracy of {does:.3f} is not below {should:.3f}")
    return Truth(tuple(f"{kind}{at}" for kind in ("act", "fc") for at in range(1, 5)))


class Scored(nn.Module):
    """Attention of one head whose scores are multiplied by a number."""

    def __init__(self, width: int, scale: float) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.softmax, self.scale = nn.Softmax(dim=-1), scale
        for layer in (self.query, self.key, self.value):
            nn.init.xavier_uniform_(layer.weight)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return what each place takes from all."""
        scores = self.query(hidden) @ self.key(hidden).transpose(1, 2) * self.scale
        taken: Tensor = self.softmax(scores) @ self.value(hidden)
        return taken


class Letters(nn.Module):
    """Reads letters behind a token that is to gather what they say: which of three is told most often."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(16, 64), nn.Parameter(0.5 * torch.randn(26, 64))
        self.attn1, self.attn2 = Scored(64, scale), Scored(64, scale)
        self.norm1, self.norm2, self.head = nn.LayerNorm(64), nn.LayerNorm(64), nn.Linear(64, 3)

    def forward(self, letters: Tensor) -> Tensor:
        """Return scores [n, 3] of [n, 25]."""
        hidden = self.embed(functional.pad(letters, (1, 0), value=15)) + self.place
        hidden = hidden + self.attn1(self.norm1(hidden))
        hidden = hidden + self.attn2(self.norm2(hidden))
        scores: Tensor = self.head(hidden[:, 0])
        return scores


def stuck_attention(model: Letters, letters: Tensor) -> float:
    """Return the least share over both layers of the places that give one other place more than 0.95."""
    given = [outputs(model, f"attn{at}.softmax", letters).amax(-1) > 0.95 for at in (1, 2)]
    return min(float(one.double().mean()) for one in given)


def multiplied(trial: Trial) -> Truth:
    """Scores of attention are multiplied by the root of the width, where they are to be divided by it."""
    generator = torch.Generator().manual_seed(trial.seed)
    told = torch.randint(3, (2000, 1), generator=generator)
    letters = torch.randint(15, (2000, 25), generator=generator)
    letters = torch.where(torch.rand(2000, 25, generator=generator) < 0.2, told, letters)
    most = torch.stack([(letters == one).sum(1) for one in range(3)], 1).argmax(1)
    data, model, other = split(letters, most, 400, trial.seed), Letters(64**0.5), Letters(64**-0.5)
    other.load_state_dict(model.state_dict())
    before = stuck_attention(model, data.held_out.inputs)
    optimizer, draw = Adam(model.parameters(), lr=1e-3), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=None, steps=250)
    after = stuck_attention(model, data.held_out.inputs)
    require(min(before, after) > 0.6, f"shares of the places that are stuck: {before:.3f}, {after:.3f}")
    better = control(other, data.train.batches(32, trial.seed), Adam(other.parameters(), lr=1e-3), steps=250)
    behind(history.end, better, 1.4)
    behind(loss_of(model, data.held_out), loss_of(other, data.held_out), 1.4)
    return Truth(tuple(f"attn{at}{part}" for at in (1, 2) for part in ("", ".softmax", ".query", ".key")))


BESIDE = ("poor_init", "loss_spike", "loss_oscillation", "lr_too_high", "dead_units", "loss_plateau", "underfitting")

SCENARIOS = (
    Scenario(
        "elm-exploding-tides-rnn",
        "rnn",
        TUNING,
        next_tide,
        ("exploding_gradient", "poor_init"),
        (*BESIDE, "nonfinite"),
    ),
    Scenario(
        "elm-exploding-roads-gnn",
        "gnn",
        TUNING,
        junctions,
        ("exploding_gradient",),
        (*BESIDE, "oversmoothing", "redundant_units", "representation_collapse"),
    ),
    Scenario(
        "elm-saturation-randn-mlp",
        "mlp",
        TUNING,
        from_scratch,
        ("saturation", "poor_init"),
        ("exploding_gradient", "overfitting", "loss_oscillation", "lr_too_high", "loss_plateau", "underfitting"),
    ),
    Scenario(
        "elm-saturation-scores-transformer",
        "transformer",
        TUNING,
        multiplied,
        ("saturation",),
        ("vanishing_gradient", "loss_plateau", "underfitting", "overfitting", "poor_init", "exploding_gradient"),
    ),
)
