"""Healthy trainings that look ill: energies in large units, layers that begin closed, mixed pictures, summed losses."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Part, digits, language, split
from tests.diagnosis.networks import Block, cnn
from tests.diagnosis.proof import accuracy, calm, generalises, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import control, evaluate, fit


class Energies(nn.Module):
    """Two rounds of means over neighbours, [n, 10, 4 + 10]; its answer is scaled to the units of the energies."""

    def __init__(self, mean: float, spread: float) -> None:
        super().__init__()
        self.embed = nn.Linear(4, 24)
        self.own = nn.ModuleList(nn.Linear(24, 24) for _ in range(2))
        self.near = nn.ModuleList(nn.Linear(24, 24, bias=False) for _ in range(2))
        self.out = nn.Sequential(nn.Linear(24, 24), nn.SiLU(), nn.Linear(24, 1))
        self.mean, self.spread = mean, spread

    def forward(self, molecules: Tensor) -> Tensor:
        """Return energies [n, 1]."""
        atoms, bonds = functional.silu(self.embed(molecules[..., :4])), molecules[..., 4:]
        for own, near in zip(self.own, self.near, strict=True):
            atoms = functional.silu(own(atoms) + near(bonds @ atoms))
        told: Tensor = self.mean + self.spread * self.out(atoms).mean(1)
        return told


def large_units(trial: Trial) -> None:
    """Energies of molecules in units in which they differ by 300: gradients are as large, which Adam undoes."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    kinds = functional.one_hot(torch.randint(4, (1200, 10), generator=generator), 4).float()
    bonds = (torch.rand(1200, 10, 10, generator=generator) < 0.3).float().triu(1)
    bonds = bonds + bonds.transpose(1, 2) + torch.eye(10)
    bonds = bonds / bonds.sum(2, keepdim=True)
    worth = torch.tensor([-1.0, 0.4, 1.2, -0.5])
    energies = (kinds @ worth + (bonds @ (kinds @ worth.roll(1))[..., None])[..., 0].square()).mean(1, keepdim=True)
    energies = energies + 0.05 * torch.randn(energies.shape, generator=generator)
    energies = -1500 + 300 * (energies - energies.mean()) / energies.std()
    data, criterion = split(torch.cat([kinds, bonds], 2), energies, 240, trial.seed), nn.MSELoss()
    model = Energies(float(data.train.targets.mean()), float(data.train.targets.std()))
    other = copy.deepcopy(model)
    other.mean, other.spread = 0.0, 1.0
    optimizer, draw = Adam(model.parameters(), lr=1e-2), data.train.batches(48, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=300)
    mean, spread = model.mean, model.spread
    unit = Part(data.train.inputs, (data.train.targets - mean) / spread)
    control(other, unit.batches(48, trial.seed), Adam(other.parameters(), lr=1e-2), criterion, steps=300)
    rest = Part(data.held_out.inputs, (data.held_out.targets - mean) / spread)
    does, should = loss_of(model, data.held_out, criterion) / spread**2, loss_of(other, rest, criterion)
    require(does < 0.2, f"{does:.3f} of the variance is left")
    require(does < 1.25 * should, f"it would be {should:.3f} in other units")
    generalises(history)
    calm(history)


class Gated(nn.Module):
    """A block what it adds is scaled by a gate for each channel, which is 0.001 at first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.block = Block(width, causal=True)
        self.gate = nn.Parameter(torch.full((width,), 1e-3))

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the input with what is added."""
        added: Tensor = hidden + self.gate * (self.block(hidden) - hidden)
        return added


class Speaker(nn.Module):
    """Four gated blocks over the tokens of a language, with what is known of the token itself passed around them."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(20, 24), nn.Embedding(16, 24)
        self.blocks = nn.Sequential(*(Gated(24) for _ in range(4)))
        self.norm, self.head = nn.LayerNorm(24), nn.Linear(24, 20)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores [n, 20, length]."""
        hidden = self.blocks(self.embed(tokens) + self.place(torch.arange(tokens.shape[1])))
        scores: Tensor = self.head(self.norm(hidden)).transpose(1, 2)
        return scores


