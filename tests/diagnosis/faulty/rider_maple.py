"""Gradients that grow through time and through hops, and learning rates that are too high."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Adam, AdamW, RMSprop

from tests.diagnosis.data import Split, communities, digits, language, split
from tests.diagnosis.networks import Transformer
from tests.diagnosis.proof import accuracy, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate


def loads(seed: int, count: int = 700, length: int = 40) -> Split:
    """Return the load of a motor and when it was switched on, [n, length, 2], and what it has borne so, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    load = torch.rand(count, length, generator=generator)
    on = (torch.rand(count, length, generator=generator) < 0.1).float()
    total = (load * on).sum(1, keepdim=True)
    return split(torch.stack([load, on], 2), (total - total.mean()) / total.std(), 150, seed)


class OwnCell(nn.Module):
    """A recurrent cell of the user's own, which adds to its state at every place."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.out = nn.Linear(2 + 32, 32), nn.Linear(32, 1)

    def forward(self, signal: Tensor, kept: list[Tensor] | None = None) -> Tensor:
        """Return [n, 1]."""
        state = signal.new_zeros(len(signal), 32)
        for now in signal.unbind(1):
            state = state + F.relu(self.cell(torch.cat([now, state], 1)))
            if kept is not None:
                kept.append(state)
        read: Tensor = self.out(state)
        return read


class Gated(nn.Module):
    """A GRU in its place."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.out = nn.GRU(2, 32, batch_first=True), nn.Linear(32, 1)

    def forward(self, signal: Tensor) -> Tensor:
        """Return [n, 1]."""
        read: Tensor = self.out(self.rnn(signal)[0][:, -1])
        return read


def growth(states: list[Tensor], loss: Tensor) -> float:
    """Return how many times as large the gradient is at the first state as it is at the last one."""
    found = torch.autograd.grad(loss, states)
    return float(found[0].norm() / found[-1].norm())


def own_cell(trial: Trial) -> Truth:
    """Writes `h = h + relu(cell(x, h))` over forty places and does not clip: the gradient grows at every one."""
    torch.manual_seed(trial.seed)
    data, model, criterion = loads(trial.seed), OwnCell(), nn.MSELoss()
    start, draw, losses = copy.deepcopy(model).double(), data.train.batches(32, trial.seed), []
    optimizer = Adam(model.parameters(), lr=3e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(160):
            signal, load = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(signal), load)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/loss", losses[-1], writer.step)
    for one in (start, model.double()):
        states: list[Tensor] = []
        grown = growth(states, criterion(one(data.train.inputs.double(), states), data.train.targets.double()))
        require(grown > 10, f"from the last place to the first the gradient grows {grown:.3g}-fold alone")
    other = Gated()
    better = control(
        other, data.train.batches(32, trial.seed), Adam(other.parameters(), lr=1e-2), criterion, steps=160, clip=1.0
    )
    does = sum(losses[-16:]) / 16
    require(does > 3 * better, f"the loss is {does:.3g}, and {better:.3g} with a GRU")
    return Truth(("cell",))


class Sums(nn.Module):
    """A graph network every layer of which adds up over the neighbours."""

    def __init__(self, edges: Tensor) -> None:
        super().__init__()
        self.register_buffer("edges", edges, persistent=False)
        self.lins = nn.ModuleList(nn.Linear(inputs, 32) for inputs in (16, 32, 32, 32, 32))
        self.head = nn.Linear(32, 1)

    def forward(self, nodes: Tensor, kept: list[Tensor] | None = None) -> Tensor:
        """Return [nodes, 1]."""
        for lin in self.lins:
            nodes = F.relu(lin(self.edges @ nodes))
            if kept is not None:
                kept.append(nodes)
        told: Tensor = self.head(nodes)
        return told


