"""Healthy trainings: heart beats, tumours, machines that hum, a graph told deeply."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, RMSprop
from torch.optim.lr_scheduler import CosineAnnealingLR

from tests.diagnosis.data import Graph, Split, communities, patients, split
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import accuracy, calm, generalises, loss_of, require, sound
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import fit


def beats(seed: int, count: int = 1200) -> Split:
    """Return heart beats, [n, 1, 64], of four shapes."""
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.randint(4, (count,), generator=generator)
    at = 26 + 12 * torch.rand(count, 1, generator=generator)
    width = torch.tensor([2.0, 2.0, 4.5, 2.0])[kinds, None]
    after = torch.tensor([14.0, 8.0, 14.0, 14.0])[kinds, None]
    sign = torch.tensor([1.0, 1.0, 1.0, -1.0])[kinds, None]
    time = torch.arange(64.0)
    peak = torch.exp(-(((time - at) / width) ** 2)) * 2
    wave = sign * 0.8 * torch.exp(-(((time - at - after) / 4) ** 2))
    drift = 0.3 * (time / 20 + 6.3 * torch.rand(count, 1, generator=generator)).sin()
    signals = peak + wave + drift + 0.2 * torch.randn(count, 64, generator=generator)
    return split(((signals - signals.mean()) / signals.std())[:, None], kinds, 240, seed)


def heart(trial: Trial) -> None:
    """Tells four kinds of heart beats apart by convolutions over time."""
    torch.manual_seed(trial.seed)
    data = beats(trial.seed)
    model = nn.Sequential(
        nn.Sequential(nn.Conv1d(1, 16, 7, padding=3), nn.BatchNorm1d(16), nn.ReLU(), nn.MaxPool1d(2)),
        nn.Sequential(nn.Conv1d(16, 24, 5, padding=2), nn.BatchNorm1d(24), nn.ReLU(), nn.MaxPool1d(2)),
        nn.Sequential(nn.Conv1d(24, 32, 3, padding=1), nn.BatchNorm1d(32), nn.ReLU(), nn.AdaptiveAvgPool1d(4)),
        nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(128, 4)),
    )
    optimizer, draw = AdamW(model.parameters(), lr=2e-3, weight_decay=0.01), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, steps=180, validation=data.held_out, every=2)
    sound(model, data.held_out, 0.95, history)


def tumours(trial: Trial) -> None:
    """Benign or not, from thirty measurements, by Nesterov's momentum and a rate that falls along a cosine."""
    torch.manual_seed(trial.seed)
    data, criterion = patients(trial.seed), nn.BCEWithLogitsLoss()
    model = mlp((30, 32, 16, 1), nn.LeakyReLU, dropout=0.2)
    optimizer = SGD(model.parameters(), lr=0.02, momentum=0.9, nesterov=True, weight_decay=1e-3)
    schedule, draw = CosineAnnealingLR(optimizer, 160), data.train.batches(32, trial.seed)
    history = fit(
        trial, model, draw, optimizer, criterion, schedule=schedule, validation=data.held_out, every=None, steps=160
    )
    with torch.no_grad():
        told = model.eval()(data.held_out.inputs) > 0
    share = float((told == (data.held_out.targets > 0.5)).double().mean())
    require(share > 0.93, f"the accuracy is {share:.3f}")
    generalises(history)
    calm(history)


class Hum(nn.Module):
    """A GRU that says of a machine's hum how fast it turns and how loud it is."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.norm = nn.GRU(2, 32, batch_first=True), nn.LayerNorm(32)
        self.head = nn.Sequential(nn.Linear(32, 16), nn.Tanh(), nn.Linear(16, 2))

    def forward(self, signal: Tensor) -> Tensor:
        """Return [n, 2]."""
        told: Tensor = self.head(self.norm(self.gru(signal)[0].mean(1)))
        return told


def hums(seed: int, count: int = 1200) -> Split:
    """Return what two microphones heard, [n, 30, 2], and how fast and how loud it was."""
    generator = torch.Generator().manual_seed(seed)
    fast, loud = torch.rand(2, count, 1, generator=generator)
    angle = (0.3 + 0.9 * fast) * torch.arange(30.0) + 6.3 * torch.rand(count, 1, generator=generator)
    heard = (0.6 + loud)[..., None] * torch.stack([angle.sin(), (angle - 0.5).sin()], 2)
    heard = heard + 0.15 * torch.randn(count, 30, 2, generator=generator)
    return split(heard, (torch.cat([fast, loud], 1) - 0.5) * math.sqrt(12), 240, seed)


def humming(trial: Trial) -> None:
    """How fast a machine turns and how loud it is, by RMSprop."""
    torch.manual_seed(trial.seed)
    data, model, criterion = hums(trial.seed), Hum(), nn.MSELoss()
    optimizer, draw = RMSprop(model.parameters(), lr=1e-3), data.train.batches(48, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, steps=240, validation=data.held_out, clip=5.0, every=2)
    left = loss_of(model, data.held_out, criterion)
    require(left < 0.15, f"{left:.3f} of the variance is left")
    generalises(history)
    calm(history)


class DeepGraph(nn.Module):
    """Eight rounds over a graph, each of which hears of the first state again."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.register_buffer("edges", graph.edges, persistent=False)
        self.lift = nn.Linear(16, 32)
        self.rounds = nn.ModuleList(nn.Linear(32, 32, bias=False) for _ in range(8))
        self.drop, self.head = nn.Dropout(0.2), nn.Linear(32, 4)
        self.nodes = (graph.held_out, graph.train)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return scores [nodes, 4]."""
        first = functional.relu(self.lift(nodes))
        hidden = first
        for at, layer in enumerate(self.rounds, start=1):
            mixed = 0.6 * (self.edges @ self.drop(hidden)) + 0.4 * first
            share = math.log(0.5 / at + 1)
            hidden = functional.relu((1 - share) * mixed + share * layer(mixed))
        scores: Tensor = self.head(self.drop(hidden))[self.nodes[self.training]]
        return scores


def eight_rounds(trial: Trial) -> None:
    """A graph network of eight rounds, that keeps its nodes apart by mixing in where they came from."""
    torch.manual_seed(trial.seed)
    graph = communities(trial.seed, size=50, inside=0.2, between=0.03)
    model = DeepGraph(graph)
    optimizer, draw = Adam(model.parameters(), lr=5e-3, weight_decay=5e-4), graph.batches(trial.seed, noise=0.3)
    history = fit(trial, model, draw, optimizer, steps=120, validation=graph.validation, every=2)
    share = accuracy(model, graph.validation)
    require(share > 0.9, f"the accuracy is {share:.3f}")
    generalises(history)
    calm(history)


SCENARIOS = (
    Scenario("rowan-healthy-beats-cnn", "cnn", TUNING, heart),
    Scenario("rowan-healthy-tumours-mlp", "mlp", TUNING, tumours),
    Scenario("rowan-healthy-hums-gru", "rnn", TUNING, humming),
    Scenario("rowan-healthy-deep-gnn", "gnn", TUNING, eight_rounds),
)
