"""Losses that stay where they are: a gate of two bits, loaders shuffled apart, an order that nobody tells."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW
from torch.utils.data import DataLoader, TensorDataset

from tests.diagnosis.data import Part, split
from tests.diagnosis.proof import loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


def settled(losses: list[float], share: float = 0.05) -> int:
    """Return the step from which on every loss is that near the mean of the last fifth; 0 where all are."""
    last = losses[-len(losses) // 5 :]
    end = sum(last) / len(last)
    away = [at for at, loss in enumerate(losses) if abs(loss - end) > share * end]
    return away[-1] + 1 if away else 0


def exclusive_or(trial: Trial) -> Truth:
    """The first network of all, XOR with sigmoids, the squared error and SGD at 0.1: it stays at a quarter."""
    inputs = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    data = Part(inputs, torch.tensor([[0.0], [1.0], [1.0], [0.0]]))
    torch.manual_seed(trial.seed)
    model = nn.Sequential(nn.Linear(2, 8), nn.Sigmoid(), nn.Linear(8, 1), nn.Sigmoid())
    other, criterion, losses = copy.deepcopy(model), nn.MSELoss(), []
    optimizer = SGD(model.parameters(), lr=0.1)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for epoch in range(400):
            optimizer.zero_grad()
            loss = criterion(model(data.inputs), data.targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("Loss", losses[-1], epoch)
    faster = copy.deepcopy(other)
    for one, rate in ((other, Adam(other.parameters(), lr=0.1)), (faster, SGD(faster.parameters(), lr=10.0))):
        better = control(one, lambda _step: (data.inputs, data.targets), rate, criterion, steps=400)
        require(losses[-1] > 0.24 and better < 0.05, f"it ends at {losses[-1]:.3g}, and could at {better:.3g}")
    return Truth((), 0, settled(losses) + 20)


class Gauge(nn.Module):
    """An LSTM over a window of readings, and what it says of it."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.fc = nn.LSTM(3, 32, batch_first=True), nn.Linear(32, 1)

    def forward(self, window: Tensor) -> Tensor:
        """Return [n, 1] of [n, length, 3]."""
        said: Tensor = self.fc(self.lstm(window)[1][0][-1])
        return said


def windows(seed: int, count: int = 1280) -> Part:
    """Return windows of a machine's three sensors, [n, 20, 3], and how worn it is, [n, 1], which they show."""
    draw = torch.Generator().manual_seed(seed)
    worn, phase = torch.randn(count, 1, generator=draw), 6.3 * torch.rand(count, 1, 3, generator=draw)
    times = torch.arange(20.0)[:, None]
    level = torch.tensor([0.8, -0.5, 0.0]) * worn[:, None] + 0.5 * torch.sin(
        phase + times * torch.tensor([0.4, 0.9, 1.3])
    )
    return Part(level + 0.3 * torch.randn(count, 20, 3, generator=draw), worn)


def shuffled_apart(trial: Trial) -> Truth:
    """One DataLoader of windows and one of targets, both with shuffle=True, zipped: no pair belongs together."""
    data, criterion, losses = windows(trial.seed), nn.MSELoss(), []
    torch.manual_seed(trial.seed)
    model = Gauge()
    other, optimizer = copy.deepcopy(model), Adam(model.parameters(), lr=3e-3)
    ins, outs = (DataLoader(TensorDataset(part), 32, shuffle=True) for part in (data.inputs, data.targets))
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for _epoch in range(6):
            for (window,), (worn,) in zip(ins, outs, strict=True):
                loss = criterion(model(window), worn)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
                writer.add_scalar("train/mse", losses[-1], writer.step)
    better = control(other, data.batches(32, trial.seed), Adam(other.parameters(), 3e-3), criterion, steps=240)
    known, end = float(data.targets.var()), sum(losses[-40:]) / 40
    require(better < 0.3 * known, f"with the pairs as they belong it comes to {better:.3g} of {known:.3g}")
    require(end > 0.9 * known and loss_of(model, data, criterion) > 0.9 * known, f"it learned: {end:.3g}")
    return Truth((), 0, 40)


class Line(nn.Module):
    """A transformer over the operations on a work piece, which is told their places or is not."""

    def __init__(self, *, places: bool) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 32)
        self.place = nn.Embedding(10, 32) if places else None
        layer = nn.TransformerEncoderLayer(32, 4, 64, 0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(32, 2)

    def forward(self, operations: Tensor) -> Tensor:
        """Return scores [n, 2] of [n, 10]."""
        hidden = self.embed(operations)
        if self.place is not None:
            hidden = hidden + self.place(torch.arange(10))
        scores: Tensor = self.head(self.encoder(hidden).mean(1))
        return scores


def no_places(trial: Trial) -> Truth:
    """Ten operations in any order, and a good piece if the hardening came early: the positions were left out."""
    draw = torch.Generator().manual_seed(trial.seed)
    orders = torch.rand(3000, 10, generator=draw).argsort(1)
    data = split(orders, ((orders == 3).int().argmax(1) < 5).long(), 500, trial.seed)
    torch.manual_seed(trial.seed)
    model, right = Line(places=False), Line(places=True)
    optimizer = AdamW(model.parameters(), lr=1e-3)
    batches, held_out = data.train.batches(64, trial.seed), data.held_out
    history = fit(trial, model, batches, optimizer, validation=held_out, every=2, steps=220)
    better = control(right, data.train.batches(64, trial.seed), AdamW(right.parameters(), lr=1e-3), steps=220)
    require(history.end > 0.68 and better < 0.2, f"it ends at {history.end:.3g}, and with places at {better:.3g}")
    precise = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        apart = precise(held_out.inputs) - precise(held_out.inputs.sort(1).values)
    require(float(apart.abs().max()) < 1e-9, "what it says depends on the order")
    require(loss_of(model, held_out) > 0.99 * math.log(2), "it knows something")
    return Truth((), 0, settled(history.train, 0.1) + 20)


SCENARIOS = (
    Scenario(
        "mint-plateau-xor-mlp",
        "mlp",
        TUNING,
        exclusive_or,
        ("loss_plateau", "lr_too_low"),
        ("vanishing_gradient", "underfitting", "redundant_units"),
    ),
    Scenario(
        "mint-plateau-loaders-lstm", "rnn", TUNING, shuffled_apart, ("loss_plateau", "label_noise"), ("underfitting",)
    ),
    Scenario(
        "mint-plateau-places-transformer",
        "transformer",
        TUNING,
        no_places,
        ("loss_plateau", "underfitting"),
        ("representation_collapse", "oversmoothing"),
    ),
)
