"""Layers without a bend, and outputs that don't fit their loss."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import digits, split
from tests.diagnosis.proof import accuracy, double, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


def affine(model: nn.Module, inputs: Tensor) -> None:
    """Raise NotProvenError unless, in evaluation, half the sum of two inputs gives half the sum of what they give."""
    precise, precise_inputs = double(model).eval(), inputs.double()
    with torch.no_grad():
        middle = precise((precise_inputs + precise_inputs.flip(0)) / 2)
        given = precise(precise_inputs)
    off = float((middle - (given + given.flip(0)) / 2).abs().max() / given.std())
    require(off < 1e-9, f"it is off a plane by {off:.3g}")


def surpassed(does: float, should: float, by: float = 0.15) -> None:
    """Raise NotProvenError unless the accuracy is so much below that without the fault."""
    require(does < should - by, f"{does:.3f} is not {by:g} below {should:.3f}")


class Rings(nn.Module):
    """Three layers; their activation may have been forgotten."""

    def __init__(self, *, bent: bool) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(2, 32), nn.Linear(32, 32), nn.Linear(32, 1)
        self.bent = bent

    def forward(self, points: Tensor) -> Tensor:
        """Return scores [n, 1]."""
        hidden = self.fc1(points)
        hidden = self.fc2(functional.relu(hidden) if self.bent else hidden)
        scores: Tensor = self.fc3(functional.relu(hidden) if self.bent else hidden)
        return scores


def rings(trial: Trial) -> Truth:
    """`x = self.fc1(x); x = self.fc2(x); return self.fc3(x)` on two rings, one within the other."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    inner = torch.rand(1200, 1, generator=generator) < 0.5
    angle = 6.2832 * torch.rand(1200, 1, generator=generator)
    points = torch.cat([angle.cos(), angle.sin()], 1) * torch.where(inner, 0.5, 1.2)
    points += 0.12 * torch.randn(1200, 2, generator=generator)
    data, model, other = split(points, inner.float(), 240, trial.seed), Rings(bent=False), Rings(bent=True)
    other.load_state_dict(model.state_dict())
    criterion, optimizer, draw = nn.BCEWithLogitsLoss(), Adam(model.parameters(), lr=5e-3), data.train.batches(64)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(240):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            scores = model(inputs)
            loss = criterion(scores, targets)
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/loss", loss.item(), writer.step)
            writer.add_scalar("train/acc", float(((scores > 0) == (targets > 0)).float().mean()), writer.step)
    control(other, data.train.batches(64), Adam(other.parameters(), lr=5e-3), criterion)
    affine(model, data.held_out.inputs)
    does, should = (loss_of(one, data.held_out, criterion) for one in (model, other))
    require(does > 0.65 > 5 * should, f"the loss is {does:.3f}, with ReLU {should:.3f}")
    return Truth(("fc1", "fc2", "fc3"))


def tones(seed: int, count: int = 1600) -> tuple[Tensor, Tensor]:
    """Return noisy signals [n, 1, 64] whose phase is chance, and which of four pitches they have."""
    generator = torch.Generator().manual_seed(seed)
    pitch = torch.randint(4, (count,), generator=generator)
    phase = 6.2832 * torch.rand(count, 1, generator=generator)
    swings = torch.tensor([3.0, 6.0, 10.0, 15.0])[pitch][:, None] * torch.arange(64) * 6.2832 / 64
    signals = (swings + phase).sin() + 0.4 * torch.randn(count, 64, generator=generator)
    return signals[:, None], pitch


class Ear(nn.Module):
    """Blocks of a convolution and BatchNorm, whose mean over time is classified."""

    def __init__(self, activation: type[nn.Module]) -> None:
        super().__init__()
        self.block1 = nn.Sequential(nn.Conv1d(1, 16, 7, padding=3), nn.BatchNorm1d(16), activation())
        self.block2 = nn.Sequential(nn.Conv1d(16, 16, 5, padding=2), nn.BatchNorm1d(16), activation())
        self.block3 = nn.Sequential(nn.Conv1d(16, 16, 3, padding=1), nn.BatchNorm1d(16), activation())
        self.pool, self.fc = nn.AdaptiveAvgPool1d(1), nn.Linear(16, 4)

    def forward(self, signals: Tensor) -> Tensor:
        """Return scores [n, 4]."""
        heard = self.block3(self.block2(self.block1(signals)))
        scores: Tensor = self.fc(self.pool(heard).flatten(1))
        return scores


def no_bend(trial: Trial) -> Truth:
    """Convolutions and BatchNorm, and an `nn.Identity()` where an activation was to be filled in."""
    torch.manual_seed(trial.seed)
    data, model, other = split(*tones(trial.seed), 320, trial.seed), Ear(nn.Identity), Ear(nn.ReLU)
    other.load_state_dict(model.state_dict())
    optimizer, draw = SGD(model.parameters(), lr=0.05, momentum=0.9), data.train.batches(32, trial.seed)
    fit(trial, model, draw, optimizer, validation=data.held_out, steps=200, every=2)
    milder = SGD(other.parameters(), lr=0.05, momentum=0.9)
    control(other, data.train.batches(32, trial.seed), milder, steps=200)
    affine(model, data.held_out.inputs)
    surpassed(accuracy(model, data.held_out), accuracy(other, data.held_out), 0.3)
    return Truth((*(f"block{number}{part}" for number in (1, 2, 3) for part in (".0", ".1", ".2", "")), "fc"))


