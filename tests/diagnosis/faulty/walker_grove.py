"""Digits, molecules, votes and diabetes: weights of a bad scale or all alike, rates far too high, and a dead end."""

from __future__ import annotations

import copy
import math

import torch
from sklearn.datasets import load_diabetes
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import LENGTH, TOKENS, Split, digits, majorities, split
from tests.diagnosis.proof import accuracy, finite, loss_of, require, silent
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


def harmed(end: float, better: float, factor: float = 1.5) -> None:
    """Raise NotProvenError unless a loss is so many times what it is without the fault."""
    require(end > factor * better, f"the loss is {end:.3g}, and without the fault {better:.3g}")


class Reader(nn.Module):
    """Two convolutions with pooling and two linear layers over digits."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(64, 32), nn.Linear(32, 10)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 10]."""
        hidden = functional.max_pool2d(functional.relu(self.conv1(pictures)), 2)
        hidden = functional.max_pool2d(functional.relu(self.conv2(hidden)), 2)
        scores: Tensor = self.fc2(functional.relu(self.fc1(hidden.flatten(1))))
        return scores


def standard_normal(module: nn.Module) -> None:
    """Draw weights from the standard normal."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.normal_(module.weight)
        nn.init.zeros_(module.bias)


def normal_weights(trial: Trial) -> Truth:
    """`model.apply(init)` with `nn.init.normal_(m.weight)`, whose deviation is 1: the first loss is about 1,000."""
    torch.manual_seed(trial.seed)
    data, model, criterion = digits(trial.seed, flat=False), Reader(), nn.CrossEntropyLoss()
    other = copy.deepcopy(model)
    model.apply(standard_normal)
    begin = loss_of(model, data.train)
    require(begin > 15 * math.log(10), f"the first loss is {begin:.3g}")
    optimizer, draw = Adam(model.parameters(), lr=1e-3), data.train.batches(64, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(240):
            pictures, classes = draw(step)
            optimizer.zero_grad()
            scores = model(pictures)
            loss = criterion(scores, classes)
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/loss", loss.item(), writer.step)
            writer.add_scalar("train/acc", float((scores.argmax(1) == classes).float().mean()), writer.step)
            if step % 30 == 29:
                writer.add_scalar("val/loss", evaluate(model, criterion, data.held_out), writer.step)
    control(other, data.train.batches(64, trial.seed), Adam(other.parameters(), lr=1e-3))
    harmed(loss_of(model, data.train), loss_of(other, data.train), 3)
    require(accuracy(model, data.held_out) < accuracy(other, data.held_out) - 0.03, "it reads as well")
    return Truth(("conv1", "conv2", "fc1", "fc2"))


def molecules(seed: int, count: int = 900) -> Split:
    """Return kinds of 12 atoms beside their bonds, [n, 12, 5 + 12], and an energy, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    kinds = functional.one_hot(torch.randint(5, (count, 12), generator=generator), 5).float()
    upper = (torch.rand(count, 12, 12, generator=generator) < 0.2).float().triu(1)
    bonds = upper + upper.mT
    pulls = torch.tensor([1.0, -1.0, 0.5, -1.5, 2.0])
    charge = kinds @ pulls
    energy = (charge[:, None] @ bonds @ charge[..., None])[:, 0] + 2 * (kinds[..., 3:].sum((1, 2))[:, None] - 4.8)
    return split(torch.cat([kinds, bonds], 2), (energy - energy.mean()) / energy.std(), 150, seed)


class Dense(nn.Module):
    """A linear layer that its user wrote, whose weights begin alike or at random."""

    def __init__(self, inputs: int, outputs: int, *, alike: bool) -> None:
        super().__init__()
        drawn = torch.randn(inputs, outputs) * (2 / inputs) ** 0.5
        self.weight = nn.Parameter(torch.full((inputs, outputs), 1 / inputs) if alike else drawn)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return [..., outputs]."""
        return inputs @ self.weight + self.bias


class Energy(nn.Module):
    """Passes messages along bonds twice, adds up over the atoms, and answers by an energy."""

    def __init__(self, *, alike: bool) -> None:
        super().__init__()
        self.conv1, self.conv2 = Dense(10, 24, alike=alike), Dense(48, 24, alike=alike)
        self.readout = Dense(24, 1, alike=alike)

    def forward(self, told: Tensor) -> Tensor:
        """Return [n, 1]."""
        nodes, bonds = told[..., :5], told[..., 5:]
        for conv in (self.conv1, self.conv2):
            nodes = functional.silu(conv(torch.cat([nodes, bonds @ nodes], 2)))
        energy: Tensor = self.readout(nodes.mean(1))
        return energy


def alike_weights(trial: Trial) -> Truth:
    """A layer of the user's own begins with `torch.full(…, 1 / inputs)`: all units of a layer stay one and the same."""
    torch.manual_seed(trial.seed)
    data, criterion = molecules(trial.seed), nn.MSELoss()
    model, other = Energy(alike=True), Energy(alike=False)
    optimizer, draw = AdamW(model.parameters(), lr=5e-3), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2)
    better = control(other, data.train.batches(32, trial.seed), AdamW(other.parameters(), lr=5e-3), criterion)
    harmed(history.end, better)
    for layer in (model.conv1, model.conv2):
        weight = layer.weight.detach().double()
        apart = float((weight - weight.mean(1, keepdim=True)).abs().max())
        require(apart < 1e-3, f"the units of a layer are {apart:.3g} apart")
    return Truth(("conv1", "conv2", "readout"))