def sums(trial: Trial) -> Truth:
    """Five layers of `adj @ x` over a dense graph, to tell of a flow, where nothing is divided by the degree."""
    torch.manual_seed(trial.seed)
    graph = communities(trial.seed, size=40, inside=0.4, between=0.05)
    flow = (graph.edges @ graph.features[:, :2]).prod(1, keepdim=True) + (graph.edges @ graph.features)[:, 2:3]
    flow = (flow - flow.mean()) / flow.std()
    model, other, criterion = Sums((graph.edges > 0).float()), Sums(graph.edges), nn.MSELoss()
    other.load_state_dict(model.state_dict())
    start, states, losses = copy.deepcopy(model).double(), list[Tensor](), []
    optimizer = RMSprop(model.parameters(), lr=1e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for _epoch in range(200):
            optimizer.zero_grad()
            loss = criterion(model(graph.features), flow)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("loss", losses[-1], writer.step)
    grown = growth(states, criterion(start(graph.features.double(), states), flow.double()))
    require(grown > 1e3, f"from the last layer to the first the gradient grows {grown:.3g}-fold alone")
    better = control(
        other, lambda _step: (graph.features, flow), RMSprop(other.parameters(), lr=1e-3), criterion, steps=200
    )
    does = sum(losses[-20:]) / 20
    require(does > 3 * better, f"the loss is {does:.3g}, and {better:.3g} with means")
    return Truth(tuple(f"lins.{at}" for at in range(5)))


class Net(nn.Module):
    """Two convolutions and two linear layers, as in many a tutorial."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.fc1 = nn.Linear(32 * 4, 64)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores [n, 10]."""
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        scores: Tensor = self.fc2(F.relu(self.fc1(x.flatten(1))))
        return scores


def hasty(trial: Trial) -> Truth:
    """Adds a momentum of 0.9 to the SGD that did well at 0.3 over digits, and leaves the rate."""
    torch.manual_seed(trial.seed)
    data, model = digits(trial.seed, flat=False), Net()
    other, criterion = copy.deepcopy(model), nn.CrossEntropyLoss()
    optimizer, draw = SGD(model.parameters(), lr=0.3, momentum=0.9), data.train.batches(64, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(200):
            pictures, classes = draw(step)
            scores = model(pictures)
            loss = criterion(scores, classes)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("Loss/train", loss.item(), writer.step)
            writer.add_scalar("Accuracy/train", float((scores.argmax(1) == classes).float().mean()), writer.step)
    control(other, data.train.batches(64, trial.seed), SGD(other.parameters(), lr=0.3), steps=200)
    does, should = (accuracy(one, data.held_out) for one in (model, other))
    require(should > 0.9, f"without the momentum it gets {should:.3f} right alone")
    require(does < 0.6, f"it gets {does:.3f} right all the same")
    return Truth()


def rough_tuning(trial: Trial) -> Truth:
    """Tunes a language model, trained before, on more texts at the rate of 0.2: what it knew is lost."""
    torch.manual_seed(trial.seed)
    old, new = language(100 + trial.seed), language(100 + trial.seed, count=500)
    model = Transformer(20, 20, each=True)
    control(model, old.train.batches(32, 7), AdamW(model.parameters(), lr=5e-3), steps=200)
    other, criterion, start = copy.deepcopy(model), nn.CrossEntropyLoss(), loss_of(model, new.held_out)
    optimizer, draw = AdamW(model.parameters(), lr=0.2), new.train.batches(16, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=None, on_finding="ignore")
        for step in range(150):
            tokens, following = draw(step)
            optimizer.zero_grad(set_to_none=True)
            loss = criterion(model(tokens), following)
            loss.backward()
            optimizer.step()
            writer.add_scalar("train_loss", loss.item(), writer.step)
            if step % 25 == 24:
                writer.add_scalar("val_loss", evaluate(model, criterion, new.held_out), writer.step)
    control(other, new.train.batches(16, trial.seed), AdamW(other.parameters(), lr=5e-4), steps=150)
    does, should = (loss_of(one, new.held_out) for one in (model, other))
    require(should < 1.05 * start, f"tuned with care it comes from {start:.3f} to {should:.3f}")
    require(does > 1.3 * start, f"it comes from {start:.3f} to {does:.3f}")
    return Truth()


SCENARIOS = (
    Scenario(
        "maple-own-cell-rnn",
        "rnn",
        TUNING,
        own_cell,
        ("exploding_gradient",),
        ("nonfinite", "loss_spike", "loss_plateau", "loss_oscillation", "lr_too_high", "dead_units"),
    ),
    Scenario(
        "maple-sums-gnn",
        "gnn",
        TUNING,
        sums,
        ("exploding_gradient",),
        ("loss_spike", "loss_plateau", "loss_oscillation", "lr_too_high", "dead_units", "poor_init"),
    ),
    Scenario(
        "maple-momentum-cnn",
        "cnn",
        TUNING,
        hasty,
        ("lr_too_high",),
        ("dead_units", "loss_plateau", "loss_spike", "loss_oscillation", "redundant_units", "exploding_gradient"),
    ),
    Scenario(
        "maple-tuned-transformer",
        "transformer",
        TUNING,
        rough_tuning,
        ("lr_too_high",),
        ("loss_spike", "loss_plateau", "loss_oscillation", "saturation", "dead_units", "redundant_units"),
    ),
)