def closed_gates(trial: Trial) -> None:
    """LayerScale at 0.001: at first a thousandth of the gradient gets into the blocks, and they open by themselves."""
    torch.manual_seed(trial.seed)
    data, model = language(trial.seed), Speaker()
    other = copy.deepcopy(model)
    for block in other.blocks:
        nn.init.ones_(block.gate)
    optimizer, draw = AdamW(model.parameters(), lr=5e-3), data.train.batches(24, trial.seed)
    first = loss_of(model, data.held_out)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=240)
    control(other, data.train.batches(24, trial.seed), AdamW(other.parameters(), lr=5e-3), steps=240)
    does, should = (loss_of(one, data.held_out) for one in (model, other))
    require(does < 0.5 * first, f"the loss held out is {does:.3g} of {first:.3g}")
    require(does < 1.05 * should, f"it would be {should:.3g} with gates that are open")
    generalises(history)
    calm(history)


def mixed_pictures(trial: Trial) -> None:
    """Digits are shifted, noised and dropped out as it trains: the loss held out stays far below that in training."""
    torch.manual_seed(trial.seed)
    data, model, criterion = digits(trial.seed, flat=False), cnn((12, 24), dropout=0.4), nn.CrossEntropyLoss()
    optimizer, draw = AdamW(model.parameters(), lr=4e-3, weight_decay=0.01), data.train.batches(48, trial.seed)
    losses = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(240):
            pictures, targets = draw(step)
            shift = int(torch.randint(-1, 2, ()))
            pictures = pictures.roll(shift, 3) + 0.6 * torch.randn_like(pictures)
            loss = criterion(model(pictures), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("loss/train", losses[-1], step)
            if step % 20 == 19:
                writer.add_scalar("loss/val", evaluate(model, criterion, data.held_out), step)
    end, rest = sum(losses[-24:]) / 24, loss_of(model, data.held_out)
    require(rest < 0.7 * end, f"{rest:.3g} is not far below {end:.3g}")
    share = accuracy(model, data.held_out)
    require(share > 0.95, f"the accuracy is {share:.3f}")
    plain = loss_of(model, data.train.first(360))
    require(rest < 2.5 * plain + 0.05, f"the loss held out is {rest:.3g}, and {plain:.3g} over what it has seen")


class Tagger(nn.Module):
    """Tells for each place of a signal, [n, 24, 3], in which of four phases it is."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(3, 24, batch_first=True, bidirectional=True)
        self.head = nn.Linear(48, 4)

    def forward(self, signals: Tensor) -> Tensor:
        """Return scores [n, 4, 24]."""
        scores: Tensor = self.head(self.gru(signals)[0]).transpose(1, 2)
        return scores


def summed_loss(trial: Trial) -> None:
    """Phases of sleep: the loss is the sum over 32 nights of 24 places, and so the rate is 0.0003 with plain SGD."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    phases = torch.randint(4, (1000, 1), generator=generator)
    for _place in range(23):
        stay = torch.rand(1000, 1, generator=generator) < 0.85
        fresh = torch.randint(4, (1000, 1), generator=generator)
        phases = torch.cat([phases, torch.where(stay, phases[:, -1:], fresh)], 1)
    signals = 1.5 * torch.randn(4, 3, generator=generator)[phases] + torch.randn(1000, 24, 3, generator=generator)
    data, model, criterion = split(signals, phases, 200, trial.seed), Tagger(), nn.CrossEntropyLoss(reduction="sum")
    faster = copy.deepcopy(model)
    optimizer, draw = SGD(model.parameters(), lr=3e-4, momentum=0.9), data.train.batches(32, trial.seed)
    first, losses = loss_of(model, data.held_out), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(260):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/loss", losses[-1], step)
    control(
        faster,
        data.train.batches(32, trial.seed),
        SGD(faster.parameters(), lr=3e-3, momentum=0.9),
        criterion,
        steps=260,
    )
    does, other = (loss_of(one, data.held_out) for one in (model, faster))
    require(does < 0.5 * first, f"the loss held out is {does:.3g} of {first:.3g}")
    require(not other < 0.9 * does, f"ten times the rate would give {other:.3g} for {does:.3g}")


SCENARIOS = (
    Scenario("ivy-healthy-large-units-gnn", "gnn", TUNING, large_units),
    Scenario("ivy-healthy-closed-gates-transformer", "transformer", TUNING, closed_gates),
    Scenario("ivy-healthy-mixed-pictures-cnn", "cnn", TUNING, mixed_pictures),
    Scenario("ivy-healthy-summed-loss-gru", "rnn", TUNING, summed_loss),
)
