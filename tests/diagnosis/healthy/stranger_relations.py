"""Healthy networks over relations: who likes what, what is true of what, and who passes traffic on to whom."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adagrad, Adam

from tests.diagnosis.data import Part
from tests.diagnosis.networks import GraphConvolution
from tests.diagnosis.proof import calm, generalises, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import fit

USERS, ITEMS, SIDE, SENSORS = 120, 100, 9, 12


class Tastes(nn.Module):
    """LightGCN: one table of vectors, which are passed along the edges twice without weights, and averaged."""

    def __init__(self, edges: Tensor) -> None:
        super().__init__()
        self.table = nn.Embedding(USERS + ITEMS, 12)
        nn.init.normal_(self.table.weight, std=0.1)
        whole = torch.zeros(USERS + ITEMS, USERS + ITEMS)
        whole[:USERS, USERS:], whole[USERS:, :USERS] = edges, edges.T
        roots = whole.sum(1).clamp_min(1).rsqrt()
        self.register_buffer("edges", roots[:, None] * whole * roots, persistent=False)

    def forward(self) -> Tensor:
        """Return how well each user likes each item, [users, items]."""
        start = self.table.weight
        once = self.edges @ start
        codes = (start + once + self.edges @ once) / 3
        return codes[:USERS] @ codes[USERS:].T


def tastes(trial: Trial) -> None:
    """Bayesian personal ranking over a graph without a layer that has weights: the loss starts at log 2."""
    generator = torch.Generator().manual_seed(trial.seed)
    chance = torch.full((USERS, ITEMS), 0.03)
    chance[torch.arange(USERS)[:, None] % 4 == torch.arange(ITEMS) % 4] = 0.4
    likes = torch.rand(USERS, ITEMS, generator=generator) < chance
    kept = likes & (torch.rand(USERS, ITEMS, generator=generator) < 0.8)
    model, pairs = Tastes(kept.float()), kept.nonzero()
    optimizer, ranks = Adam(model.parameters(), lr=1e-2), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=1, on_finding="ignore")
        for step in range(160):
            user, liked = pairs[torch.randint(len(pairs), (128,), generator=generator)].T
            other = torch.randint(ITEMS, (128,), generator=generator)
            scores = model()
            ranking = -functional.logsigmoid(scores[user, liked] - scores[user, other]).mean()
            rows = model.table.weight[torch.cat([user, USERS + liked, USERS + other])]
            penalty = 1e-3 * rows.square().sum() / len(user)
            optimizer.zero_grad()
            (ranking + penalty).backward()
            optimizer.step()
            writer.add_scalar("bpr_loss", ranking.detach(), writer.step)
            writer.add_scalar("reg_loss", penalty.detach(), writer.step)
            if step % 40 == 39:
                ranks.append(_ranks(model().detach(), likes, kept))
                writer.add_scalar("auc", ranks[-1], writer.step)
    best = _ranks(chance, likes, kept)
    require(ranks[-1] > best - 0.08, f"{ranks[-1]:.3f} of the pairs are in order, and {best:.3f} could be")
    require(ranks[-1] > max(ranks) - 0.02, "it got worse")


def _ranks(scores: Tensor, likes: Tensor, kept: Tensor) -> float:
    """Return how often what is liked and held out is before what is not liked; a tie is half."""
    right, wrong = scores[likes & ~kept].double(), scores[~likes].double()
    before, level = (found.double().mean() for found in (right[:, None] > wrong, right[:, None] == wrong))
    return float(before + level / 2)


class Facts(nn.Module):
    """TransE: things are places, relations are ways; rows of things that grow too long are cut when they are read."""

    def __init__(self) -> None:
        super().__init__()
        self.things, self.ways = nn.Embedding(SIDE**2, 16, max_norm=1.0), nn.Embedding(5, 16)
        nn.init.normal_(self.things.weight, std=0.2)
        nn.init.normal_(self.ways.weight, std=0.2)

    def forward(self, facts: Tensor) -> Tensor:
        """Return how far facts [n, 3], of things, a relation and things, are from being true, [n]."""
        first, way, second = facts.T
        told: Tensor = (self.things(first) + self.ways(way) - self.things(second)).norm(dim=1)
        return told


def facts(trial: Trial) -> None:
    """A knowledge graph of neighbours on a board: many batches hardly have a loss, and one relation is rare."""
    generator = torch.Generator().manual_seed(trial.seed)
    rows, columns = torch.arange(SIDE**2) // SIDE, torch.arange(SIDE**2) % SIDE
    known = []
    for way, (down, right) in enumerate([(0, 1), (0, -1), (1, 0), (-1, 0), (2, 2)]):
        there = ((rows + down) // SIDE == 0) & ((columns + right) // SIDE == 0)
        there &= (rows % 4 == 0) | (way < 4)
        first = there.nonzero()[:, 0]
        known.append(torch.stack([first, torch.full_like(first, way), first + SIDE * down + right], 1))
    every = torch.cat(known)
    every = every[torch.randperm(len(every), generator=generator)]
    train, held_out, model = every[40:], every[:40], Facts()
    optimizer, losses = Adagrad(model.parameters(), lr=0.1), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=1, on_finding="ignore")
        for _step in range(300):
            true = train[torch.randint(len(train), (96,), generator=generator)]
            false = true.clone()
            false[:48, 0], false[48:, 2] = torch.randint(SIDE**2, (2, 48), generator=generator)
            loss = functional.margin_ranking_loss(model(false), model(true), torch.ones(96), margin=0.5)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
            writer.add_scalar("train/margin_loss", losses[-1], writer.step)
    asked = held_out.repeat_interleave(SIDE**2, 0)
    asked[:, 2] = torch.arange(SIDE**2).repeat(len(held_out))
    far = model(asked).detach().view(len(held_out), -1)
    near = ((far < far.gather(1, held_out[:, 2:])).sum(1) < 8).double().mean()
    require(near > 0.7, f"{float(near):.2f} of the facts held out are among the eight of {SIDE**2} that are nearest")


class Traffic(nn.Module):
    """A graph convolution at each time, a recurrent network over the times of each sensor, and three times to come."""

    def __init__(self, edges: Tensor) -> None:
        super().__init__()
        self.conv, self.rnn, self.head = (
            GraphConvolution(edges, 1, 12),
            nn.GRU(12, 24, batch_first=True),
            nn.Linear(24, 3),
        )

    def forward(self, series: Tensor) -> Tensor:
        """Return [n, sensors, 3] of [n, times, sensors]."""
        passed = self.conv(series[..., None]).relu()
        made: Tensor = self.rnn(passed.transpose(1, 2).flatten(0, 1))[0][:, -1].unflatten(0, (len(series), -1))
        told: Tensor = self.head(made) + series[:, -1, :, None]
        return told


def traffic(trial: Trial) -> None:
    """Sensors along a road, some of whose values are missing and stand as zeros, which the loss leaves out."""
    generator = torch.Generator().manual_seed(trial.seed)
    ring = torch.eye(SENSORS)
    road = 0.5 * ring + 0.4 * ring.roll(1, 1) + 0.1 * ring.roll(-1, 1)
    state, series = torch.randn(SENSORS, generator=generator), []
    for at in range(900):
        push = torch.sin(torch.tensor(2 * torch.pi * at / 20)) * (torch.arange(SENSORS) < 4)
        state = 0.95 * road @ state + 0.4 * push + 0.1 * torch.randn(SENSORS, generator=generator)
        series.append(state)
    whole = torch.stack(series)
    whole = (whole - whole.mean()) / whole.std()
    cut = whole.unfold(0, 13, 1).transpose(1, 2)
    train, held_out = (Part(part[:, :10], part[:, 10:].transpose(1, 2)) for part in (cut[:680], cut[720:]))
    lost = torch.rand(train.targets.shape, generator=generator) < 0.15
    train = Part(train.inputs, train.targets.masked_fill(lost, 0.0))

    def criterion(told: Tensor, targets: Tensor) -> Tensor:
        there = (targets != 0).to(told)
        return ((told - targets).abs() * there).sum() / there.sum()

    model = Traffic(road)
    optimizer, draw = Adam(model.parameters(), lr=5e-3), train.batches(24, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, steps=200, clip=5.0, validation=held_out, every=2)
    still = float((held_out.inputs[:, -1, :, None] - held_out.targets).abs().mean())
    error = loss_of(model, held_out, criterion)
    require(error < 0.7 * still, f"the error is {error:.3g}, and {still:.3g} of standing still")
    calm(history)
    generalises(history)


SCENARIOS = (
    Scenario("healthy-tastes-gnn", "gnn", TUNING, tastes),
    Scenario("healthy-facts-gnn", "gnn", TUNING, facts),
    Scenario("healthy-traffic-gnn", "gnn", TUNING, traffic),
)
