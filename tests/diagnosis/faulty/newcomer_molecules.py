"""Molecules and heat: atoms in the units of tables, poisons that are rare, and seconds where hours were meant."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam

from tests.diagnosis.data import Part, Split, split
from tests.diagnosis.faulty.blind_inputs import standardised
from tests.diagnosis.faulty.blind_labels import found
from tests.diagnosis.faulty.outputs import uneven
from tests.diagnosis.faulty.rates import worse
from tests.diagnosis.healthy.blind_worlds_physics import slope
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit

ATOMS = 9
KINDS = 10


def bonded(count: int, generator: torch.Generator) -> Tensor:
    """Return the bonds of molecules without rings, [n, 9, 9]."""
    parent = (torch.rand(count, ATOMS, generator=generator) * torch.arange(ATOMS)).long()
    bonds = functional.one_hot(parent, ATOMS).float()
    bonds[:, 0] = 0
    return bonds + bonds.mT


class Rounds(nn.Module):
    """Two rounds in which each atom hears of those it is bonded with, and a mean over all of them."""

    def __init__(self, features: int, answers: int) -> None:
        super().__init__()
        self.features = features
        self.first, self.second = mlp((2 * features, 32, 32)), mlp((64, 32, 32))
        self.head = nn.Linear(32, answers)

    def forward(self, molecules: Tensor) -> Tensor:
        """Return [n, answers] of [n, 9, features + 9], atoms beside their bonds."""
        atoms, bonds = molecules.split((self.features, ATOMS), 2)
        for part in (self.first, self.second):
            atoms = part(torch.cat([atoms, bonds @ atoms], 2)).relu()
        told: Tensor = self.head(atoms.mean(1))
        return told


def periodic_table(trial: Trial) -> Truth:
    """Atoms by ionisation energy in kJ/mol, radius in pm, mass and charge; polarity is mostly one of the charge."""
    generator = torch.Generator().manual_seed(trial.seed)
    bonds, normal = bonded(1000, generator), torch.randn(1000, ATOMS, 4, generator=generator)
    atoms = torch.tensor([1300.0, 75.0, 14.0, 0.0]) + torch.tensor([250.0, 20.0, 6.0, 0.2]) * normal
    charge = normal[..., 3:]
    polarity = (charge * (bonds @ charge)).tanh().sum(1) + 0.3 * normal[..., :1].sum(1)
    polarity = (polarity - polarity.mean()) / polarity.std()
    data, even = (
        split(torch.cat([given, bonds], 2), polarity, 200, trial.seed)
        for given in (atoms, standardised(Part(atoms, polarity)).inputs)
    )
    model, criterion = Rounds(4, 1), nn.MSELoss()
    other, optimizer = copy.deepcopy(model), Adam(model.parameters(), lr=2e-3)
    draw = data.train.batches(48, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=260)
    optimizer = Adam(other.parameters(), lr=2e-3)
    worse(history.end, control(other, even.train.batches(48, trial.seed), optimizer, criterion, steps=260))
    return uneven(atoms)


def assays(seed: int, count: int = 2400) -> Split:
    """Return molecules [n, 9, 10 + 9], and what they are found to do in four assays: one in forty, by a group in it."""
    generator = torch.Generator().manual_seed(seed)
    bonds = bonded(count, generator)
    shares = torch.tensor([0.5, *[0.5 / (KINDS - 1)] * (KINDS - 1)])
    kinds = torch.multinomial(shares, count * ATOMS, replacement=True, generator=generator).view(count, ATOMS)
    atoms = functional.one_hot(kinds, KINDS).float()
    pairs = atoms.mT @ bonds @ atoms
    active = torch.stack([pairs[:, one, one + 1] > 0 for one in (1, 3, 5, 7)], 1).float()
    return split(torch.cat([atoms, bonds], 2), active, 700, seed)


def poisons(trial: Trial) -> Truth:
    """Four assays at once, each with few actives: the network says of every molecule that it does no harm."""
    data, model = assays(trial.seed), Rounds(KINDS, 4)
    other, optimizer = copy.deepcopy(model), Adam(model.parameters(), lr=1e-3)
    criterion, weighed = (nn.BCEWithLogitsLoss(pos_weight=torch.tensor(weight)) for weight in (1.0, 25.0))
    draw, losses = data.train.batches(64, trial.seed), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(240):
            molecules, active = draw(step)
            loss = criterion(model(molecules), active)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
            if step % 20 == 19:
                writer.add_scalar("bce/train", sum(losses[-20:]) / 20, writer.step)
                writer.add_scalar("bce/valid", evaluate(model, criterion, data.held_out), writer.step)
    control(other, data.train.batches(64, trial.seed), Adam(other.parameters(), lr=1e-3), weighed, steps=240)
    shares = [found(one, data.held_out) for one in (model, other)]
    require(shares[0] < 0.15 and shares[1] > 0.6, f"shares of {shares} of the actives are found")
    require(float(data.train.targets.mean()) < 0.06, "actives are not rare")
    return Truth()


def cooled(model: nn.Module, hour: float, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Return three losses of a rod of a metre that cools: of its equation, of its start and ends, of what was read.

    Args:
        model: Of places in metres and times in units of which an hour has `hour`.
        hour: Of these units.
        generator: Of places and times.
    """
    rate = 3.6e-1 / hour
    unit = torch.tensor([1.0, hour])
    points = (torch.rand(96, 2, generator=generator) * unit).requires_grad_(True)
    first = slope(model(points), points)
    bend = slope(first[:, 0], points)[:, :1]
    equation = (first[:, 1:] - rate * bend).square().mean()
    start, sides, read = (torch.rand(48, 2, generator=generator) for _ in range(3))
    start[:, 1], sides[:, 0] = 0, sides[:, 0].round()
    edges = (model(start * unit) - temperature(start)).square().mean() + model(sides * unit).square().mean()
    readings = temperature(read) + 0.02 * torch.randn(48, 1, generator=generator)
    return equation, edges, (model(read * unit) - readings).square().mean()


