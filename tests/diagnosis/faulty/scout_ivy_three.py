"""Evaluated unlike trained: a mode that is left on, a validation nobody scaled, and graphs normalised one by one."""

from __future__ import annotations

import copy

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Part, Split, split
from tests.diagnosis.proof import accuracy, double, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit

RATE = 0.02


def stage(inputs: int, outputs: int) -> nn.Sequential:
    """Return a convolution, its normalisation and a ReLU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


class Reader(nn.Module):
    """Reads digits [n, 1, 8, 8] whose pixels go from 0 to 16."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.Sequential(stage(1, 12), stage(12, 12), nn.MaxPool2d(2), stage(12, 24), stage(24, 24))
        self.drop, self.head = nn.Dropout(0.4), nn.Linear(24, 10)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 10]."""
        scores: Tensor = self.head(self.drop(self.stages(pictures).mean((2, 3))))
        return scores


def raw_digits(seed: int) -> Split:
    """Return digits as they come, [n, 1, 8, 8] of 0 to 16, and their classes."""
    table = load_digits()
    return split(torch.tensor(table.images, dtype=torch.float32)[:, None], torch.tensor(table.target), 360, seed)


def never_back(trial: Trial) -> Truth:
    """`model.train()` stands above the loop and `model.eval()` in it: after the first epoch it trains as evaluated."""
    torch.manual_seed(trial.seed)
    data, model, criterion = raw_digits(trial.seed), Reader(), nn.CrossEntropyLoss()
    other = copy.deepcopy(model)
    optimizer, draw = SGD(model.parameters(), lr=RATE, momentum=0.9), data.train.batches(32, trial.seed)
    model.train()
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(200):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            writer.add_scalar("loss/train", loss.item(), step)
            if step % 40 == 39:
                model.eval()
                with torch.no_grad():
                    scores = model(data.held_out.inputs)
                right = (scores.argmax(1) == data.held_out.targets).float().mean()
                writer.add_scalar("loss/val", float(criterion(scores, data.held_out.targets)), step)
                writer.add_scalar("accuracy/val", float(right), step)
    require(not model.training, "it trains as it should")
    optimizer = SGD(other.parameters(), lr=RATE, momentum=0.9)
    control(other, data.train.batches(32, trial.seed), optimizer, steps=200)
    does, should = (loss_of(one, data.held_out) for one in (model, other))
    require(not does < 1.5 * should, f"{does:.3g} is not above {should:.3g}")
    return Truth((), 40, 60)


class Machines(nn.Module):
    """A GRU over four sensors of a machine, and its wear in three classes."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 24, batch_first=True)
        self.fc = nn.Linear(24, 3)

    def forward(self, readings: Tensor) -> Tensor:
        """Return scores [n, 3] of [n, 20, 4]."""
        scores: Tensor = self.fc(self.gru(readings)[0].mean(1))
        return scores


def sensors(seed: int, count: int = 1400) -> Split:
    """Return volts, degrees, turns and bars [n, 20, 4] in their own units, and how worn a machine is, [n]."""
    generator = torch.Generator().manual_seed(seed)
    worn = torch.randint(3, (count,), generator=generator)
    time = torch.arange(20.0)
    shake = (worn[:, None] + 1) * torch.sin(time * 1.3 + 6 * torch.rand(count, 1, generator=generator))
    heat = (worn[:, None] - 1) * time / 20
    parts = torch.stack([shake, heat, shake.roll(1, 1) * 0.5 - heat, shake * 0.2], 2)
    parts = parts + 0.7 * torch.randn(parts.shape, generator=generator)
    return split(
        parts * torch.tensor([4.0, 9.0, 150.0, 0.2]) + torch.tensor([230.0, 65.0, 1450.0, 2.4]), worn, 300, seed
    )


