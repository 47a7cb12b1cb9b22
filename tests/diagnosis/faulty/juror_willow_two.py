"""Tides, recordings, mirrored digits and beams: long momentum, batches in the order of files, sixteen bits."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Part, digits, split
from tests.diagnosis.networks import cnn
from tests.diagnosis.proof import gradients, loss_of, require, snapshot
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


def swings(losses: list[float], factor: float, width: int = 3) -> int:
    """Return how many times a moving mean of the loss rises by such a factor and falls again."""
    means = [sum(losses[at : at + width]) / width for at in range(len(losses) - width + 1)]
    count, low, high, rising = 0, means[0], means[0], False
    for mean in means:
        low, high = min(low, mean), max(high, mean)
        if not rising and mean > factor * low:
            rising, high = True, mean
        elif rising and mean < high / factor:
            rising, low, count = False, mean, count + 1
    return count


class Tides(nn.Module):
    """A transformer over patches of a signal, that says what comes next."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.place = nn.Linear(4, 32), nn.Parameter(0.02 * torch.randn(12, 32))
        layer = nn.TransformerEncoderLayer(32, 4, 64, 0.0, "gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(12 * 32, 8)

    def forward(self, levels: Tensor) -> Tensor:
        """Return [n, 8] of [n, 48]."""
        hidden = self.encoder(self.patch(levels.view(-1, 12, 4)) + self.place)
        told: Tensor = self.head(hidden.flatten(1))
        return told


def tides(trial: Trial) -> Truth:
    """Levels of the sea, by SGD with a momentum of 0.99 at the rate that did for 0.9: the loss swings to and fro."""
    torch.manual_seed(trial.seed)
    hours = torch.arange(56) + 2000 * torch.rand(1200, 1)
    levels = torch.sin(hours * 0.506) + 0.6 * torch.sin(hours * 0.524 + 1) + 0.3 * torch.sin(hours * 0.26)
    levels = levels + 0.1 * torch.randn(levels.shape)
    data, model, criterion = split(levels[:, :48], levels[:, 48:], 200, trial.seed), Tides(), nn.MSELoss()
    other, losses = copy.deepcopy(model), []
    optimizer = SGD(model.parameters(), lr=0.01, momentum=0.99)
    draw = data.train.batches(64, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(160):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train_loss", losses[-1], writer.step)
    milder = SGD(other.parameters(), lr=0.01, momentum=0.9)
    better = control(other, data.train.batches(64, trial.seed), milder, criterion, steps=160)
    require(swings(losses, 1.5) >= 3, f"the loss swings {swings(losses, 1.5)} times")
    require(sum(losses[-16:]) / 16 > 1.6 * better, "it does as well as with a shorter momentum")
    return Truth((), 0, 60)


class Machines(nn.Module):
    """Three convolutions over a recording, and a mean over time."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv1d(2, 16, 7, stride=2), nn.Conv1d(16, 32, 5, stride=2)
        self.conv3, self.fc = nn.Conv1d(32, 32, 3), nn.Linear(32, 2)

    def forward(self, waves: Tensor) -> Tensor:
        """Return scores [n, 2] of [n, 2, 96]."""
        hidden = functional.leaky_relu(self.conv1(waves))
        hidden = functional.leaky_relu(self.conv3(functional.leaky_relu(self.conv2(hidden))))
        scores: Tensor = self.fc(hidden.mean(2))
        return scores


def machines(trial: Trial) -> Truth:
    """Whether a bearing is worn, of recordings read file by file: eight batches that are all worn, then eight not."""
    torch.manual_seed(trial.seed)
    labels, time = (torch.arange(24) % 2).repeat_interleave(128), torch.arange(96)
    pitch = torch.tensor([0.3, 0.45])[labels][:, None, None] + 0.02 * torch.randn(len(labels), 1, 1)
    phase = 2 * math.pi * torch.rand(len(labels), 2, 1)
    data = Part(torch.sin(pitch * time + phase) + 0.3 * torch.randn(len(labels), 2, 96), labels)
    model, criterion = Machines(), nn.CrossEntropyLoss()
    other = copy.deepcopy(model)

    def in_order(step: int) -> tuple[Tensor, Tensor]:
        at = 16 * (step % 192)
        return data.inputs[at : at + 16], data.targets[at : at + 16]

    history = fit(trial, model, in_order, SGD(model.parameters(), lr=0.1), criterion)
    control(other, data.batches(16, trial.seed), SGD(other.parameters(), lr=0.1), criterion)
    does, should = (loss_of(one, data, criterion) for one in (model, other))
    require(does > 2 * should, f"{does:.3f} is not far above {should:.3f} of batches that are shuffled")
    require(swings(history.train, 1.5) >= 12, f"the loss swings {swings(history.train, 1.5)} times")
    return Truth((), 0, 48)


def mirrored_digits(trial: Trial) -> Truth:
    """A network that reads digits is to read them mirrored, and goes on in bfloat16, weights and all, by AdamW."""
    torch.manual_seed(trial.seed)
    data, model = digits(trial.seed, flat=False), cnn((16, 32))
    control(model, data.train.batches(32, trial.seed), Adam(model.parameters(), lr=3e-3), steps=120)
    mirrored = Part(data.train.inputs.transpose(2, 3), data.train.targets)
    other, model = copy.deepcopy(model), model.to(torch.bfloat16)
    before, draw = snapshot(model), mirrored.batches(32, trial.seed)
    optimizer, criterion = AdamW(model.parameters(), lr=1e-4), nn.CrossEntropyLoss()
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(240):
            pictures, labels = draw(step)
            loss = criterion(model(pictures.to(torch.bfloat16)), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            writer.add_scalar("loss/train", loss.item(), writer.step)
    start = snapshot(other)
    control(other, mirrored.batches(32, trial.seed), AdamW(other.parameters(), lr=1e-4))
    does, should = (loss_of(one, mirrored) for one in (model, other))
    require(does > 1.5 * should, f"{does:.3f} is not far above {should:.3f}")
    names = ("conv1.weight", "conv2.weight", "norm1.weight", "norm2.weight")
    for name in names:
        stay, moves = (
            float((one.get_parameter(name).detach() == was[name]).double().mean())
            for one, was in ((model, before), (other, start))
        )
        require(stay > 0.4 and moves < 0.1, f"{stay:.2f} of {name} stays in sixteen bits, {moves:.2f} otherwise")
    return Truth()


class Beams(nn.Module):
    """A transformer over 16 places of a beam; returns by how many metres each of them bends."""

    def __init__(self) -> None:
        super().__init__()
        self.lift, self.place = nn.Linear(3, 32), nn.Parameter(0.02 * torch.randn(16, 32))
        layer = nn.TransformerEncoderLayer(32, 4, 64, 0.0, "gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 1)

    def forward(self, beams: Tensor) -> Tensor:
        """Return [n, 16] of [n, 16, 3]."""
        hidden = self.norm(self.encoder(self.lift(beams) + self.place))
        metres: Tensor = 0.002 * self.head(hidden)[..., 0]
        return metres


def beams(trial: Trial) -> Truth:
    """How beams bend, in metres, by autocast to float16 without a GradScaler: what flows back rounds to nothing."""
    torch.manual_seed(trial.seed)
    load, stiff = torch.randn(1500, 16), 1 + torch.rand(1500, 16)
    bend = (load / stiff).cumsum(1)
    bend = bend - bend.mean(1, keepdim=True)
    features = torch.stack([load, stiff, torch.linspace(-1, 1, 16).expand(1500, 16)], 2)
    data = split(features, 0.002 * bend / bend.std(), 300, trial.seed)
    model, criterion = Beams(), nn.MSELoss()
    other, optimizer = copy.deepcopy(model), Adam(model.parameters(), lr=3e-3)
    draw, lost = data.train.batches(32, trial.seed), []
    body = ("lift.weight", "encoder.layers.0.linear1.weight", "encoder.layers.1.linear1.weight")
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(140):
            inputs, targets = draw(step)
            with torch.autocast("cpu", dtype=torch.float16):
                told = model(inputs)
            loss = criterion(told.float(), targets)
            optimizer.zero_grad()
            loss.backward()
            found = [model.get_parameter(name).grad for name in body]
            lost.append(sum(float((one == 0).double().mean()) for one in found if one is not None) / len(body))
            optimizer.step()
            writer.add_scalar("train/mse", loss.item(), writer.step)
            if step % 20 == 19:
                with torch.no_grad():
                    left = criterion(model(data.held_out.inputs), data.held_out.targets)
                writer.add_scalar("val/mse", left.item(), writer.step)
    control(other, data.train.batches(32, trial.seed), Adam(other.parameters(), lr=3e-3), criterion, steps=140)
    does, should = (loss_of(one, data.held_out, criterion) for one in (model, other))
    require(does > 1.5 * should, f"{does:.3g} is not far above {should:.3g}")
    require(sum(lost) / len(lost) > 0.6, f"{sum(lost) / len(lost):.2f} of the gradients are nothing")
    exact = gradients(model, data.train.first(256), criterion)
    require(all(exact[name] > 0 for name in body), "they are nothing in float64 as well")
    return Truth()


SCENARIOS = (
    Scenario(
        "willow-tides-transformer",
        "transformer",
        TUNING,
        tides,
        ("loss_oscillation", "lr_too_high"),
        ("loss_spike", "exploding_gradient"),
    ),
    Scenario(
        "willow-machines-cnn",
        "cnn",
        TUNING,
        machines,
        ("loss_oscillation",),
        ("loss_spike", "loss_plateau", "lr_too_high", "underfitting"),
    ),
    Scenario(
        "willow-mirrored-cnn",
        "cnn",
        TUNING,
        mirrored_digits,
        ("low_precision_underflow",),
        ("layer_not_training", "lr_too_low", "loss_plateau"),
    ),
    Scenario(
        "willow-beams-transformer",
        "transformer",
        TUNING,
        beams,
        ("low_precision_underflow",),
        ("layer_not_training", "vanishing_gradient", "loss_plateau", "unused_parameter", "underfitting"),
    ),
)
