"""Weights drawn by hand, scores multiplied, degrees in Kelvin, rows in order: beginnings and swings of the loss."""

from __future__ import annotations

import copy
import math
from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, AdamW, RMSprop

from tests.diagnosis.data import Part, communities, digits, split
from tests.diagnosis.networks import Attention, GraphConvolution, mlp
from tests.diagnosis.proof import accuracy, loss_of, outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


def harmed(does: float, should: float, times: float = 1.5) -> None:
    """Raise NotProvenError unless a loss is so many times that without the fault."""
    require(does > times * should, f"the loss {does:.4g} is not {times:g} times {should:.4g}")


class Dense(nn.Module):
    """A linear layer written by hand, as in a course with NumPy."""

    def __init__(self, inputs: int, made: int, *, scaled: bool) -> None:
        super().__init__()
        weight = torch.randn(inputs, made)
        self.weight = nn.Parameter(weight / math.sqrt(inputs) if scaled else weight)
        self.bias = nn.Parameter(torch.zeros(made))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return [n, made]."""
        return inputs @ self.weight + self.bias


def by_hand(*, scaled: bool) -> nn.Sequential:
    """Return three hidden layers of tanh over digits, and a head."""
    layers: dict[str, nn.Module] = {}
    for number, inputs in enumerate((64, 100, 100), start=1):
        layers |= {f"dense{number}": Dense(inputs, 100, scaled=scaled), f"tanh{number}": nn.Tanh()}
    return nn.Sequential(OrderedDict(layers | {"out": nn.Linear(100, 10)}))


def drawn_by_hand(trial: Trial) -> Truth:
    """`nn.Parameter(torch.randn(inputs, outputs))` in a layer of one's own, and tanh: nearly all units are at ±1."""
    torch.manual_seed(trial.seed)
    data, model, other = digits(trial.seed), by_hand(scaled=False), by_hand(scaled=True)
    criterion, optimizer, draw = nn.CrossEntropyLoss(), SGD(model.parameters(), lr=0.03), data.train.batches(32)
    losses = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(240):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train_loss", loss.item(), writer.step)
    for number in (1, 2, 3):
        share = float((outputs(model, f"tanh{number}", data.train.inputs).abs() > 0.97).double().mean())
        require(share > 0.6, f"{share:.2f} of tanh{number} is at its ends")
    control(other, data.train.batches(32), SGD(other.parameters(), lr=0.03))
    harmed(loss_of(model, data.held_out), loss_of(other, data.held_out))
    return Truth(tuple(f"{kind}{number}" for number in (1, 2, 3) for kind in ("tanh", "dense")))


class Shelf(nn.Module):
    """Looks up the value of the key that is asked for at the last place."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.keys, self.values = nn.Embedding(12, 48), nn.Embedding(7, 48)
        self.norm1, self.attention = nn.LayerNorm(48), Attention(48, 1, scale=scale)
        self.norm2, self.up, self.down = nn.LayerNorm(48), nn.Linear(48, 96), nn.Linear(96, 48)
        self.head = nn.Linear(48, 6)

    def forward(self, pairs: Tensor) -> Tensor:
        """Return scores [n, 6] of [n, 9, 2]."""
        hidden = self.keys(pairs[..., 0]) + self.values(pairs[..., 1])
        hidden = hidden + self.attention(self.norm1(hidden))
        hidden = hidden + self.down(functional.gelu(self.up(self.norm2(hidden))))
        scores: Tensor = self.head(hidden[:, -1])
        return scores


def pairs(seed: int, count: int = 3000) -> tuple[Tensor, Tensor]:
    """Return eight keys with their values and one that is asked for, [n, 9, 2], and its value [n]."""
    generator = torch.Generator().manual_seed(seed)
    keys = torch.rand(count, 12, generator=generator).argsort(1)[:, :8]
    values = torch.randint(6, (count, 8), generator=generator)
    asked = torch.randint(8, (count, 1), generator=generator)
    keys = torch.cat([keys, keys.gather(1, asked)], 1)
    unknown = torch.full((count, 1), 6)
    return torch.stack([keys, torch.cat([values, unknown], 1)], 2), values.gather(1, asked)[:, 0]


def multiplied(trial: Trial) -> Truth:
    """`q @ k.T * math.sqrt(d)` where it ought to be divided: attention looks at one place from the first step on."""
    torch.manual_seed(trial.seed)
    data, model = split(*pairs(trial.seed), 500, trial.seed), Shelf(math.sqrt(48))
    other = Shelf(1 / math.sqrt(48))
    other.load_state_dict(model.state_dict())
    sure = outputs(model, "attention.softmax", data.held_out.inputs).amax(-1).median()
    optimizer = AdamW(model.parameters(), lr=1e-3)
    history = fit(trial, model, data.train.batches(32, trial.seed), optimizer, validation=data.held_out, steps=300)
    sure = min(sure, outputs(model, "attention.softmax", data.held_out.inputs).amax(-1).median())
    require(sure > 0.97, f"attention gives {sure:.3f} to one place")
    better = control(other, data.train.batches(32, trial.seed), AdamW(other.parameters(), lr=1e-3), steps=300)
    harmed(history.end, better)
    return Truth(("attention.softmax", "attention.qkv", "attention", "attention.out"))


class Reader(nn.Module):
    """Three layers whose activations are functions."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(64, 128), nn.Linear(128, 64), nn.Linear(64, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return scores [n, 10]."""
        hidden = functional.relu(self.fc1(inputs))
        scores: Tensor = self.fc3(functional.relu(self.fc2(hidden)))
        return scores