def forgotten_scaler(trial: Trial) -> Truth:
    """Readings are standardised as they are loaded for training, and those of the validation are left as they are."""
    torch.manual_seed(trial.seed)
    data, model, criterion = sensors(trial.seed), Machines(), nn.CrossEntropyLoss()
    middle, spread = data.train.inputs.mean((0, 1)), data.train.inputs.std((0, 1))
    optimizer, draw = AdamW(model.parameters(), lr=5e-3), data.train.batches(50, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(220):
            readings, targets = draw(step)
            loss = criterion(model((readings - middle) / spread), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/loss", loss.item(), step)
            if step % 22 == 21:
                writer.add_scalar("val/loss", evaluate(model, criterion, data.held_out), step)
    scaled = Part((data.held_out.inputs - middle) / spread, data.held_out.targets)
    does, should = (accuracy(model, part) for part in (data.held_out, scaled))
    require(should > 0.8, f"{should:.3f} at its best")
    require(does < should - 0.3, f"{does:.3f} is not below {should:.3f}")
    return Truth(until=60)


class Nets(nn.Module):
    """Two rounds of messages over one graph, [12, 12 + 3] of edges and features, normalised over its nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.lin1, self.norm1 = nn.Linear(3, 24), nn.BatchNorm1d(24)
        self.lin2, self.norm2 = nn.Linear(24, 24), nn.BatchNorm1d(24)
        self.readout = nn.Linear(24, 1)

    def forward(self, graphs: Tensor) -> Tensor:
        """Return a number [n, 1] for each of [n, 12, 15]."""
        near, nodes = graphs[..., :12], graphs[..., 12:]
        nodes = functional.relu(self.norm1((near @ self.lin1(nodes)).flatten(0, 1))).view(len(graphs), 12, 24)
        nodes = functional.relu(self.norm2((near @ self.lin2(nodes)).flatten(0, 1))).view(len(graphs), 12, 24)
        told: Tensor = self.readout(nodes.amax(1))
        return told


def circuits(seed: int, count: int = 700) -> Split:
    """Return circuits whose size differs a hundredfold, [n, 12, 15], and how uneven their loads are, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    near = (torch.rand(count, 12, 12, generator=generator) < 0.25).float().triu(1)
    near = near + near.transpose(1, 2) + torch.eye(12)
    near = near / near.sum(2, keepdim=True)
    loads = torch.randn(count, 12, 3, generator=generator)
    loads[:, :, 0] = loads[:, :, 0].sign() * loads[:, :, 0].abs() ** (
        0.3 + 2 * torch.rand(count, 1, generator=generator)
    )
    targets = ((near @ loads[:, :, :1]).amax(1) - (near @ loads[:, :, :1]).mean(1)) / (near @ loads[:, :, :1]).std(1)
    size = 10 ** (2 * torch.rand(count, 1, 1, generator=generator) - 1)
    shift = 3 * size * torch.randn(count, 1, 3, generator=generator)
    graphs = torch.cat([near, size * loads + shift], 2)
    return split(graphs, (targets - targets.mean()) / targets.std(), 150, seed)


def one_by_one(trial: Trial) -> Truth:
    """BatchNorm over the nodes of a graph, one graph a step: each is scaled by itself, later by the mean."""
    torch.manual_seed(trial.seed)
    data, model, criterion = circuits(trial.seed), Nets(), nn.MSELoss()
    optimizer, draw = Adam(model.parameters(), lr=3e-3), data.train.batches(1, trial.seed)
    fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=400)
    precise, rest = double(model).train(), data.held_out
    with torch.no_grad():
        alone = torch.cat([precise(graph[None].double()) for graph in rest.inputs])
    should, does = float(criterion(alone, rest.targets.double())), loss_of(model, rest, criterion)
    require(should < 0.8, f"{should:.3f} as it is trained")
    require(does > 1.5 * should, f"{does:.3g} is not above {should:.3g}")
    return Truth(("norm1", "norm2"), 0, 60)


SCENARIOS = (
    Scenario(
        "ivy-never-back-cnn",
        "cnn",
        TUNING,
        never_back,
        ("train_eval_mismatch",),
        ("loss_spike", "loss_oscillation", "loss_plateau", "dead_units", "lr_too_high", "overfitting"),
    ),
    Scenario(
        "ivy-forgotten-scaler-gru",
        "rnn",
        TUNING,
        forgotten_scaler,
        ("train_eval_mismatch", "input_unnormalised"),
        ("overfitting", "saturation"),
    ),
    Scenario(
        "ivy-one-by-one-gnn",
        "gnn",
        TUNING,
        one_by_one,
        ("train_eval_mismatch",),
        ("overfitting", "loss_oscillation", "input_unnormalised"),
    ),
)