class Pictures(nn.Module):
    """Two convolutions over digits, a hidden layer, and a softmax at the end where `sure`."""

    def __init__(self, *, sure: bool) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.pool, self.fc1, self.fc2 = nn.MaxPool2d(2), nn.Linear(64, 48), nn.Linear(48, 10)
        self.softmax = nn.Softmax(dim=1)
        self.sure = sure

    def forward(self, pictures: Tensor) -> Tensor:
        """Return [n, 10]."""
        hidden = self.pool(functional.relu(self.conv1(pictures)))
        hidden = self.pool(functional.relu(self.conv2(hidden))).flatten(1)
        scores: Tensor = self.fc2(functional.relu(self.fc1(hidden)))
        return self.softmax(scores) if self.sure else scores


def twice(trial: Trial) -> Truth:
    """`return self.softmax(x)` into `nn.CrossEntropyLoss()`, which takes the softmax once more."""
    torch.manual_seed(trial.seed)
    data, model, other = digits(trial.seed, flat=False), Pictures(sure=True), Pictures(sure=False)
    other.load_state_dict(model.state_dict())
    criterion, optimizer = nn.CrossEntropyLoss(), SGD(model.parameters(), lr=0.02, momentum=0.9)
    draw, steps = data.train.batches(32, trial.seed), 300
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(steps):
            pictures, targets = draw(step)
            loss = criterion(model(pictures), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 10 == 0:
                writer.add_scalar("Loss/train", loss.item(), writer.step)
            if step % 50 == 49:
                writer.add_scalar("Loss/test", evaluate(model, criterion, data.held_out), writer.step)
                writer.add_scalar("Accuracy/test", accuracy(model, data.held_out), writer.step)
    control(other, data.train.batches(32, trial.seed), SGD(other.parameters(), lr=0.02, momentum=0.9), steps=steps)
    with torch.no_grad():
        sums = model(data.held_out.inputs).sum(1)
    require((sums - 1).abs().max() < 1e-4, "the outputs are no shares")
    # No shares can give less than ln(1 + 9 / e) to that loss.
    does, should = loss_of(model, data.held_out), loss_of(other, data.held_out)
    require(does > 1.46 > 4 * should, f"the loss is {does:.3f}, of scores {should:.3f}")
    surpassed(accuracy(model, data.held_out), accuracy(other, data.held_out), 0.02)
    return Truth(("softmax", "fc2"))


class Molecules(nn.Module):
    """Passes messages in small graphs and adds their nodes up to a number for each."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.message1, self.message2 = nn.Linear(4, 32), nn.Linear(32, 32), nn.Linear(32, 32)
        self.out = nn.Linear(32, 1)

    def forward(self, graphs: Tensor) -> Tensor:
        """Return [n, 1] of [n, 9, 4 + 9], which are features of nodes beside their edges."""
        nodes, edges = self.embed(graphs[..., :4]), graphs[..., 4:]
        nodes = nodes + functional.relu(self.message1(edges @ nodes / 3))
        nodes = nodes + functional.relu(self.message2(edges @ nodes / 3))
        told: Tensor = self.out(nodes.mean(1))
        return told


def molecules(seed: int, count: int = 1500) -> tuple[Tensor, Tensor]:
    """Return graphs of nine atoms of four kinds, [n, 9, 13], and how often two of a kind are bound, scaled, [n]."""
    generator = torch.Generator().manual_seed(seed)
    kinds = functional.one_hot(torch.randint(4, (count, 9), generator=generator), 4).float()
    bound = (torch.rand(count, 9, 9, generator=generator) < 0.35).float().triu(1)
    bound = bound + bound.transpose(1, 2)
    energy = kinds @ torch.tensor([-1.0, -0.3, 0.3, 1.0])
    known = energy.sum(1) + (bound @ energy[..., None])[..., 0].mean(1)
    return torch.cat([kinds, bound], 2), (known - known.mean()) / known.std()


def squared(made: Tensor, known: Tensor) -> Tensor:
    """Return the mean squared error, as it is meant."""
    return ((made[:, 0] - known) ** 2).mean()


def every_pair(trial: Trial) -> Truth:
    """`((model(x) - y) ** 2).mean()` of outputs [n, 1] and targets [n]: each is compared with all of the batch."""
    torch.manual_seed(trial.seed)
    data, model = split(*molecules(trial.seed), 300, trial.seed), Molecules()
    other, optimizer, draw = (
        copy.deepcopy(model),
        AdamW(model.parameters(), lr=3e-3),
        data.train.batches(32, trial.seed),
    )
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=1, on_finding="ignore")
        for step in range(240):
            graphs, known = draw(step)
            made = model(graphs)
            loss = ((made - known) ** 2).mean()
            writer.observe(outputs=made, targets=known, loss=loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("mse", loss.item(), writer.step)
    control(other, data.train.batches(32, trial.seed), AdamW(other.parameters(), lr=3e-3), squared)
    does, should = (loss_of(one, data.held_out, squared) for one in (model, other))
    require(does > 0.8 > 4 * should, f"the error is {does:.3f}, and {should:.3f} by the loss that was meant")
    return Truth(("out",))


SCENARIOS = (
    Scenario(
        "dune-rings-mlp",
        "mlp",
        TUNING,
        rings,
        ("missing_nonlinearity",),
        ("underfitting", "loss_plateau"),
    ),
    Scenario(
        "dune-tones-cnn",
        "cnn",
        TUNING,
        no_bend,
        ("missing_nonlinearity",),
        ("underfitting", "loss_plateau", "representation_collapse"),
    ),
    Scenario(
        "dune-twice-cnn",
        "cnn",
        TUNING,
        twice,
        ("wrong_output_or_loss",),
        ("loss_plateau", "underfitting", "lr_too_low", "vanishing_gradient", "saturation"),
    ),
    Scenario(
        "dune-pairs-gnn",
        "gnn",
        TUNING,
        every_pair,
        ("wrong_output_or_loss",),
        ("loss_plateau", "underfitting", "representation_collapse"),
    ),
)
