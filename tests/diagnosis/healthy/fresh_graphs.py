"""Healthy networks over graphs whose targets or layers are out of the ordinary."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam

from tests.diagnosis.data import Graph, communities
from tests.diagnosis.networks import GraphConvolution, mlp
from tests.diagnosis.proof import calm, require, sound
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import fit


class Linked(nn.Module):
    """Embeds nodes; which of them are joined is in their products."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.first, self.second = GraphConvolution(graph.edges, 16, 24), GraphConvolution(graph.edges, 24, 12)
        self.features = graph.features

    def forward(self, pairs: Tensor) -> Tensor:
        """Return scores [n] of pairs of nodes [n, 2]."""
        codes = self.second(self.first(self.features).relu())
        told: Tensor = (codes[pairs[:, 0]] * codes[pairs[:, 1]]).sum(1)
        return told


def links(trial: Trial) -> None:
    """A graph autoencoder: as many pairs that are joined as pairs that are not; the loss can't fall far."""
    graph = communities(trial.seed, inside=0.5, between=0.01)
    joined = (graph.edges.triu(1) > 0).nonzero()
    generator = torch.Generator().manual_seed(trial.seed)
    model, count = Linked(graph), len(graph.communities)

    def batches(_step: int) -> tuple[Tensor, Tensor]:
        chosen = joined[torch.randint(len(joined), (128,), generator=generator)]
        others = torch.randint(count, (128, 2), generator=generator)
        return torch.cat([chosen, others]), torch.arange(256).lt(128).float()

    criterion = nn.BCEWithLogitsLoss()
    history = fit(trial, model, batches, Adam(model.parameters(), lr=3e-3), criterion, steps=240)
    calm(history)
    alike = graph.communities[:, None] == graph.communities
    codes = model.second(model.first(graph.features).relu()).detach()
    scores = codes @ codes.T
    right = torch.cat([scores[alike] > 0.5, scores[~alike] < 0.5]).float().mean()
    require(right > 0.7, f"{float(right):.2f} of the pairs are told")


class Propagated(nn.Module):
    """An MLP over nodes, whose scores are then passed along the edges ten times."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.scores = mlp((16, 32, 4), dropout=0.3)
        self.register_buffer("edges", graph.edges, persistent=False)
        self.nodes = (graph.held_out, graph.train)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return scores [nodes, communities]."""
        start = made = self.scores(nodes)
        for _ in range(10):
            made = 0.9 * self.edges @ made + 0.1 * start
        told: Tensor = made[self.nodes[self.training]]
        return told


def propagated(trial: Trial) -> None:
    """APPNP: ten passes along the edges make neighbours alike, and ought to; there is nothing to learn in them."""
    graph = communities(trial.seed)
    model = Propagated(graph)
    optimizer = Adam(model.parameters(), lr=5e-3, weight_decay=1e-3)
    history = fit(trial, model, graph.batches(noise=0.3), optimizer, validation=graph.validation, steps=240)
    sound(model, graph.validation, 0.85, history)


class Jumping(nn.Module):
    """Four graph convolutions, all of whose outputs the head sees; edges and features are left out at random."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.register_buffer("edges", graph.edges, persistent=False)
        self.convs = nn.ModuleList(GraphConvolution(graph.edges, a, b) for a, b in pairwise([16, 12, 12, 12, 12]))
        self.head = nn.Linear(48, 4)
        self.nodes = (graph.held_out, graph.train)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return scores [nodes, communities]."""
        edges = functional.dropout(self.edges, 0.3, self.training)
        made, seen = functional.dropout(nodes, 0.3, self.training), []
        for conv in self.convs:
            conv.edges = edges
            made = functional.silu(conv(made))
            seen.append(made)
        told: Tensor = self.head(torch.cat(seen, 1))[self.nodes[self.training]]
        return told


def jumping(trial: Trial) -> None:
    """Jumping knowledge and edges that are dropped: whatever is far from the head has a way of its own to it."""
    graph = communities(trial.seed)
    model = Jumping(graph)
    optimizer = Adam(model.parameters(), lr=5e-3, weight_decay=5e-3)
    history = fit(trial, model, graph.batches(noise=0.3), optimizer, validation=graph.validation, steps=200)
    sound(model, graph.validation, 0.85, history)


SCENARIOS = (
    Scenario("healthy-links-gcn", "gnn", TUNING, links),
    Scenario("healthy-propagated-gnn", "gnn", TUNING, propagated),
    Scenario("healthy-jumping-gcn", "gnn", TUNING, jumping),
)
