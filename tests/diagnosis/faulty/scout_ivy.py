"""Gradients that grow: tides, cells under a microscope and molecules whose atoms are summed."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, RMSprop

from tests.diagnosis.data import Part, split
from tests.diagnosis.networks import Recurrent
from tests.diagnosis.proof import double, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


def growth(model: nn.Module, early: str, late: str, part: Part, criterion: nn.Module) -> float:
    """Return how often as large the gradient of the loss is at an early module as at a late one."""
    precise = double(model).train()
    held: dict[str, Tensor] = {}
    for name in (early, late):

        def keep(_module: nn.Module, _inputs: object, output: Tensor, name: str = name) -> None:
            output.retain_grad()
            held[name] = output

        precise.get_submodule(name).register_forward_hook(keep)
    criterion(precise(part.inputs.double()), part.targets).backward()
    first, last = (0.0 if (found := held[name].grad) is None else float(found.norm()) for name in (early, late))
    return first / last


def tides(seed: int, length: int = 60, count: int = 1200) -> Part:
    """Return levels of the sea with the wind, [n, length, 2], and the level that comes next, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    start, slow = (6.3 * torch.rand(count, 1, generator=generator) for _ in range(2))
    time = torch.arange(length + 1.0)
    wind = torch.randn(count, length + 1, generator=generator)
    level = torch.sin(0.5 * time + start) + 0.6 * torch.sin(0.17 * time + slow)
    level[:, 1:] += 0.4 * wind[:, :-1]
    return Part(torch.stack([level, wind], 2)[:, :length], level[:, length:])


def through_time(model: Recurrent, part: Part) -> float:
    """Return how often as large the gradient is at the first five places as at the last five, in float64."""
    inputs = part.inputs.double().requires_grad_()
    loss = functional.mse_loss(double(model)(inputs), part.targets.double())
    (found,) = torch.autograd.grad(loss, [inputs])
    return float(found[:, :5].norm() / found[:, -5:].norm())


def wild_memory(trial: Trial) -> Truth:
    """Tides with a plain RNN whose weights are all drawn with a deviation of 0.5, over 60 places and unclipped."""
    torch.manual_seed(trial.seed)
    data, model, criterion = tides(trial.seed), Recurrent(nn.RNN, 1, inputs=2, hidden=32), nn.MSELoss()
    other = copy.deepcopy(model)
    for value in model.rnn.parameters():
        nn.init.normal_(value, 0, 0.5)
    grown = through_time(model, data.first(200))
    optimizer, draw = SGD(model.parameters(), lr=0.02), data.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, every=1, steps=200)
    optimizer = SGD(other.parameters(), lr=0.02)
    better = control(other, data.batches(32, trial.seed), optimizer, criterion, steps=200)
    require(grown > 1000, f"the gradient grows by {grown:.3g}")
    require(not history.end < 2 * better, f"{history.end:.3g} is not above {better:.3g}")
    return Truth(("rnn",))


def cells(seed: int, count: int = 500) -> Part:
    """Return pictures of round cells [n, 1, 16, 16] with noise, and where they are [n, 1, 16, 16]."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.arange(16.0)
    masks = torch.zeros(count, 16, 16, dtype=torch.bool)
    for _cell in range(3):
        place = 16 * torch.rand(count, 2, generator=generator)
        radius = 1.5 + 2 * torch.rand(count, 1, 1, generator=generator)
        apart = (rows - place[:, :1])[:, :, None].square() + (rows - place[:, 1:])[:, None].square()
        masks |= apart < radius.square()
    pictures = 1.5 * masks - 0.5 + 0.7 * torch.randn(count, 16, 16, generator=generator)
    return Part(pictures[:, None], masks.float()[:, None])


class Block(nn.Module):
    """A residual block of two convolutions."""

    def __init__(self, channels: int, *, norm: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels) if norm else nn.Identity()

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the pictures with what is added."""
        added: Tensor = pictures + self.norm(self.conv2(functional.relu(self.conv1(pictures))))
        return added


class Segmenter(nn.Module):
    """Finds cells with a stem, residual blocks and a head."""

    def __init__(self, depth: int, *, norm: bool) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.blocks = nn.Sequential(*(Block(8, norm=norm) for _ in range(depth)))
        self.head = nn.Conv2d(8, 1, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, pictures: Tensor) -> Tensor:
        """Return a score for each pixel."""
        scores: Tensor = self.head(self.blocks(self.stem(pictures)))
        return scores


