"""Healthy networks over tables: forged rows, claims, sums of small networks, few of many units, and visits."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW

from tests.diagnosis.data import Part, digits, split
from tests.diagnosis.healthy.blind_makers import apart
from tests.diagnosis.healthy.blind_tables import ranked
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import alive, calm, double, generalises, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import control, fit


def penalty(critic: nn.Module, real: Tensor, made: Tensor, generator: torch.Generator) -> Tensor:
    """Return by how much the critic's slopes between real rows and made ones differ from 1."""
    share = torch.rand(len(real), 1, generator=generator)
    between = (share * real + (1 - share) * made).requires_grad_(True)
    slopes = torch.autograd.grad(critic(between).sum(), between, create_graph=True)[0]
    apart_from_one: Tensor = (slopes.norm(dim=1) - 1).square().mean()
    return apart_from_one


def forged_rows(trial: Trial) -> None:
    """WGAN-GP makes rows of a table: the critic's loss comes from far below zero and stays there, the other drifts."""
    generator = torch.Generator().manual_seed(trial.seed)
    mix = torch.randn(4, 4, generator=generator)
    rows = torch.randn(3000, 4, generator=generator) @ mix
    rows[:, 0] = rows[:, 0].exp().clamp(max=8)
    rows = (rows - rows.mean(0)) / rows.std(0)
    maker, critic = mlp((4, 48, 48, 4)), mlp((4, 48, 48, 1), lambda: nn.LeakyReLU(0.2))
    makes, judges = (Adam(one.parameters(), lr=3e-3, betas=(0.0, 0.9)) for one in (maker, critic))

    def noise(count: int) -> Tensor:
        return torch.randn(count, 4, generator=generator)

    before = apart(maker(noise(600)).detach(), rows[:600])
    with trial.writer() as writer:
        writer.watch(critic, judges, name="critic", every=12, on_finding="ignore")
        writer.watch(maker, makes, name="generator", every=4, on_finding="ignore")
        for _ in range(150):
            for _ in range(3):
                real = rows[torch.randint(3000, (64,), generator=generator)]
                made = maker(noise(64)).detach()
                distance = critic(real).mean() - critic(made).mean()
                judged = -distance + penalty(critic, real, made, generator)
                judges.zero_grad()
                judged.backward()
                judges.step()
            fooled = -critic(maker(noise(64))).mean()
            makes.zero_grad()
            fooled.backward()
            makes.step()
            writer.add_scalar("D/loss", judged.detach(), writer.step)
            writer.add_scalar("D/wasserstein", distance.detach(), writer.step)
            writer.add_scalar("G/loss", fooled.detach(), writer.step)
    after = apart(maker(noise(600)).detach(), rows[600:1200])
    require(after < 0.25 * before, f"the distance was {before:.3g}, and is {after:.3g}")
    alive(maker, noise(600))


def tweedie(made: Tensor, claims: Tensor) -> Tensor:
    """Return Tweedie's deviance, but for what does not depend on the logarithms of means that are made."""
    return (2 * (0.5 * made).exp() + 2 * claims * (-0.5 * made).exp()).mean()


class Policies(nn.Module):
    """Says the logarithm of what a policy is going to cost, of seven numbers and two kinds of words."""

    def __init__(self) -> None:
        super().__init__()
        self.region, self.brand = nn.Embedding(12, 4), nn.Embedding(8, 3)
        self.body = mlp((14, 48, 24, 1), nn.SiLU, dropout=0.1)

    def forward(self, rows: Tensor) -> Tensor:
        """Return [n, 1] of rows [n, 9]."""
        words = [table(rows[:, at].long()) for at, table in enumerate((self.region, self.brand))]
        told: Tensor = self.body(torch.cat([*words, rows[:, 2:]], 1))
        return told


