"""Units held at their flat ends, and gradients that grow through days: digits, sensors, roads, a river."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, AdamW, RMSprop

from tests.diagnosis.data import Part, Split, digits, split
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import loss_of, outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import Criterion, control, fit


def flat(model: nn.Module, names: Sequence[str], inputs: Tensor, least: float = 0.6, end: float = 0.98) -> None:
    """Raise NotProvenError unless so large a share of what each of these gives is beyond `end` in magnitude."""
    for name in names:
        share = float((outputs(model, name, inputs).abs() > end).double().mean())
        require(share > least, f"{share:.2f} of {name} is at its ends")


def harmed(model: nn.Module, other: nn.Module, part: Part, criterion: Criterion, times: float = 1.4) -> None:
    """Raise NotProvenError unless the other network's loss over what is held out is so many times less."""
    does, should = loss_of(model, part, criterion), loss_of(other, part, criterion)
    require(not does < times * should, f"the loss is {does:.3g}, and {should:.3g} without the fault")


def textbook_normal(trial: Trial) -> Truth:
    """A tanh network for digits with `nn.init.normal_(layer.weight)`, whose deviation is one, as in the book."""
    data, criterion, names = digits(trial.seed), nn.CrossEntropyLoss(), ("act1", "act2", "act3")
    torch.manual_seed(trial.seed)
    model = mlp((64, 100, 100, 100, 10), nn.Tanh)
    other = copy.deepcopy(model)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    flat(model, names, data.train.inputs)
    optimizer, draw = SGD(model.parameters(), lr=0.05), data.train.batches(32, trial.seed)
    fit(trial, model, draw, optimizer, validation=data.held_out, steps=300)
    control(other, data.train.batches(32, trial.seed), SGD(other.parameters(), lr=0.05), steps=300)
    flat(model, names, data.train.inputs)
    harmed(model, other, data.held_out, criterion)
    return Truth(("fc1", "act1", "fc2", "act2", "fc3", "act3", "head"))


def sensors(seed: int) -> Split:
    """Return readings of 20 sensors of four kinds, the first asking for one kind, and the mean of all of that kind."""
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.randint(4, (2400, 21), generator=generator)
    values = torch.randn(2400, 21, 1, generator=generator)
    values[:, 0] = 0
    asks = torch.zeros(2400, 21, 1)
    asks[:, 0] = 1
    same = (kinds[:, 1:] == kinds[:, :1]).float()
    means = (same * values[:, 1:, 0]).sum(1) / same.sum(1).clamp_min(1)
    rows = torch.cat([functional.one_hot(kinds, 4).float(), values, asks], 2)
    return split(rows, 2 * means[:, None], 400, seed)