def all_alike(trial: Trial) -> Truth:
    """`nn.init.constant_(layer.weight, 0.02)` for every layer: all units of a layer are one and stay one."""
    torch.manual_seed(trial.seed)
    data, model, other = digits(trial.seed), Reader(), Reader()
    for layer in (model.fc1, model.fc2, model.fc3):
        nn.init.constant_(layer.weight, 0.02)
        nn.init.zeros_(layer.bias)
    criterion, optimizer = nn.CrossEntropyLoss(), SGD(model.parameters(), lr=0.05, momentum=0.9)
    draw, losses = data.train.batches(50, trial.seed), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(250):
            inputs, targets = draw(step)
            scores = model(inputs)
            loss = criterion(scores, targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(float(loss.detach()))
            writer.add_scalar("Loss", losses[-1], writer.step)
            writer.add_scalar("Accuracy", float((scores.argmax(1) == targets).float().mean()), writer.step)
    for name in ("fc1", "fc2"):
        weight = model.get_submodule(name).get_parameter("weight").detach()
        require((weight - weight.mean(0)).norm() < 0.01 * weight.norm(), f"the units of {name} differ")
    control(other, data.train.batches(50, trial.seed), SGD(other.parameters(), lr=0.05, momentum=0.9), steps=250)
    does, should = accuracy(model, data.held_out), accuracy(other, data.held_out)
    require(does < should - 0.2, f"{does:.3f} is not well below {should:.3f}")
    return Truth(("fc1", "fc2", "fc3"))


class Weather(nn.Module):
    """An LSTM over two days, every hour of which has three readings."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.linear = nn.LSTM(3, 32, batch_first=True), nn.Linear(32, 1)

    def forward(self, hours: Tensor) -> Tensor:
        """Return degrees [n, 1] of [n, 24, 3]."""
        told: Tensor = self.linear(self.lstm(hours)[0][:, -1])
        return told


def kelvin(trial: Trial) -> Truth:
    """The readings are standardised, the temperature to be told is in Kelvin, and the output begins at zero."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    phase, season = (6.28 * torch.rand(1500, 1, generator=generator) for _ in range(2))
    hour = torch.arange(25) * 6.28 / 24
    warm = 7 * season.sin() + 4 * (hour + phase).sin() + 0.5 * torch.randn(1500, 25, generator=generator)
    series = torch.stack([warm / 6, (hour + phase).cos().expand(-1, 25), torch.randn(1500, 25, generator=generator)], 2)
    data = split(series[:, :24], 285 + warm[:, 24:], 300, trial.seed)
    model, criterion = Weather(), nn.MSELoss()
    other = copy.deepcopy(model)
    nn.init.constant_(other.linear.bias, 285.0)
    optimizer = RMSprop(model.parameters(), lr=2e-3)
    draw, held_out = data.train.batches(64, trial.seed), data.held_out
    fit(trial, model, draw, optimizer, criterion, steps=300, validation=held_out, every=2)
    control(other, data.train.batches(64, trial.seed), RMSprop(other.parameters(), lr=2e-3), criterion, steps=300)
    best = float(held_out.targets.var())
    does, should = (loss_of(one, held_out, criterion) for one in (model, other))
    require(does > 5 * best > 10 * should, f"the loss is {does:.4g}, without the fault {should:.4g}, of {best:.4g}")
    return Truth(("linear",))


def mails(seed: int) -> Part:
    """Return what is known of 1,200 mails, [n, 12], and whether they are spam, [n, 1]: those that are stand last."""
    generator = torch.Generator().manual_seed(seed)
    spam = (torch.arange(1200) >= 600).float()[:, None]
    rows = torch.randn(1200, 12, generator=generator)
    rows[:, :4] += 0.5 * spam
    rows[:, 4:5] *= 1 + 0.5 * spam
    return Part(rows, spam)


def one_then_other(trial: Trial) -> Truth:
    """`shuffle=False` over one file of mails and then one of spam: it learns each by turns, and forgets the other."""
    torch.manual_seed(trial.seed)
    part, model, criterion = mails(trial.seed), mlp((12, 32, 1)), nn.BCEWithLogitsLoss()
    other, optimizer, losses = copy.deepcopy(model), SGD(model.parameters(), lr=0.05, momentum=0.9), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for _epoch in range(7):
            for inputs, targets in zip(part.inputs.split(30), part.targets.split(30), strict=True):
                optimizer.zero_grad()
                loss = criterion(model(inputs), targets)
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
                writer.add_scalar("loss/train", loss.item(), writer.step)
    halves = torch.tensor(losses[80:]).view(-1, 20)
    starts, ends = halves[:, :5].mean(1), halves[:, -3:].mean(1)
    require((starts > 3 * ends).all(), f"the loss goes from {starts} to {ends}")
    control(other, part.batches(30, trial.seed), SGD(other.parameters(), lr=0.05, momentum=0.9), criterion, steps=280)
    harmed(loss_of(model, part, criterion), loss_of(other, part, criterion), 1.3)
    return Truth((), 0, 100)


def turns(losses: Sequence[float], least: float) -> int:
    """Return how often a curve turns upwards, where it must rise and fall by `least` to count."""
    count, high, low, falling = 0, losses[0], losses[0], True
    for loss in losses:
        high, low = max(high, loss), min(low, loss)
        if falling and loss > low + least:
            falling, high, count = False, loss, count + 1
        elif not falling and loss < high - least:
            falling, low = True, loss
    return count


class Stations(nn.Module):
    """Two graph convolutions, and a number for every node."""

    def __init__(self, edges: Tensor) -> None:
        super().__init__()
        self.conv1, self.conv2 = GraphConvolution(edges, 16, 24), GraphConvolution(edges, 24, 24)
        self.head = nn.Linear(24, 1)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return [n, 1]."""
        told: Tensor = self.head(torch.tanh(self.conv2(torch.tanh(self.conv1(nodes)))))
        return told


def heavy(trial: Trial) -> Truth:
    """`SGD(momentum=0.99)` on the one graph that is all of the data: the weights swing past where they ought to be."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    graph = communities(trial.seed, count=5, size=30, inside=0.1)
    heard = graph.edges @ graph.features @ torch.randn(16, 2, generator=generator) / 2
    level = heard[:, :1].sin() + 0.6 * heard[:, 1:]
    level = 3 + (level - level.mean()) / level.std() + 0.2 * torch.randn(150, 1, generator=generator)
    part, model, criterion = Part(graph.features, level), Stations(graph.edges), nn.MSELoss()
    other, optimizer = copy.deepcopy(model), SGD(model.parameters(), lr=0.03, momentum=0.99)
    swung = fit(trial, model, lambda _step: (part.inputs, part.targets), optimizer, criterion, steps=130).train
    optimizer, curve = SGD(other.parameters(), lr=0.03, momentum=0.9), []
    for _step in range(130):
        optimizer.zero_grad()
        loss = criterion(other(part.inputs), part.targets)
        loss.backward()
        optimizer.step()
        curve.append(loss.item())
    does, should = (turns(losses, 0.2) for losses in (swung, curve))
    require(does > 15 > 2 * should, f"the loss turns {does} times, and {should} times with less momentum")
    harmed(sum(swung[-50:]), sum(curve[-50:]), 1.3)
    return Truth((), 0, 60)


SCENARIOS = (
    Scenario(
        "dune-randn-mlp",
        "mlp",
        TUNING,
        drawn_by_hand,
        ("saturation", "poor_init"),
        ("underfitting", "loss_plateau", "vanishing_gradient", "exploding_gradient"),
    ),
    Scenario(
        "dune-multiplied-transformer",
        "transformer",
        TUNING,
        multiplied,
        ("saturation",),
        ("poor_init", "loss_plateau", "vanishing_gradient", "underfitting", "loss_oscillation"),
    ),
    Scenario(
        "dune-constant-mlp",
        "mlp",
        TUNING,
        all_alike,
        ("poor_init", "redundant_units"),
        ("loss_plateau", "underfitting", "vanishing_gradient", "representation_collapse", "dead_units"),
    ),
    Scenario(
        "dune-kelvin-lstm",
        "rnn",
        TUNING,
        kelvin,
        ("poor_init",),
        ("lr_too_low", "loss_plateau", "underfitting", "saturation", "representation_collapse", "vanishing_gradient"),
    ),
    Scenario(
        "dune-sorted-mlp",
        "mlp",
        TUNING,
        one_then_other,
        ("loss_oscillation",),
        ("loss_spike", "lr_too_high", "loss_plateau", "underfitting"),
    ),
    Scenario(
        "dune-heavy-gnn",
        "gnn",
        TUNING,
        heavy,
        ("loss_oscillation", "lr_too_high"),
        ("loss_spike", "loss_plateau", "saturation"),
    ),
)
