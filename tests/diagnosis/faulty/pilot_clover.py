"""Nets too deep or too long for their gradients, and ReLUs that a target, a bias and a code for missing values kill."""

from __future__ import annotations

import copy

import torch
from sklearn.datasets import load_diabetes
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam

from tests.diagnosis.data import Part, digits, split
from tests.diagnosis.proof import accuracy, double, gradients, loss_of, require, silent
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


def clearly(does: float, should: float, ratio: float = 1.5) -> None:
    """Raise NotProvenError unless a loss is so many times what it should be."""
    require(does > ratio * should, f"a loss of {does:.4g} is not {ratio:g} times {should:.4g}")


def sigmoids(activation: type[nn.Module], depth: int = 7) -> nn.Sequential:
    """Return linear layers over digits with an activation after each but the last."""
    layers: list[nn.Module] = []
    for number in range(depth):
        layers += [nn.Linear(64, 64), activation()]
        if activation is nn.ReLU:
            nn.init.kaiming_normal_(layers[2 * number].weight)
    return nn.Sequential(*layers, nn.Linear(64, 10))


def deep_sigmoid(trial: Trial) -> Truth:
    """Seven layers with a sigmoid after each, as in the textbook: what reaches the first ones is nothing."""
    data, model, criterion = digits(trial.seed), sigmoids(nn.Sigmoid), nn.CrossEntropyLoss()
    size = gradients(model, data.train.first(256))
    require(size["0.weight"] < 1e-3 * size["14.weight"], f"the first gets {size['0.weight']:.3g}")
    optimizer, draw = SGD(model.parameters(), lr=0.1, momentum=0.9), data.train.batches(64, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(250):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            scores = model(inputs)
            loss = criterion(scores, targets)
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/loss", loss.item(), step)
            writer.add_scalar("train/accuracy", (scores.argmax(1) == targets).float().mean().item(), step)
    size = gradients(model, data.train.first(256))
    require(size["0.weight"] < 1e-3 * size["14.weight"], f"the first still gets {size['0.weight']:.3g}")
    other = sigmoids(nn.ReLU)
    control(other, data.train.batches(64, trial.seed), SGD(other.parameters(), lr=0.02, momentum=0.9), steps=250)
    does, should = accuracy(model, data.held_out), accuracy(other, data.held_out)
    require(does < 0.3 and should > 0.85, f"{does:.3f} are right, and could be {should:.3f}")
    return Truth(tuple(str(number) for number in range(8)))


class Reader(nn.Module):
    """A plain recurrent network that says one number after the last reading."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.fc = nn.RNN(2, 32, batch_first=True), nn.Linear(32, 1)

    def forward(self, readings: Tensor) -> Tensor:
        """Return [n, 1] of [n, length, 2]."""
        states, _ = self.rnn(readings)
        told: Tensor = self.fc(states[:, -1])
        return told


def reach(model: nn.Module, readings: Tensor) -> float:
    """Return how large the gradient of the answer by the first four readings is, as a share of that by the last."""
    inputs = readings.double().requires_grad_()
    (found,) = torch.autograd.grad(double(model)(inputs).sum(), inputs)
    return float(found[:, :4].norm() / found[:, -4:].norm())


def dose(trial: Trial) -> Truth:
    """`nn.RNN` is to say after seventy readings how large the dose in the first four was: no gradient gets there."""
    generator = torch.Generator().manual_seed(trial.seed)
    doses = torch.rand(1500, 1, generator=generator) * 2 - 1
    readings = 0.2 * torch.randn(1500, 70, 2, generator=generator)
    readings[:, :4, 0] += doses
    data, model, criterion = split(readings, doses, 300, trial.seed), Reader(), nn.MSELoss()
    other = copy.deepcopy(model)
    require(reach(model, data.train.inputs[:64]) < 1e-6, "a gradient reaches the first readings")
    optimizer = Adam(model.parameters(), lr=2e-3)
    draw = data.train.batches(32, trial.seed)
    fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=240)
    require(reach(model, data.train.inputs[:64]) < 1e-3, "a gradient reaches the first readings in the end")
    near, held_out = (Part(part.inputs.flip(1), part.targets) for part in (data.train, data.held_out))
    control(other, near.batches(32, trial.seed), Adam(other.parameters(), lr=2e-3), criterion, steps=240)
    clearly(loss_of(model, data.held_out, criterion), loss_of(other, held_out, criterion), 2.0)
    return Truth(("rnn",))


class Segmenter(nn.Module):
    """Fourteen convolutions at full size, and a mask."""

    def __init__(self, *, norm: bool) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(8 if at else 1, 8, 3, padding=1) for at in range(14))
        self.norms = nn.ModuleList(nn.BatchNorm2d(8) if norm else nn.Identity() for _ in range(14))
        self.mask = nn.Conv2d(8, 1, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 1, 14, 14]."""
        for conv, norm in zip(self.convs, self.norms, strict=True):
            pictures = functional.relu(norm(conv(pictures)))
        scores: Tensor = self.mask(pictures)
        return scores


def cells(seed: int, count: int = 500) -> Part:
    """Return noisy pictures of round cells [n, 1, 14, 14], and where they are."""
    generator = torch.Generator().manual_seed(seed)
    grid = torch.stack(torch.meshgrid(torch.arange(14.0), torch.arange(14.0), indexing="ij"))
    centres = 14 * torch.rand(count, 3, 2, 1, 1, generator=generator)
    inside = ((grid - centres).square().sum(2) < 7).any(1, keepdim=True).float()
    return Part(inside * 2 - 0.5 + 0.8 * torch.randn(inside.shape, generator=generator), inside)


def plain_segmenter(trial: Trial) -> Truth:
    """Fourteen convolutions with ReLU, without BatchNorm, weights as PyTorch sets them: the first get no gradient."""
    data, held_out, criterion = cells(trial.seed), cells(trial.seed + 100, 150), nn.BCEWithLogitsLoss()
    model, other = Segmenter(norm=False), Segmenter(norm=True)
    size = gradients(model, data.first(64), criterion)
    require(size["convs.0.weight"] < 1e-3 * size["mask.weight"], f"the first gets {size['convs.0.weight']:.3g}")
    optimizer, draw = SGD(model.parameters(), lr=0.05, momentum=0.9), data.batches(16, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(160):
            optimizer.zero_grad()
            pictures, masks = draw(step)
            loss = criterion(model(pictures), masks)
            loss.backward()
            optimizer.step()
            writer.add_scalar("Loss/train", loss.item(), writer.step)
            if step % 40 == 39:
                writer.add_scalar("Loss/val", evaluate(model, criterion, held_out), writer.step)
    size = gradients(model, data.first(64), criterion)
    require(size["convs.0.weight"] < 1e-3 * size["mask.weight"], f"the first still gets {size['convs.0.weight']:.3g}")
    control(other, data.batches(16, trial.seed), SGD(other.parameters(), lr=0.05, momentum=0.9), criterion, steps=160)
    clearly(loss_of(model, held_out, criterion), loss_of(other, held_out, criterion))
    return Truth(tuple(f"convs.{number}" for number in range(9)))


class Progress(nn.Module):
    """Says how a disease goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(10, 64), nn.Linear(64, 32), nn.Linear(32, 1)
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()

    def forward(self, rows: Tensor) -> Tensor:
        """Return [n, 1]."""
        told: Tensor = self.fc3(self.relu2(self.fc2(self.relu1(self.fc1(rows)))))
        return told


def still(model: nn.Module, module: str, inputs: Tensor) -> float:
    """Return which share of the units fires for none of the inputs."""
    return float(silent(model, module, inputs).double().mean())


def diabetes_raw(trial: Trial) -> Truth:
    """Targets are left at 25 to 346 and the rate is 1.0, to get there: it overshoots, and one value is left for all."""
    rows, course = load_diabetes(return_X_y=True)
    inputs = torch.tensor((rows - rows.mean(0)) / rows.std(0), dtype=torch.float32)
    data = split(inputs, torch.tensor(course, dtype=torch.float32)[:, None], 90, trial.seed)
    model, criterion = Progress(), nn.L1Loss()
    other, early = copy.deepcopy(model), []
    optimizer, draw = SGD(model.parameters(), lr=1.0), data.train.batches(32, trial.seed)

    def look(step: int) -> None:
        if step == 30:
            early.append(still(model, "relu2", data.train.inputs))

    fit(trial, model, draw, optimizer, criterion, validation=data.held_out, after=look, every=1, steps=200)
    share = still(model, "relu2", data.train.inputs)
    require(share > 0.9 and early[0] > 0.5, f"{share:.2f} are silent, and {early} early")
    slow = Adam(other.parameters(), lr=0.01)
    control(other, data.train.batches(32, trial.seed), slow, criterion, steps=200)
    clearly(loss_of(model, data.held_out, criterion), loss_of(other, data.held_out, criterion), 1.3)
    return Truth(("fc2", "relu2", "fc1", "relu1"), 0, 30)


class Detector(nn.Module):
    """Says at each of sixteen places whether an object is there."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.neck = nn.Sequential(nn.Conv2d(12, 24, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.objectness = nn.Conv2d(24, 1, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 1, 4, 4]."""
        scores: Tensor = self.objectness(self.neck(self.stem(pictures)))
        return scores


def prior_everywhere(trial: Trial) -> Truth:
    """A detector's prior of 0.01 is set as the bias of every convolution, not of the last alone: -4.6."""
    generator = torch.Generator().manual_seed(trial.seed)
    there = (torch.rand(900, 1, 4, 4, generator=generator) < 0.1).float()
    shape = torch.tensor([[1.0, 0, 0, 1], [0, 1, 1, 0], [0, 1, 1, 0], [1, 0, 0, 1]])
    pictures = 0.5 * torch.randn(900, 1, 16, 16, generator=generator) + 1.2 * torch.kron(there, shape)
    data, criterion, model = split(pictures, there, 200, trial.seed), nn.BCEWithLogitsLoss(), Detector()
    other = copy.deepcopy(model)
    nn.init.constant_(other.objectness.bias, -4.6)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.bias, -4.6) if module.bias is not None else None
    before = still(model, "stem.1", data.train.inputs)
    optimizer, draw = Adam(model.parameters(), lr=2e-3), data.train.batches(32, trial.seed)
    fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=200)
    after = still(model, "neck.1", data.train.inputs)
    require(min(before, after) > 0.9, f"{before:.2f} and {after:.2f} of the units are silent")
    control(other, data.train.batches(32, trial.seed), Adam(other.parameters(), lr=2e-3), criterion, steps=200)
    clearly(loss_of(model, data.held_out, criterion), loss_of(other, data.held_out, criterion))
    return Truth(("stem.0", "stem.1", "stem", "neck.0", "neck.1", "neck"))


