"""Healthy recurrent networks: a reservoir that is never trained, pointers that sort, and times of arrival."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam

from tests.diagnosis.data import Part, Split, split
from tests.diagnosis.proof import calm, generalises, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import evaluate, fit

SORTED = 5


class Reservoir(nn.Module):
    """An echo state network: recurrent weights by chance, which stay as they are, and a head that learns."""

    def __init__(self, width: int = 80) -> None:
        super().__init__()
        self.rnn, self.head = nn.RNN(1, width, batch_first=True), nn.Linear(width, 1)
        with torch.no_grad():
            radius = torch.linalg.eigvals(self.rnn.weight_hh_l0).abs().max()
            self.rnn.weight_hh_l0.mul_(0.9 / radius)
            self.rnn.weight_ih_l0.uniform_(-0.5, 0.5)
        self.rnn.requires_grad_(False)

    def forward(self, series: Tensor) -> Tensor:
        """Return the next value [n, 1] of series [n, length, 1]."""
        told: Tensor = self.head(self.rnn(series)[0][:, -1])
        return told


def tides(seed: int, count: int = 1200, length: int = 24) -> Split:
    """Return windows of a level that two moons pull at, [n, length, 1], and the next value, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    hours = torch.arange(count + length)
    level = torch.sin(hours / 2.3) * (1 + 0.5 * torch.sin(hours / 17)) + 0.4 * torch.sin(hours / 5.1 + 1)
    level = level + 0.1 * torch.randn(len(hours), generator=generator)
    windows = ((level - level.mean()) / level.std()).unfold(0, length + 1, 1)
    return split(windows[:, :-1, None], windows[:, -1:], count // 5, seed)


def reservoir(trial: Trial) -> None:
    """Nothing learns but the last layer, on purpose; all the weights before it are frozen at chance."""
    data, model, criterion = tides(trial.seed), Reservoir(), nn.MSELoss()
    optimizer, draw = Adam(model.head.parameters(), lr=1e-2), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=260)
    states = functional.pad(model.rnn(data.train.inputs)[0][:, -1], (0, 1), value=1.0).double()
    ridge = states.T @ states + 0.1 * torch.eye(states.shape[1])
    weights = torch.linalg.solve(ridge, states.T @ data.train.targets.double())
    best = float((states @ weights - data.train.targets).square().mean())
    require(history.end < 1.8 * best, f"the error is {history.end:.3g}, and that of the best head {best:.3g}")
    calm(history)
    generalises(history)


class Pointer(nn.Module):
    """Reads numbers, and points at one after another: those it pointed at already can't be chosen again."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.embed, self.encoder = nn.Linear(1, width), nn.LSTM(width, width, batch_first=True)
        self.cell, self.start = nn.LSTMCell(width, width), nn.Parameter(torch.zeros(width))
        self.key, self.query, self.score = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, 1)

    def forward(self, numbers: Tensor, order: Tensor | None = None) -> Tensor:
        """Return scores [n, places, steps] of numbers [n, places], told the right `order` or by its own."""
        read = self.embed(numbers[..., None])
        states, (hidden, cell) = self.encoder(read)
        hidden, cell, keys = hidden[0], cell[0], self.key(states)
        given, gone, told = self.start.expand_as(hidden), torch.zeros_like(numbers, dtype=torch.bool), []
        for at in range(numbers.shape[1]):
            hidden, cell = self.cell(given, (hidden, cell))
            scores = self.score((keys + self.query(hidden)[:, None]).tanh())[..., 0].masked_fill(gone, -torch.inf)
            told.append(scores)
            chosen = scores.argmax(1) if order is None else order[:, at]
            gone = gone | functional.one_hot(chosen, numbers.shape[1]).bool()
            given = read[torch.arange(len(read)), chosen]
        return torch.stack(told, 2)


def pointers(trial: Trial) -> None:
    """A pointer network sorts: its last step is always right, since only one is left, and others' scores are −∞."""
    generator = torch.Generator().manual_seed(trial.seed)
    numbers = torch.rand(3000, SORTED, generator=generator)
    data, model = Part(numbers[300:], numbers[300:].argsort(1)), Pointer()
    optimizer, draw = Adam(model.parameters(), lr=6e-3), data.batches(48, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=4, on_finding="ignore")
        for step in range(200):
            some, order = draw(step)
            loss = functional.cross_entropy(model(some, order), order)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 2.0)
            optimizer.step()
            writer.add_scalar("train/loss", loss.detach(), writer.step)
    with torch.no_grad():
        order = model.eval()(numbers[:300]).argmax(1)
    right = float((order == numbers[:300].argsort(1)).double().mean())
    require(right > 0.8, f"{right:.2f} of the places are right")


class Arrivals(nn.Module):
    """A GRU over the times between calls, which says how the time to the next one is distributed."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.GRU(1, 24, batch_first=True), nn.Linear(24, 2)

    def forward(self, gaps: Tensor) -> Tensor:
        """Return means and logarithms of deviations of the logarithms of next gaps, [n, length, 2], of [n, length]."""
        told: Tensor = self.head(self.rnn(gaps.log()[..., None] + 6)[0])
        return told


def surprise(told: Tensor, gaps: Tensor) -> Tensor:
    """Return minus the logarithm of the density of gaps, which is of time, and not of its logarithm."""
    means, log_sizes = (told - torch.tensor([6.0, 0.0])).unbind(2)
    logarithms = gaps.log()
    parts = 0.5 * ((logarithms - means) / log_sizes.exp()).square() + log_sizes + 0.5 * math.log(2 * math.pi)
    return (parts + logarithms).mean()


def arrivals(trial: Trial) -> None:
    """A point process in days, of which calls are minutes apart: the loss is of −5 and below, and falls by a little."""
    generator = torch.Generator().manual_seed(trial.seed)
    many, length = 900, 25
    logarithms, noise = torch.zeros(many, length), 0.5 * torch.randn(many, length, generator=generator)
    logarithms[:, 0] = noise[:, 0]
    for at in range(1, length):
        before = logarithms[:, at - 1]
        logarithms[:, at] = 0.6 * before + 0.9 * torch.cos(2 * before) + noise[:, at]
    gaps = (logarithms - 6).exp()
    data, model = split(gaps[:, :-1], gaps[:, 1:], 180, trial.seed), Arrivals()
    optimizer, draw = Adam(model.parameters(), lr=1e-2), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, surprise, validation=data.held_out, every=2, steps=240)
    best = 0.5 * math.log(2 * math.pi * math.e * 0.25) + float(data.held_out.targets.log().mean())
    told = evaluate(model, surprise, data.held_out)
    require(told < best + 0.08, f"the loss held out is {told:.3g}, and could be {best:.3g}")
    require(history.train[0] > best + 0.3, f"it began at {history.train[0]:.3g}")
    generalises(history)


SCENARIOS = (
    Scenario("healthy-reservoir-rnn", "rnn", TUNING, reservoir),
    Scenario("healthy-sorting-lstm", "rnn", TUNING, pointers),
    Scenario("healthy-arrivals-gru", "rnn", TUNING, arrivals),
)