def claims(trial: Trial) -> None:
    """Claims of insured cars: nine in ten are zero, the others of all sizes, and the loss hardly falls for noise."""
    generator, count = torch.Generator().manual_seed(trial.seed), 12000
    words = torch.stack([torch.randint(many, (count,), generator=generator) for many in (12, 8)], 1).float()
    numbers = torch.randn(count, 7, generator=generator)
    risky = torch.randn(12, generator=generator)[words[:, 0].long()]
    means = (0.7 * numbers[:, 0] - 0.5 * numbers[:, 1].abs() + 0.6 * risky + 0.4 * numbers[:, 2] * numbers[:, 3]).exp()
    many = torch.poisson(0.12 * means, generator=generator)
    sizes = -torch.rand(count, generator=generator).clamp_min(1e-6).log() * 3 + 1
    paid = (many * sizes)[:, None]
    data = split(torch.cat([words, numbers], 1), paid, 3000, trial.seed)
    model = Policies()
    nn.init.constant_(model.body.head.bias, float(data.train.targets.mean().log()))
    optimizer, draw = AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2), data.train.batches(256, trial.seed)
    history = fit(trial, model, draw, optimizer, tweedie, validation=data.held_out, every=2, steps=240)
    constant = data.train.targets.mean().log().expand(3000, 1)
    told, alone = loss_of(model, data.held_out, tweedie), float(tweedie(constant, data.held_out.targets))
    losses = list(history.validation.values())
    require(told < alone - 0.05, f"the deviance is {told:.3f}, and {alone:.3f} of the mean alone")
    require(losses[-1] < min(losses) + 0.02, f"the loss held out rose from {min(losses):.3f} to {losses[-1]:.3f}")


class Additive(nn.Module):
    """A small network for each column, none of which hears of the others; in training some are left out."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.nets = nn.ModuleList(mlp((1, 12, 12, 1), nn.GELU) for _ in range(columns))
        self.drop, self.bias = nn.Dropout(0.1), nn.Parameter(torch.zeros(1))

    def forward(self, rows: Tensor) -> Tensor:
        """Return scores [n, 1] of rows [n, columns]."""
        parts = torch.cat([net(rows[:, [at]]) for at, net in enumerate(self.nets)], 1)
        scores: Tensor = self.drop(parts).sum(1, keepdim=True) + self.bias
        return scores


def sums_of_columns(trial: Trial) -> None:
    """A neural additive model; two of six columns say nothing, and their networks learn to say nothing."""
    generator = torch.Generator().manual_seed(trial.seed)
    rows = 2 * torch.rand(3000, 6, generator=generator) - 1
    score = 3 * torch.sin(4 * rows[:, 0]) + 4 * rows[:, 1].square() - 2 * rows[:, 2] + 3 * (rows[:, 3] > 0.2) - 2
    ill = (torch.rand(3000, generator=generator) < score.sigmoid()).float()[:, None]
    data, model, criterion = split(rows, ill, 600, trial.seed), Additive(6), nn.BCEWithLogitsLoss()
    optimizer, draw = AdamW(model.parameters(), lr=1.2e-2, weight_decay=1e-3), data.train.batches(96, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=4, steps=200)
    known, positive = score[:, None], data.held_out.targets[:, 0] > 0
    with torch.no_grad():
        found = ranked(model.eval()(data.held_out.inputs)[:, 0], positive)
    best = ranked(known[:, 0], ill[:, 0] > 0)
    require(found > best - 0.035, f"AUC is {found:.3f}, and could be {best:.3f}")
    calm(history, 0.5)
    generalises(history)


class Largest(nn.Module):
    """Keeps the twelve largest of what it gets, and sets the others to zero."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return [n, units]."""
        values, places = inputs.topk(12, 1)
        return torch.zeros_like(inputs).scatter(1, places, values.relu())


