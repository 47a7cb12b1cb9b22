"""Healthy networks of chemists: rates of a reaction, forces, atoms that are hidden, and energies."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR

from tests.diagnosis.data import split
from tests.diagnosis.faulty.newcomer_molecules import ATOMS, bonded
from tests.diagnosis.healthy.blind_tables import ranked
from tests.diagnosis.healthy.blind_worlds_physics import slope
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import alive, calm, generalises, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import History, fit


class Reaction(nn.Module):
    """How much there is of three substances at a time, and how fast one becomes the next."""

    def __init__(self) -> None:
        super().__init__()
        self.amounts, self.log_rates = mlp((1, 32, 32, 3), nn.Tanh), nn.Parameter(torch.zeros(2))

    def forward(self, times: Tensor) -> Tensor:
        """Return [n, 3] of [n, 1]."""
        told: Tensor = self.amounts(times)
        return told


def reaction(trial: Trial) -> None:
    """An inverse problem: thirty noisy readings, an equation, and its two rates, which have a group of their own."""
    generator = torch.Generator().manual_seed(trial.seed)
    first, second = 2.0, 0.6
    times = 2 * torch.rand(30, 1, generator=generator)
    a = (-first * times).exp()
    b = first / (second - first) * ((-first * times).exp() - (-second * times).exp())
    readings = torch.cat([a, b, 1 - a - b], 1) + 0.01 * torch.randn(30, 3, generator=generator)
    model = Reaction()
    groups = [{"params": model.amounts.parameters()}, {"params": [model.log_rates], "lr": 2e-2}]
    optimizer = Adam(groups, lr=8e-3)
    schedule, losses = CosineAnnealingLR(optimizer, 400), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=4, on_finding="ignore")
        for _step in range(400):
            at = (2 * torch.rand(40, 1, generator=generator)).requires_grad_(True)
            there, rates = model(at), model.log_rates.exp()
            changes = torch.cat([slope(there[:, one], at) for one in range(3)], 1)
            lost, gained = rates[0] * there[:, 0], rates[1] * there[:, 1]
            ode = (changes - torch.stack([-lost, lost - gained, gained], 1)).square().mean()
            data = (model(times) - readings).square().mean()
            start = (model(torch.zeros(1, 1)) - torch.tensor([[1.0, 0.0, 0.0]])).square().mean()
            loss = ode + 10 * data + start
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
            writer.add_scalar("loss/total", losses[-1], writer.step)
            writer.add_scalar("loss/ode", ode.detach(), writer.step)
            writer.add_scalar("loss/data", data.detach(), writer.step)
            writer.add_scalar("k1", rates[0].detach(), writer.step)
    found = model.log_rates.exp().tolist()
    require(abs(found[0] / first - 1) < 0.15 and abs(found[1] / second - 1) < 0.15, f"rates are {found}")
    require(losses[-1] < 0.05 * losses[0], "the loss does not fall")


class Potential(nn.Module):
    """An energy of atoms in space, which hear of each other by their distances, once; its slopes are their forces."""

    def __init__(self, kinds: int = 3) -> None:
        super().__init__()
        self.embed, self.message = nn.Embedding(kinds, 16), mlp((48, 32, 32), nn.SiLU)
        self.energy = mlp((48, 32, 1), nn.SiLU)
        self.register_buffer("centres", torch.linspace(0.5, 4, 16))

    def forward(self, kinds: Tensor, places: Tensor) -> Tensor:
        """Return energies [n] of kinds [n, atoms] and places [n, atoms, 3]."""
        apart = places[:, :, None] - places[:, None]
        others = ~torch.eye(places.shape[1], dtype=torch.bool)
        distance = (apart.square().sum(3) + (~others).float()).sqrt()
        near = (-4 * (distance[..., None] - self.centres).square()).exp()
        atoms = self.embed(kinds)
        pairs = atoms[:, :, None].expand(*near.shape[:3], 16), atoms[:, None].expand(*near.shape[:3], 16), near
        heard = (self.message(torch.cat(pairs, 3)) * others[..., None]).sum(2)
        told: Tensor = self.energy(torch.cat([atoms, heard], 2)).sum((1, 2))
        return told


def forces(trial: Trial) -> None:
    """A force field: the loss is of an energy and, a hundredfold, of its slopes; the last bias hears of one alone."""
    generator = torch.Generator().manual_seed(trial.seed)
    kinds = torch.randint(3, (700, 5), generator=generator)
    places = (1.4 * torch.randn(700, 5, 3, generator=generator)).requires_grad_(True)
    charge = torch.tensor([1.0, -0.7, 0.3])[kinds]
    distance = (torch.cdist(places, places).square() + 0.5).sqrt()
    pairs = charge[:, :, None] * charge[:, None] * (-distance).exp() + 0.3 * (-2 * (distance - 1.5).square()).exp()
    energy = 4 * pairs.triu(1).sum((1, 2))
    force = -slope(energy, places).detach()
    scale, energy, places = force.std(), energy.detach(), places.detach()
    energy, force = (energy - energy.mean()) / scale, force / scale
    model = Potential()
    optimizer = AdamW(model.parameters(), lr=6e-3)
    schedule = CosineAnnealingLR(optimizer, 250)

    def asked(chosen: Tensor) -> tuple[Tensor, Tensor]:
        there = places[chosen].requires_grad_(True)
        told = model(kinds[chosen], there)
        return (told - energy[chosen]).square().mean(), (-slope(told, there) - force[chosen]).square().mean()

    totals = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=3, on_finding="ignore")
        for _step in range(250):
            off, pull = asked(torch.randint(600, (24,), generator=generator))
            loss = off + 100 * pull
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1000.0)
            optimizer.step()
            schedule.step()
            totals.append(float(loss.detach()))
            writer.add_scalar("train/loss", totals[-1], writer.step)
            writer.add_scalar("train/energy_mse", off.detach(), writer.step)
            writer.add_scalar("train/force_mse", pull.detach(), writer.step)
    left = float(asked(torch.arange(600, 700))[1].detach())
    require(left < 0.15, f"{left:.3g} of the variance of forces is left")
    calm(History(totals, {}))


class Guesser(nn.Module):
    """Says of a hidden atom what it is, from those around it."""

    def __init__(self, kinds: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(kinds + 1, 24)
        self.rounds = nn.ModuleList(mlp((48, 48, 24)) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(24) for _ in range(2))
        self.head = nn.Linear(24, kinds)

    def forward(self, molecules: Tensor) -> Tensor:
        """Return scores [n, kinds, 9] of [n, 9, 1 + 9]."""
        atoms, bonds = self.embed(molecules[..., 0].long()), molecules[..., 1:]
        for part, norm in zip(self.rounds, self.norms, strict=True):
            atoms = atoms + part(torch.cat([norm(atoms), bonds @ atoms], 2))
        scores: Tensor = self.head(atoms).mT
        return scores


def hidden_atoms(trial: Trial) -> None:
    """Attribute masking: two atoms of nine are hidden, most of all are carbon, and some could be one thing or another.

    The others are left out of the loss, which ends well above zero.
    """
    generator = torch.Generator().manual_seed(trial.seed)
    bonds, kinds = bonded(2600, generator), torch.zeros(2600, ATOMS).long()
    likes = torch.eye(6).roll(1, 1) * 3 + torch.eye(6).roll(3, 1) + 0.05
    likes[:, 0] += 2.5
    for atom in range(1, ATOMS):
        parent = bonds[:, atom, :atom].argmax(1)
        before = kinds.gather(1, parent[:, None])[:, 0]
        kinds[:, atom] = torch.multinomial(likes[before], 1, generator=generator)[:, 0]
    hidden = torch.rand(2600, ATOMS, generator=generator).argsort(1) < 2
    inputs = torch.cat([kinds.masked_fill(hidden, 6)[..., None], bonds], 2)
    data = split(inputs, kinds.masked_fill(~hidden, -100), 500, trial.seed)
    model = Guesser(6)
    optimizer, draw = AdamW(model.parameters(), lr=3e-3, weight_decay=0.01), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=250)
    asked = data.held_out.targets[data.held_out.targets >= 0]
    shares = asked.bincount(minlength=6) / len(asked)
    marginal, left = -float((shares * shares.log()).sum()), loss_of(model, data.held_out)
    require(left < 0.8 * marginal, f"the loss is {left:.3g}, and of shares alone {marginal:.3g}")
    alive(model, data.held_out.inputs)
    generalises(history)
    calm(history, 0.4)


def hills(trial: Trial) -> None:
    """An energy-based model: points are drawn by walking downhill, and the loss is about zero for most of the time."""
    generator = torch.Generator().manual_seed(trial.seed)
    turn = 2 * torch.pi * torch.arange(3)[:, None] / 3
    centres = 1.4 * torch.cat([turn.cos(), turn.sin()], 1)
    points = centres[torch.randint(3, (2000,), generator=generator)]
    points = points + 0.3 * torch.randn(2000, 2, generator=generator)
    model = mlp((2, 64, 64, 1), nn.SiLU)
    optimizer, memory = Adam(model.parameters(), lr=1e-2, betas=(0.5, 0.999)), 4 * torch.rand(300, 2) - 2
    schedule = CosineAnnealingLR(optimizer, 200)

    def walked(places: Tensor, steps: int) -> Tensor:
        model.requires_grad_(False)
        for _ in range(steps):
            places = places.detach().requires_grad_(True)
            places = places - 0.05 * slope(model(places), places) + 0.1 * torch.randn_like(places)
        model.requires_grad_(True)
        return places.detach()

    with trial.writer() as writer:
        writer.watch(model, optimizer, every=4, on_finding="ignore")
        for _step in range(200):
            real, chosen = points[torch.randint(2000, (100,))], torch.randint(300, (100,))
            start = torch.where(torch.rand(100, 1) < 0.05, 4 * torch.rand(100, 2) - 2, memory[chosen])
            memory[chosen] = walked(start, 8).clamp(-3, 3)
            true, false = model(real), model(memory[chosen])
            contrast, small = true.mean() - false.mean(), (true.square() + false.square()).mean()
            loss = contrast + 0.005 * small
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            writer.add_scalar("loss", loss.detach(), writer.step)
            writer.add_scalar("loss_contrastive_divergence", contrast.detach(), writer.step)
            writer.add_scalar("loss_regularization", small.detach(), writer.step)
    thrown = 5 * torch.rand(2000, 2) - 2.5
    every, real = torch.cat([points, thrown]), torch.arange(4000) < 2000
    density = torch.logsumexp(-torch.cdist(every, centres).square() / (2 * 0.3**2), 1)
    with torch.no_grad():
        found, best = ranked(-model(every)[:, 0], real), ranked(density, real)
    require(found > best - 0.04, f"AUC is {found:.3f}, and could be {best:.3f}")


SCENARIOS = (
    Scenario("healthy-reaction-mlp", "mlp", TUNING, reaction),
    Scenario("healthy-forces-gnn", "gnn", TUNING, forces),
    Scenario("healthy-hidden-atoms-gnn", "gnn", TUNING, hidden_atoms),
    Scenario("healthy-hills-mlp", "mlp", TUNING, hills),
)
