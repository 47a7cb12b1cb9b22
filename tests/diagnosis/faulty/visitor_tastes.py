"""Recommenders that hardly move, that are sure from the start, and that don't hear what an edge means."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, Optimizer

from tests.diagnosis.data import Graph, Part, communities, split
from tests.diagnosis.faulty.rates import worse
from tests.diagnosis.faulty.wiring import cut_off
from tests.diagnosis.healthy.stranger_relations import ITEMS, USERS, Tastes
from tests.diagnosis.proof import accuracy, outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


def bought(seed: int) -> Tensor:
    """Return who bought what, [users, items], of four tastes and four kinds."""
    chance = torch.full((USERS, ITEMS), 0.03)
    chance[torch.arange(USERS)[:, None] % 4 == torch.arange(ITEMS) % 4] = 0.4
    return torch.rand(USERS, ITEMS, generator=torch.Generator().manual_seed(seed)) < chance


def ranking(model: Tastes, pairs: Tensor, generator: torch.Generator) -> Tensor:
    """Return the loss of a batch of what was bought, each with something else by chance."""
    user, item = pairs[torch.randint(len(pairs), (512,), generator=generator)].T
    other = torch.randint(ITEMS, (512,), generator=generator)
    scores = model()
    return functional.softplus(scores[user, other] - scores[user, item]).mean()


def learn(model: Tastes, optimizer: Optimizer, pairs: Tensor, seed: int, steps: int) -> float:
    """Train unwatched, and return the mean of the last losses."""
    generator, losses = torch.Generator().manual_seed(seed), []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = ranking(model, pairs, generator)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return sum(losses[-15:]) / 15


def mean_over_a_large_batch(trial: Trial) -> Truth:
    """SGD at 0.01 on a table, of whose rows each is in a few of 512 pairs, over which the loss is a mean."""
    pairs = bought(trial.seed)
    model, losses = Tastes(pairs.float()), []
    other, generator = copy.deepcopy(model), torch.Generator().manual_seed(trial.seed)
    optimizer = SGD(model.parameters(), lr=0.01)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=1, on_finding="ignore")
        for _epoch in range(12):
            epoch_loss = 0.0
            for _ in range(15):
                loss = ranking(model, pairs.nonzero(), generator)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(float(loss.detach()))
                epoch_loss += losses[-1] / 15
            writer.add_scalar("train/bpr_loss", epoch_loss, writer.step)
    better = learn(other, SGD(other.parameters(), lr=30.0), pairs.nonzero(), trial.seed, 180)
    worse(sum(losses[-15:]) / 15, better, 1.7)
    return Truth()


class Stars(nn.Module):
    """Says what users think of items, from 0 to 1: the product of their vectors in a sigmoid."""

    def __init__(self, users: int = 150, items: int = 90) -> None:
        super().__init__()
        self.users, self.items = nn.Embedding(users, 128), nn.Embedding(items, 128)
        self.act = nn.Sigmoid()

    def forward(self, pairs: Tensor) -> Tensor:
        """Return [n] of pairs [n, 2]."""
        told: Tensor = self.act((self.users(pairs[:, 0]) * self.items(pairs[:, 1])).sum(1))
        return told


def rated(seed: int, count: int = 7000) -> Part:
    """Return pairs of users and items, [n, 2], and ratings from 0 to 1, [n]."""
    generator = torch.Generator().manual_seed(seed)
    pairs = torch.stack([torch.randint(many, (count,), generator=generator) for many in (150, 90)], 1)
    leaning, liked = torch.randn(150, generator=generator), torch.randn(90, generator=generator)
    stars = 2.5 + 0.8 * leaning[pairs[:, 0]] + 0.8 * liked[pairs[:, 1]] + 0.5 * torch.randn(count, generator=generator)
    return split(pairs, stars.round().clamp(0, 5) / 5, count // 5, seed).train


def vectors_as_torch_begins_them(trial: Trial) -> Truth:
    """Vectors of 128 numbers of deviation 1: their products are of deviation 11, and each sigmoid at an end."""
    data, model, other = rated(trial.seed), Stars(), Stars()
    optimizer = Adam(model.parameters(), lr=1e-3)
    history = fit(trial, model, data.batches(128, trial.seed), optimizer, nn.MSELoss(), every=1, steps=240)
    for table in (other.users, other.items):
        nn.init.normal_(table.weight, std=0.1)
    better = control(other, data.batches(128, trial.seed), Adam(other.parameters(), lr=1e-3), nn.MSELoss())
    worse(history.end, better)
    told = outputs(model, "act", data.inputs)
    ends = float(((told < 0.01) | (told > 0.99)).double().mean())
    require(ends > 0.55, f"{ends:.2f} of the sigmoids are at an end")
    return Truth(("users", "items", "act"))


class Relations(nn.Module):
    """Who follows whom and who blocks whom: messages along each kind of edges, weighed by what the kind means."""

    def __init__(self, graph: Graph, kinds: Tensor, *, heard: bool) -> None:
        super().__init__()
        self.register_buffer("kinds", kinds, persistent=False)
        self.relations, self.heard = nn.Embedding(len(kinds), 24), heard
        self.enter, self.layers = nn.Linear(16, 24), nn.ModuleList(nn.Linear(24, 24) for _ in range(2))
        self.head, self.nodes = nn.Linear(24, 4), (graph.held_out, graph.train)

    def forward(self, features: Tensor) -> Tensor:
        """Return scores of the nodes that are trained on, or in evaluation of those held out."""
        hidden = self.enter(features).relu()
        for layer in self.layers:
            messages = self.kinds @ layer(hidden)
            if self.heard:
                messages = messages * self.relations.weight[:, None]
            hidden = (hidden + messages.sum(0)).relu()
        scores: Tensor = self.head(hidden)[self.nodes[self.training]]
        return scores


def kinds_of_edges_unheard(trial: Trial) -> Truth:
    """There is a vector for each kind of edges, and the line in which messages are multiplied by it was lost."""
    graph = communities(trial.seed, size=60, between=0.01)
    generator = torch.Generator().manual_seed(trial.seed)
    apart = graph.communities[:, None] != graph.communities
    blocks = (torch.rand(apart.shape, generator=generator) < 0.15) & apart
    noise = torch.rand(3, *apart.shape, generator=generator) < 0.1
    kinds = torch.cat([torch.stack([graph.edges > 0, blocks]), noise]).float()
    kinds = kinds / kinds.sum(2, keepdim=True).clamp_min(1)
    graph = replace(graph, features=graph.features + 2.0 * torch.randn(graph.features.shape, generator=generator))
    model, other = (Relations(graph, kinds, heard=heard) for heard in (False, True))
    optimizer = Adam(model.parameters(), lr=5e-3)
    fit(trial, model, graph.batches(noise=0.5), optimizer, validation=graph.validation, every=2, steps=200)
    control(other, graph.batches(noise=0.5), Adam(other.parameters(), lr=5e-3), steps=200)
    right, better = (accuracy(one, graph.validation) for one in (model, other))
    require(right < better - 0.1, f"{right:.2f} are right, and {better:.2f} with kinds that are heard")
    return cut_off(model, ("relations",), Part(graph.features, graph.communities[graph.train]))


_NUMB = ("vanishing_gradient", "loss_plateau")

SCENARIOS = (
    Scenario("low-neighbours-gnn", "gnn", TUNING, mean_over_a_large_batch, ("lr_too_low",), ("loss_plateau",)),
    Scenario("saturated-stars-mlp", "mlp", TUNING, vectors_as_torch_begins_them, ("saturation", "poor_init"), _NUMB),
    Scenario("unused-relations-gnn", "gnn", TUNING, kinds_of_edges_unheard, ("unused_parameter",), ("overfitting",)),
)