def temperature(points: Tensor) -> Tensor:
    """Return how warm a rod is, [n, 1], at metres and hours, [n, 2]."""
    return torch.sin(torch.pi * points[:, :1]) * (-0.36 * torch.pi**2 * points[:, 1:]).exp()


def off(model: nn.Module, hour: float) -> float:
    """Return the mean square by which temperatures are off."""
    points = torch.rand(500, 2, generator=torch.Generator().manual_seed(99))
    with torch.no_grad():
        told = model(points * torch.tensor([1.0, hour]))
    return float((told - temperature(points)).square().mean())


def seconds(trial: Trial) -> Truth:
    """A rod cools for an hour, and its time is given in seconds, all 3,600 of them, to a tanh."""
    model = mlp((2, 32, 32, 1), nn.Tanh)
    other, optimizer = copy.deepcopy(model), Adam(model.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for _step in range(220):
            equation, edges, read = cooled(model, 3600.0, generator)
            loss = equation + edges + read
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            for name, one in (("total", loss), ("pde", equation), ("boundary", edges), ("data", read)):
                writer.add_scalar(f"loss/{name}", one.detach(), writer.step)
    optimizer = Adam(other.parameters(), lr=3e-3)
    for _step in range(220):
        optimizer.zero_grad()
        sum(cooled(other, 1.0, generator)).backward()
        optimizer.step()
    worse(off(model, 3600.0), off(other, 1.0), 3.0)
    inputs = torch.rand(500, 2, generator=generator) * torch.tensor([1.0, 3600.0])
    flat = float((outputs(model, "act1", inputs).abs() > 0.99).double().mean())
    require(flat > 0.8, f"{flat:.2f} of the first tanh is at an end")
    return uneven(inputs)


_SCALE = ("input_unnormalised", "saturation")

SCENARIOS = (
    Scenario(
        "scale-atoms-gnn",
        "gnn",
        TUNING,
        periodic_table,
        ("input_unnormalised",),
        ("underfitting", "loss_plateau", "poor_init", "exploding_gradient", "dead_units"),
    ),
    Scenario("few-actives-gnn", "gnn", TUNING, poisons, ("class_imbalance",)),
    Scenario(
        "scale-seconds-mlp", "mlp", TUNING, seconds, _SCALE, ("underfitting", "loss_plateau", "vanishing_gradient")
    ),
)
