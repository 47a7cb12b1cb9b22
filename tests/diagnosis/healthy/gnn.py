"""Healthy networks over graphs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import CosineAnnealingLR

from tests.diagnosis.data import Graph, Part, communities
from tests.diagnosis.networks import Gcn
from tests.diagnosis.proof import learned, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import fit


def plain(trial: Trial) -> None:
    """Two graph convolutions with weight decay and dropout."""
    graph = communities(trial.seed)
    model = Gcn(graph, dropout=0.5)
    optimizer = Adam(model.parameters(), lr=1e-2, weight_decay=5e-4)
    fit(trial, model, graph.batches(), optimizer, validation=graph.validation)
    learned(model, graph.validation, 0.85)


def whole_graph(trial: Trial) -> None:
    """The very same inputs at each step: gradients of one step and the next are nearly alike."""
    graph = communities(trial.seed)
    model = Gcn(graph, activation=nn.ELU)
    fit(trial, model, graph.batches(noise=0.0), SGD(model.parameters(), lr=0.1), validation=graph.validation)
    learned(model, graph.validation, 0.8)


def deep_residual(trial: Trial) -> None:
    """Eight graph convolutions with residual connections."""
    graph = communities(trial.seed)
    model = Gcn(graph, depth=8, residual=True, activation=nn.GELU)
    optimizer = Adam(model.parameters(), lr=3e-3)
    decay = CosineAnnealingLR(optimizer, 240)
    fit(trial, model, graph.batches(), optimizer, schedule=decay, validation=graph.validation)
    learned(model, graph.validation, 0.8)


class Attending(nn.Module):
    """Two layers of attention over the edges of a graph."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.there = graph.edges > 0
        self.values = nn.ModuleList([nn.Linear(16, 16), nn.Linear(16, 16)])
        self.asks = nn.ModuleList([nn.Linear(16, 1), nn.Linear(16, 1)])
        self.answers = nn.ModuleList([nn.Linear(16, 1), nn.Linear(16, 1)])
        self.head = nn.Linear(16, 4)
        self.nodes = (graph.held_out, graph.train)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return scores."""
        for value, ask, answer in zip(self.values, self.asks, self.answers, strict=True):
            made = value(nodes)
            scores = nn.functional.leaky_relu(ask(made) + answer(made).T, 0.2)
            shares = scores.masked_fill(~self.there, -torch.inf).softmax(1)
            nodes = nn.functional.elu(shares @ made)
        told: Tensor = self.head(nodes)[self.nodes[self.training]]
        return told


def attention(trial: Trial) -> None:
    """Attention over edges; its biases have no gradient, since a softmax does not see them."""
    graph = communities(trial.seed)
    model = Attending(graph)
    optimizer = Adam(model.parameters(), lr=2e-3, weight_decay=5e-2)
    history = fit(trial, model, graph.batches(noise=1.0), optimizer, validation=graph.validation)
    learned(model, graph.validation, 0.8)
    lowest, last = min(history.validation.values()), list(history.validation.values())[-1]
    require(last < 1.1 * lowest, f"the loss held out rose from {lowest:.3g} to {last:.3g}")


def few_labels(trial: Trial) -> None:
    """Five labels of each community: what is trained on is known by heart soon, and the rest is well told."""
    graph = communities(trial.seed)
    labelled = torch.cat([graph.train[graph.communities[graph.train] == one][:5] for one in range(4)])
    few = Graph(graph.features, graph.communities, graph.edges, labelled, graph.held_out)
    model = Gcn(few, dropout=0.3)
    optimizer = Adam(model.parameters(), lr=1e-2, weight_decay=1e-2)
    fit(trial, model, few.batches(), optimizer, validation=few.validation)
    learned(model, few.validation, 0.8)


class Pooled(nn.Module):
    """Two layers that add up over neighbours, and a sum over all nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(1, 16), nn.Linear(16, 16), nn.Linear(16, 1)

    def forward(self, edges: Tensor) -> Tensor:
        """Return [n, 1] of adjacencies [n, nodes, nodes]."""
        hidden = nn.functional.elu(self.first(edges.sum(2, keepdim=True)) / 10)
        hidden = nn.functional.elu(edges @ self.second(hidden) / 10)
        told: Tensor = self.head(hidden.sum(1) / 10)
        return told


def triangles(trial: Trial) -> None:
    """Counting in whole graphs, with sums over nodes."""
    generator = torch.Generator().manual_seed(trial.seed)
    upper = (torch.rand(800, 12, 12, generator=generator) < torch.rand(800, 1, 1, generator=generator)).float().triu(1)
    edges = upper + upper.transpose(1, 2)
    counts = torch.stack([(edge @ edge @ edge).trace() for edge in edges])[:, None]
    part, model = Part(edges, (counts - counts.mean()) / counts.std()), Pooled()
    history = fit(trial, model, part.batches(48), Adam(model.parameters(), lr=5e-3), nn.MSELoss(), steps=300)
    require(history.end < 0.2, f"the error is {history.end:.3g}")


SCENARIOS = (
    Scenario("healthy-gcn", "gnn", TUNING, plain),
    Scenario("healthy-whole-gcn", "gnn", TUNING, whole_graph),
    Scenario("healthy-residual-gcn", "gnn", TUNING, deep_residual),
    Scenario("healthy-attention-gnn", "gnn", TUNING, attention),
    Scenario("healthy-few-labels-gcn", "gnn", TUNING, few_labels),
    Scenario("healthy-sums-gnn", "gnn", TUNING, triangles),
)