def twelve_of_many(trial: Trial) -> None:
    """A sparse autoencoder of another network's activations: of 96 units twelve speak at a time, never the same."""
    body, data = mlp((64, 48, 10)), digits(trial.seed)
    control(body, data.train.batches(64), Adam(body.parameters(), lr=3e-3), steps=150)
    with torch.no_grad():
        hidden = [body.fc1(part.inputs) for part in (data.train, data.held_out)]
    middle, scale = hidden[0].mean(0), hidden[0].std()
    train, held_out = (Part((one - middle) / scale, (one - middle) / scale) for one in hidden)
    encoder, decoder = nn.Linear(48, 96), nn.Linear(96, 48)
    with torch.no_grad():
        decoder.weight.copy_(nn.functional.normalize(torch.randn(48, 96), dim=0))
        encoder.weight.copy_(decoder.weight.T)
    model, criterion = nn.Sequential(encoder, Largest(), decoder), nn.MSELoss()
    optimizer, draw = Adam(model.parameters(), lr=2e-3), train.batches(96, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=held_out, steps=300, every=3)
    with torch.no_grad():
        fired = (model[1](model[0](train.inputs)) > 0).any(0)
    told = loss_of(model, held_out, criterion) / float(held_out.targets.var(0).mean())
    require(told < 0.25 and float(fired.float().mean()) > 0.95, f"{told:.3f} is lost, {int(fired.sum())} units speak")
    calm(history)
    generalises(history)


class Visits(nn.Module):
    """A GRU cell over visits: what was not measured is as it was last, fading towards the mean as time goes by."""

    def __init__(self) -> None:
        super().__init__()
        self.fade, self.cell = nn.Linear(1, 4), nn.GRUCell(9, 20)
        self.head = nn.Linear(20, 1)

    def forward(self, visits: Tensor) -> Tensor:
        """Return scores [n, 1] of values, masks and days since the last visit, [n, visits, 4 + 4 + 1]."""
        hidden, last = visits.new_zeros(len(visits), 20), visits.new_zeros(len(visits), 4)
        for visit in visits.unbind(1):
            value, there, days = visit.split((4, 4, 1), 1)
            last = torch.where(there > 0, value, (-self.fade(days).relu()).exp() * last)
            hidden = self.cell(torch.cat([last, there, days], 1), hidden)
        scores: Tensor = self.head(hidden)
        return scores


def visits(trial: Trial) -> None:
    """Patients by irregular visits, two in three values missing, and outcomes that are mostly chance: a high floor."""
    generator, count = torch.Generator().manual_seed(trial.seed), 2400
    level = torch.randn(count, 1, 4, generator=generator)
    values = level + 0.5 * torch.randn(count, 8, 4, generator=generator).cumsum(1)
    there = (torch.rand(count, 8, 4, generator=generator) < 0.35).float()
    days = -torch.rand(count, 8, 1, generator=generator).clamp_min(1e-4).log()
    score = values[:, -3:, 0].mean(1) - values[:, :, 1].amax(1) + 1
    died = (torch.rand(count, generator=generator) < score.sigmoid()).float()[:, None]
    data = split(torch.cat([values * there, there, days], 2), died, 480, trial.seed)
    model, criterion = Visits(), nn.BCEWithLogitsLoss()
    optimizer, draw = AdamW(model.parameters(), lr=4e-3, weight_decay=1e-2), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=4, steps=200)
    positive = data.held_out.targets[:, 0] > 0
    with torch.no_grad():
        found = ranked(double(model).eval()(data.held_out.inputs.double())[:, 0], positive)
    losses = list(history.validation.values())
    require(found > 0.7, f"AUC is {found:.3f}")
    require(losses[-1] < min(losses) + 0.02, f"the loss held out rose from {min(losses):.3f} to {losses[-1]:.3f}")


SCENARIOS = (
    Scenario("healthy-forged-rows-mlp", "mlp", TUNING, forged_rows),
    Scenario("healthy-claims-mlp", "mlp", TUNING, claims),
    Scenario("healthy-additive-mlp", "mlp", TUNING, sums_of_columns),
    Scenario("healthy-few-of-many-mlp", "mlp", TUNING, twelve_of_many),
    Scenario("healthy-visits-gru", "rnn", TUNING, visits),
)