def tenth(trial: Trial) -> Truth:
    """Adam with `lr=0.1` over digits, copied from a script that used SGD."""
    torch.manual_seed(trial.seed)
    data, criterion = digits(trial.seed), nn.CrossEntropyLoss()
    layers = (nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
    model = nn.Sequential(*layers)
    other, optimizer, draw = copy.deepcopy(model), Adam(model.parameters(), lr=0.1), data.train.batches(32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(220):
            rows, classes = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(rows), classes)
            loss.backward()
            optimizer.step()
            writer.add_scalar("Loss/train", loss.item(), writer.step)
            if step % 44 == 43:
                writer.add_scalar("Loss/test", evaluate(model, criterion, data.held_out), writer.step)
    finite(model)
    control(other, data.train.batches(32, trial.seed), Adam(other.parameters(), lr=1e-3), steps=220)
    harmed(loss_of(model, data.train), loss_of(other, data.train), 3)
    return Truth()


class Votes(nn.Module):
    """Three of PyTorch's encoder layers, which normalise after each part, over sixteen votes; says who wins."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(TOKENS, 32), nn.Parameter(0.02 * torch.randn(LENGTH, 32))
        layer = nn.TransformerEncoderLayer(32, 4, 64, 0.0, batch_first=True)
        self.encoder, self.head = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False), nn.Linear(32, 3)

    def forward(self, votes: Tensor) -> Tensor:
        """Return scores [n, 3]."""
        scores: Tensor = self.head(self.encoder(self.embed(votes) + self.place).mean(1))
        return scores


def hot_encoder(trial: Trial) -> Truth:
    """`nn.TransformerEncoder` with Adam at 0.03 and no warm-up, where 0.002 would do."""
    torch.manual_seed(trial.seed)
    data, model, criterion = majorities(trial.seed), Votes(), nn.CrossEntropyLoss()
    other = copy.deepcopy(model)
    optimizer, draw = Adam(model.parameters(), lr=0.03), data.train.batches(32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(200):
            votes, winners = draw(step)
            scores = model(votes)
            loss = criterion(scores, winners)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            writer.add_scalar("loss/train", loss.item(), writer.step)
            writer.add_scalar("accuracy/train", float((scores.argmax(1) == winners).float().mean()), writer.step)
    finite(model)
    control(other, data.train.batches(32, trial.seed), Adam(other.parameters(), lr=2e-3), steps=200)
    harmed(loss_of(model, data.held_out), loss_of(other, data.held_out), 3)
    return Truth()


class Progress(nn.Module):
    """Says from ten measurements how a disease proceeds."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.out = nn.Linear(10, 64), nn.Linear(64, 64), nn.Linear(64, 1)

    def forward(self, rows: Tensor) -> Tensor:
        """Return [n, 1]."""
        told: Tensor = self.out(functional.relu(self.fc2(functional.relu(self.fc1(rows)))))
        return told


def diabetes(trial: Trial) -> Truth:
    """Targets of 25 to 346 as they are, and SGD at 0.3: the first steps kill the units, and all get one answer."""
    torch.manual_seed(trial.seed)
    rows, known = load_diabetes(return_X_y=True)
    inputs, targets = torch.tensor(rows, dtype=torch.float32) * 21, torch.tensor(known, dtype=torch.float32)[:, None]
    data, model, criterion = split(inputs, targets, 90, trial.seed), Progress(), nn.L1Loss()
    other, held = copy.deepcopy(model), {}
    optimizer, draw = SGD(model.parameters(), lr=0.3, momentum=0.9), data.train.batches(16, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(200):
            seen, progress = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(seen), progress)
            loss.backward()
            optimizer.step()
            writer.add_scalar("mae/train", loss.item(), writer.step)
            held[step] = float(silent(model, "fc2", data.train.inputs).double().mean())
            if step % 20 == 19:
                writer.add_scalar("mae/val", evaluate(model, criterion, data.held_out), writer.step)
    finite(model)
    require(held[199] > 0.6, f"{held[199]:.2f} of the units are dead")
    slower = SGD(other.parameters(), lr=0.01, momentum=0.9)
    control(other, data.train.batches(16, trial.seed), slower, criterion, steps=200)
    harmed(loss_of(model, data.held_out, criterion), loss_of(other, data.held_out, criterion), 1.25)
    return Truth(("fc1", "fc2"), 0, min(step for step, share in held.items() if share > 0.6) + 5)


SCENARIOS = (
    Scenario(
        "grove-normal-weights-cnn",
        "cnn",
        TUNING,
        normal_weights,
        ("poor_init",),
        ("exploding_gradient", "saturation", "loss_spike", "loss_oscillation", "lr_too_low"),
    ),
    Scenario(
        "grove-alike-weights-gnn",
        "gnn",
        TUNING,
        alike_weights,
        ("poor_init", "redundant_units"),
        ("underfitting", "loss_plateau", "representation_collapse", "oversmoothing"),
    ),
    Scenario(
        "grove-tenth-mlp",
        "mlp",
        TUNING,
        tenth,
        ("lr_too_high",),
        ("dead_units", "loss_spike", "loss_oscillation", "loss_plateau", "exploding_gradient", "underfitting"),
    ),
    Scenario(
        "grove-hot-transformer",
        "transformer",
        TUNING,
        hot_encoder,
        ("lr_too_high",),
        (
            "loss_plateau",
            "loss_spike",
            "loss_oscillation",
            "saturation",
            "oversmoothing",
            "vanishing_gradient",
            "exploding_gradient",
            "dead_units",
            "underfitting",
            "representation_collapse",
        ),
    ),
    Scenario(
        "grove-diabetes-mlp",
        "mlp",
        TUNING,
        diabetes,
        ("dead_units", "lr_too_high"),
        (
            "poor_init",
            "loss_plateau",
            "underfitting",
            "exploding_gradient",
            "loss_spike",
            "vanishing_gradient",
            "layer_not_training",
            "representation_collapse",
            "loss_oscillation",
        ),
    ),
)