class Asking(nn.Module):
    """Lifts sensors, lets them attend to each other twice, and reads the first."""

    def __init__(self, width: int = 64, *, scaled: bool) -> None:
        super().__init__()
        self.lift, self.place = nn.Linear(6, width), nn.Parameter(torch.randn(21, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.qkv = nn.ModuleList(nn.Linear(width, 3 * width) for _ in range(2))
        self.softmax = nn.ModuleList(nn.Softmax(-1) for _ in range(2))
        self.mix = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.head = nn.Linear(width, 1)
        self.scale = width**-0.5 if scaled else 1.0
        for layer in self.qkv:
            for part in layer.weight.data.chunk(3):
                nn.init.xavier_normal_(part)

    def forward(self, rows: Tensor) -> Tensor:
        """Return [n, 1] of [n, 21, 6]."""
        hidden = self.lift(rows) + self.place
        for norm, qkv, softmax, mix in zip(self.norms, self.qkv, self.softmax, self.mix, strict=True):
            query, key, value = qkv(norm(hidden)).chunk(3, -1)
            hidden = hidden + functional.gelu(mix(softmax(self.scale * query @ key.mT) @ value))
        told: Tensor = self.head(hidden[:, 0])
        return told


def forgotten_root(trial: Trial) -> Truth:
    """Own attention without the division by the root of its width: each place attends to a single one."""
    data, criterion = sensors(trial.seed), nn.MSELoss()
    torch.manual_seed(trial.seed)
    model, other = Asking(scaled=False), Asking(scaled=True)
    other.load_state_dict(model.state_dict())
    optimizer, draw = AdamW(model.parameters(), lr=2e-3), data.train.batches(32, trial.seed)

    def sharp(network: nn.Module) -> list[float]:
        names = ("softmax.0", "softmax.1")
        return [float(outputs(network, name, data.held_out.inputs).amax(-1).mean()) for name in names]

    before = sharp(model)
    fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=220)
    control(other, data.train.batches(32, trial.seed), AdamW(other.parameters(), lr=2e-3), criterion, steps=220)
    after, milder = sharp(model), sharp(other)
    require(min(before + after) > 0.7 > 1.2 * max(milder), f"attention: {before}, {after}, and {milder} if scaled")
    harmed(model, other, data.held_out, criterion)
    return Truth(("softmax.0", "softmax.1", "qkv.0", "qkv.1"))


class Summing(nn.Module):
    """Three graph convolutions with tanh that sum or average over a road's neighbours, and a linear head."""

    def __init__(self, edges: Tensor) -> None:
        super().__init__()
        self.register_buffer("edges", edges)
        self.lin1, self.lin2, self.lin3 = nn.Linear(6, 32), nn.Linear(32, 32), nn.Linear(32, 32)
        self.tanh1, self.tanh2, self.tanh3 = nn.Tanh(), nn.Tanh(), nn.Tanh()
        self.out = nn.Linear(32, 1)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return [n, roads, 1] of [n, roads, 6]."""
        nodes = self.tanh1(self.edges @ self.lin1(nodes))
        nodes = self.tanh2(self.edges @ self.lin2(nodes))
        told: Tensor = self.out(self.tanh3(self.edges @ self.lin3(nodes)))
        return told


def unnormalised_edges(trial: Trial) -> Truth:
    """A GCN over roads multiplies by the bare adjacency matrix: sums over thirty neighbours drive every tanh flat."""
    generator = torch.Generator().manual_seed(trial.seed)
    places = torch.rand(80, 2, generator=generator)
    near = (torch.cdist(places, places) < 0.4).float()
    mean = near / near.sum(1, keepdim=True)
    fields = torch.randn(500, 80, 6, generator=generator) + torch.randn(500, 1, 6, generator=generator)
    smooth = mean @ fields
    targets = (1.5 * smooth[..., :1]).sin() + smooth[..., 1:2] * 0.7 - 0.4 * smooth[..., 2:3] * smooth[..., :1]
    data, criterion = split(fields, (targets - targets.mean()) / targets.std(), 80, trial.seed), nn.MSELoss()
    torch.manual_seed(trial.seed)
    model, other = Summing(near), Summing(mean)
    other.load_state_dict(model.state_dict() | {"edges": mean})
    names = ("tanh2", "tanh3")
    flat(model, names, data.held_out.inputs, 0.5, 0.9)
    optimizer, draw = SGD(model.parameters(), lr=0.02, momentum=0.9), data.train.batches(8, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=None, on_finding="ignore")
        for step in range(200):
            inputs, known = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(inputs), known)
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/mse", loss.item(), writer.step)
    optimizer = SGD(other.parameters(), lr=0.02, momentum=0.9)
    control(other, data.train.batches(8, trial.seed), optimizer, criterion, steps=200)
    flat(model, names, data.held_out.inputs, 0.5, 0.9)
    harmed(model, other, data.held_out, criterion)
    return Truth(("lin1", "tanh1", "lin2", "tanh2", "lin3", "tanh3"))


class Rain(nn.Module):
    """A recurrent network over days with a skip connection through time: each day is added to the state."""

    def __init__(self, *, leak: float) -> None:
        super().__init__()
        self.seen, self.kept, self.head = nn.Linear(3, 48), nn.Linear(48, 48), nn.Linear(48, 1)
        self.keep, self.take = (1 - leak, leak) if leak else (1.0, 1.0)

    def step(self, day: Tensor, state: Tensor) -> Tensor:
        """Return the state after a day."""
        return self.keep * state + self.take * functional.relu(self.seen(day) + self.kept(state))

    def forward(self, days: Tensor) -> Tensor:
        """Return [n, 1] of [n, days, 3]."""
        state = days.new_zeros(len(days), 48)
        for day in days.unbind(1):
            state = self.step(day, state)
        told: Tensor = self.head(state)
        return told


def through_days(model: Rain, days: Tensor) -> float:
    """Return how many times as large in float64 the gradient is of the fifth day's state as that of the last one."""
    precise = copy.deepcopy(model).double()
    state = torch.zeros(len(days), 48, dtype=torch.float64, requires_grad=True)
    states = [state]
    for day in days.double().unbind(1):
        states.append(precise.step(day, states[-1]))
    early, late = torch.autograd.grad(precise.head(states[-1]).square().mean(), [states[5], states[-1]])
    return float(early.norm() / late.norm())


def river(trial: Trial) -> Truth:
    """A river's level by thirty days of rain: h = h + relu(…) without a gate and no clipping."""
    generator = torch.Generator().manual_seed(trial.seed)
    rain = torch.randn(1600, 30, 3, generator=generator)
    weights = 0.93 ** torch.arange(29, -1, -1.0)
    level = (rain.clamp_min(0).sum(2) * weights).sum(1)
    data, criterion = split(rain, ((level - level.mean()) / level.std())[:, None], 300, trial.seed), nn.MSELoss()
    torch.manual_seed(trial.seed)
    model, other = Rain(leak=0), Rain(leak=0.05)
    other.load_state_dict(model.state_dict())
    growth = [through_days(model, data.held_out.inputs)]
    optimizer, draw = RMSprop(model.parameters(), lr=1e-3), data.train.batches(32, trial.seed)
    fit(trial, model, draw, optimizer, criterion, every=2, steps=160)
    control(other, data.train.batches(32, trial.seed), RMSprop(other.parameters(), lr=1e-3), criterion, steps=160)
    growth += [through_days(one, data.held_out.inputs) for one in (model, other)]
    require(min(growth[:2]) > 50 and growth[2] < 5, f"gradients grow over the days by {growth}")
    harmed(model, other, data.held_out, criterion)
    return Truth(("seen", "kept"))


SCENARIOS = (
    Scenario(
        "lotus-textbook-normal-mlp",
        "mlp",
        TUNING,
        textbook_normal,
        ("saturation", "poor_init"),
        ("vanishing_gradient", "loss_plateau", "loss_oscillation", "layer_not_training"),
    ),
    Scenario(
        "lotus-forgotten-root-transformer",
        "transformer",
        TUNING,
        forgotten_root,
        ("saturation",),
        ("poor_init", "vanishing_gradient", "loss_plateau", "underfitting"),
    ),
    Scenario(
        "lotus-bare-adjacency-gnn",
        "gnn",
        TUNING,
        unnormalised_edges,
        ("saturation",),
        (
            "vanishing_gradient",
            "poor_init",
            "oversmoothing",
            "redundant_units",
            "loss_plateau",
            "loss_oscillation",
            "underfitting",
        ),
    ),
    Scenario(
        "lotus-river-rnn",
        "rnn",
        TUNING,
        river,
        ("exploding_gradient",),
        ("poor_init", "loss_spike", "loss_oscillation", "loss_plateau", "lr_too_high"),
    ),
)