class Demand(nn.Module):
    """A GRU over a week, a layer with ReLU, and what comes next."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.hidden, self.act, self.out = (
            nn.GRU(3, 24, batch_first=True),
            nn.Linear(24, 32),
            nn.ReLU(),
            nn.Linear(32, 1),
        )

    def forward(self, week: Tensor) -> Tensor:
        """Return [n, 1] of [n, 14, 3]."""
        told: Tensor = self.out(self.act(self.hidden(self.gru(week)[0][:, -1])))
        return told


def missing_code(trial: Trial) -> Truth:
    """Targets of a day are -9999, the code for missing: though gradients are clipped, fifteen steps kill units."""
    generator = torch.Generator().manual_seed(trial.seed)
    weeks = torch.randn(2000, 14, 3, generator=generator)
    level = (weeks[:, -5:, 0].mean(1) * 2 + (weeks[:, -1, 1] * 1.5).tanh() + weeks[:, -2, 2].abs())[:, None]
    data, model, criterion = split(weeks, level, 400, trial.seed), Demand(), nn.MSELoss()
    other, kept = copy.deepcopy(model), {}
    optimizer, draw = SGD(model.parameters(), lr=0.03, momentum=0.9), data.train.batches(32, trial.seed)

    def coded(step: int) -> tuple[Tensor, Tensor]:
        inputs, targets = draw(step)
        if 90 <= step < 105:
            targets[:2] = -9999.0
        return inputs, targets

    def look(step: int) -> None:
        if step in (89, 120):
            kept[step] = still(model, "act", data.train.inputs)

    fit(trial, model, coded, optimizer, criterion, validation=data.held_out, after=look, clip=10.0, steps=220)
    kept[219] = still(model, "act", data.train.inputs)
    require(kept[89] < 0.2 and kept[120] > 0.3 and kept[219] > 0.6, f"shares that are silent: {kept}")
    better = SGD(other.parameters(), lr=0.03, momentum=0.9)
    control(other, data.train.batches(32, trial.seed), better, criterion, steps=220, clip=10.0)
    clearly(loss_of(model, data.held_out, criterion), loss_of(other, data.held_out, criterion), 1.5)
    return Truth(("hidden", "act"), 90, 120)


BLOCKED = ("loss_plateau", "underfitting", "poor_init", "layer_not_training")
KILLED = (*BLOCKED, "loss_spike", "exploding_gradient", "vanishing_gradient", "representation_collapse")
SCENARIOS = (
    Scenario(
        "clover-vanishing-sigmoid-mlp",
        "mlp",
        TUNING,
        deep_sigmoid,
        ("vanishing_gradient",),
        (*BLOCKED, "saturation", "representation_collapse", "redundant_units", "oversmoothing"),
    ),
    Scenario(
        "clover-vanishing-dose-rnn", "rnn", TUNING, dose, ("vanishing_gradient",), ("loss_plateau", "underfitting")
    ),
    Scenario(
        "clover-vanishing-segmenter-cnn",
        "cnn",
        TUNING,
        plain_segmenter,
        ("vanishing_gradient", "poor_init"),
        ("loss_plateau", "underfitting", "layer_not_training", "representation_collapse", "class_imbalance"),
    ),
    Scenario(
        "clover-dead-diabetes-mlp",
        "mlp",
        TUNING,
        diabetes_raw,
        ("dead_units", "lr_too_high"),
        (*KILLED, "wrong_output_or_loss", "redundant_units"),
    ),
    Scenario(
        "clover-dead-prior-cnn",
        "cnn",
        TUNING,
        prior_everywhere,
        ("dead_units", "poor_init"),
        (*KILLED, "class_imbalance", "redundant_units"),
    ),
    Scenario(
        "clover-dead-missing-gru",
        "rnn",
        TUNING,
        missing_code,
        ("dead_units", "loss_spike"),
        (*KILLED, "wrong_output_or_loss", "redundant_units", "lr_too_high", "clip_saturated"),
    ),
)
