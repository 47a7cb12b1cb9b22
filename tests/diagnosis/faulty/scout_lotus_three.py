"""Gradients that grow with depth on their way back: atoms that add up neighbours, residual blocks without norms."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam

from tests.diagnosis.data import Part, Split, digits, split
from tests.diagnosis.faulty.scout_lotus import harmed
from tests.diagnosis.proof import double, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import Criterion, control, fit


def grown(model: nn.Module, names: Sequence[str], part: Part, criterion: Criterion) -> float:
    """Return how many times as large in float64 the gradient is of what the first of these gives as of the last."""
    precise, held = double(model).train(), list[Tensor]()
    for name in names:
        precise.get_submodule(name).register_forward_hook(lambda _module, _inputs, output: held.append(output))
    loss = criterion(precise(part.inputs.double()), part.targets.double())
    early, late = torch.autograd.grad(loss, [held[0], held[-1]])
    return float(early.norm() / late.norm())


class Molecules(nn.Module):
    """Five layers that add up each atom's neighbours and the atom itself, without any normalisation."""

    def __init__(self, *, mean: bool, depth: int = 5) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(8 if not at else 32, 32) for at in range(depth))
        self.acts = nn.ModuleList(nn.ReLU() for _ in range(depth))
        self.head, self.mean = nn.Linear(32, 1), mean

    def forward(self, graphs: Tensor) -> Tensor:
        """Return [n, 1] of [n, atoms, atoms + 8]: bonds with loops, and what atoms are."""
        atoms = graphs.shape[1]
        bonds, hidden = graphs[..., :atoms], graphs[..., atoms:]
        if self.mean:
            bonds = bonds / bonds.sum(2, keepdim=True)
        for layer, act in zip(self.layers, self.acts, strict=True):
            hidden = act(layer(bonds @ hidden))
        told: Tensor = self.head(hidden.mean(1))
        return told


def molecules(seed: int) -> Split:
    """Return graphs of 20 atoms of eight kinds, and a number that tells which kinds stand side by side."""
    generator = torch.Generator().manual_seed(seed)
    upper = (torch.rand(900, 20, 20, generator=generator) < 0.25).float().triu(1)
    bonds = upper + upper.mT + torch.eye(20)
    shares = torch.rand(900, 1, 8, generator=generator).pow(3)
    kinds = functional.one_hot(torch.multinomial(shares[:, 0], 20, replacement=True, generator=generator), 8).float()
    worth = torch.randn(8, generator=generator)
    energy = (kinds @ worth).mean(1)
    energy = energy + 0.3 * (energy * 2).sin()
    targets = ((energy - energy.mean()) / energy.std())[:, None]
    return split(torch.cat([bonds, kinds], 2), targets, 180, seed)


def added_neighbours(trial: Trial) -> Truth:
    """Five layers of a GIN that add up neighbours, no norm: each makes gradients larger on their way back."""
    data, criterion = molecules(trial.seed), nn.MSELoss()
    torch.manual_seed(trial.seed)
    model, other = Molecules(mean=False), Molecules(mean=True)
    for layer in model.layers:
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
    other.load_state_dict(model.state_dict())
    names = [f"layers.{at}" for at in range(5)]
    growth = [grown(model, names, data.held_out, criterion)]
    optimizer, draw = Adam(model.parameters(), lr=1e-3), data.train.batches(32, trial.seed)
    fit(trial, model, draw, optimizer, criterion, steps=180)
    optimizer = Adam(other.parameters(), lr=1e-3)
    control(other, data.train.batches(32, trial.seed), optimizer, criterion, steps=180)
    growth += [grown(one, names, data.held_out, criterion) for one in (model, other)]
    require(min(growth[:2]) > 100 and growth[2] < min(growth[:2]) / 10, f"gradients grow over the layers by {growth}")
    harmed(model, other, data.held_out, criterion)
    return Truth((*names, *(f"acts.{at}" for at in range(5))))


class Sharpen(nn.Module):
    """A head, residual blocks of two convolutions without normalisation, and a tail: cleans pictures."""

    def __init__(self, *, scale: float, depth: int = 12) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(1, 12, 3, padding=1), nn.Conv2d(12, 1, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(12, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 12, 3, padding=1))
            for _ in range(depth)
        )
        self.scale = scale
        for layer in self.blocks.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def forward(self, pictures: Tensor) -> Tensor:
        """Return pictures [n, 1, 8, 8]."""
        hidden = self.first(pictures)
        for block in self.blocks:
            hidden = hidden + self.scale * block(hidden)
        told: Tensor = self.last(hidden)
        return told


def unscaled_residuals(trial: Trial) -> Truth:
    """Cleaning pictures of digits by twelve residual blocks without norms at He's weights, each of which doubles it."""
    generator = torch.Generator().manual_seed(trial.seed)
    clean = digits(trial.seed, flat=False)
    noisy, held = (
        Part(part.inputs + 0.7 * torch.randn(part.inputs.shape, generator=generator), part.inputs)
        for part in (clean.train, clean.held_out)
    )
    torch.manual_seed(trial.seed)
    model, other = Sharpen(scale=1.0), Sharpen(scale=0.1)
    other.load_state_dict(model.state_dict())
    criterion, names = nn.MSELoss(), ["first", *(f"blocks.{at}" for at in range(12))]
    growth = [grown(model, names, held, criterion)]
    optimizer, draw = Adam(model.parameters(), lr=1e-3), noisy.batches(16, trial.seed)
    fit(trial, model, draw, optimizer, criterion, every=None, steps=150)
    control(other, noisy.batches(16, trial.seed), Adam(other.parameters(), lr=1e-3), criterion, steps=150)
    growth += [grown(one, names, held, criterion) for one in (model, other)]
    require(min(growth[:2]) > 30 and growth[2] < min(growth[:2]) / 3, f"gradients grow over the blocks by {growth}")
    harmed(model, other, held, criterion)
    return Truth((*names, *(f"blocks.{at}.{part}" for at in range(12) for part in range(3))))


SCENARIOS = (
    Scenario(
        "lotus-added-gnn",
        "gnn",
        TUNING,
        added_neighbours,
        ("exploding_gradient",),
        ("poor_init", "loss_spike", "loss_oscillation", "loss_plateau", "lr_too_high", "oversmoothing"),
    ),
    Scenario(
        "lotus-unscaled-cnn",
        "cnn",
        TUNING,
        unscaled_residuals,
        ("exploding_gradient",),
        ("poor_init", "loss_spike", "loss_oscillation", "loss_plateau"),
    ),
)