def bare_residuals(trial: Trial) -> Truth:
    """Eighteen residual blocks begun by He's rule and no normalisation: each block doubles what comes back."""
    torch.manual_seed(trial.seed)
    data, criterion = cells(trial.seed), nn.BCEWithLogitsLoss()
    model, other = (Segmenter(18, norm=norm) for norm in (False, True))
    wide = Part(data.inputs[:64], data.targets[:64].double())
    grown = growth(model, "stem", "blocks.17", wide, criterion)
    optimizer, draw, losses = RMSprop(model.parameters(), lr=1e-3), data.batches(16, trial.seed), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(120):
            pictures, masks = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(pictures), masks)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/bce", losses[-1], step)
    better = control(other, data.batches(16, trial.seed), RMSprop(other.parameters(), lr=1e-3), criterion, steps=120)
    end = sum(losses[-12:]) / 12
    require(grown > 100, f"the gradient grows by {grown:.3g}")
    require(not end < 1.5 * better, f"{end:.3g} is not above {better:.3g}")
    return Truth()


class Molecules(nn.Module):
    """Passes messages between the atoms of molecules, [n, 14, 5 + 14] of features and bonds, and tells an energy."""

    def __init__(self, depth: int, *, mean: bool) -> None:
        super().__init__()
        self.embed = nn.Linear(5, 24)
        self.layers = nn.ModuleList(nn.Linear(24, 24) for _ in range(depth))
        self.readout = nn.Linear(24, 1)
        self.mean = mean
        for layer in self.layers:
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")

    def forward(self, molecules: Tensor) -> Tensor:
        """Return energies [n, 1]."""
        atoms, near = self.embed(molecules[..., :5]), molecules[..., 5:]
        near = near / near.sum(2, keepdim=True) if self.mean else near
        for layer in self.layers:
            atoms = functional.relu(layer(near @ atoms))
        told: Tensor = self.readout(atoms.mean(1) if self.mean else atoms.sum(1))
        return told


def molecules(seed: int, count: int = 700) -> Part:
    """Return atoms of five kinds with their neighbours, [n, 14, 19], and an energy by kinds that are near, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    kinds = functional.one_hot(torch.randint(5, (count, 14), generator=generator), 5).float()
    near = (torch.rand(count, 14, 14, generator=generator) < 0.4).float().triu(1)
    near = near + near.transpose(1, 2) + torch.eye(14)
    worth = torch.randn(5, generator=generator)
    around = (near / near.sum(2, keepdim=True)) @ (kinds @ worth)[..., None]
    energies = (around[..., 0] + kinds @ worth.roll(2)).mean(1, keepdim=True)
    return Part(torch.cat([kinds, near], 2), (energies - energies.mean()) / energies.std())


def summed_neighbours(trial: Trial) -> Truth:
    """Message passing in seven layers that adds up raw neighbours, six to an atom: all grows sixfold a layer."""
    torch.manual_seed(trial.seed)
    whole = molecules(trial.seed)
    data, criterion = split(whole.inputs, whole.targets, 140, trial.seed), nn.SmoothL1Loss()
    model, other = (Molecules(7, mean=mean) for mean in (False, True))
    wide = Part(data.train.inputs[:100], data.train.targets[:100].double())
    grown = growth(model, "layers.0", "layers.6", wide, criterion)
    optimizer, draw = Adam(model.parameters(), lr=3e-3), data.train.batches(32, trial.seed)
    fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=None, steps=200)
    optimizer = Adam(other.parameters(), lr=3e-3)
    control(other, data.train.batches(32, trial.seed), optimizer, criterion, steps=200)
    does, should = (loss_of(one, data.held_out, criterion) for one in (model, other))
    require(grown > 1000, f"the gradient grows by {grown:.3g}")
    require(math.isfinite(should) and not does < 2 * should, f"{does:.3g} is not above {should:.3g}")
    return Truth()


SCENARIOS = (
    Scenario(
        "ivy-wild-memory-rnn",
        "rnn",
        TUNING,
        wild_memory,
        ("exploding_gradient", "poor_init"),
        ("saturation", "loss_spike", "lr_too_high", "loss_oscillation", "loss_plateau"),
    ),
    Scenario(
        "ivy-bare-residuals-cnn",
        "cnn",
        TUNING,
        bare_residuals,
        ("exploding_gradient", "poor_init"),
        ("loss_spike", "loss_oscillation", "lr_too_high", "nonfinite"),
    ),
    Scenario(
        "ivy-summed-molecules-gnn",
        "gnn",
        TUNING,
        summed_neighbours,
        ("exploding_gradient", "poor_init"),
        (
            "loss_spike",
            "loss_oscillation",
            "lr_too_high",
            "nonfinite",
            "oversmoothing",
            "dead_units",
            "redundant_units",
        ),
    ),
)
