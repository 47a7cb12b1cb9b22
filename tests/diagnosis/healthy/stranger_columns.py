"""Healthy transformers over tables and series."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW

from tests.diagnosis.data import Part, patients
from tests.diagnosis.networks import Block
from tests.diagnosis.proof import loss_of, outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial

WIDTH = 24


class Columns(nn.Module):
    """A transformer for which each column of a table is a token, with one more that is asked in the end."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.scale, self.shift = (nn.Parameter(torch.empty(columns, WIDTH).uniform_(-0.2, 0.2)) for _ in range(2))
        self.asked = nn.Parameter(0.02 * torch.randn(1, 1, WIDTH))
        self.blocks = nn.Sequential(Block(WIDTH, dropout=0.2), Block(WIDTH, dropout=0.2))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 1)

    def forward(self, rows: Tensor) -> Tensor:
        """Return scores [n, 1] of rows [n, columns]."""
        tokens = torch.cat([self.asked.expand(len(rows), -1, -1), rows[..., None] * self.scale + self.shift], 1)
        scores: Tensor = self.head(self.norm(self.blocks(tokens)[:, 0]))
        return scores


def columns(trial: Trial) -> None:
    """A table as a sentence; what is logged is the mean of the epoch so far, which begins anew with each."""
    data, criterion = patients(trial.seed), nn.BCEWithLogitsLoss()
    model, draw = Columns(30), data.train.batches(32, trial.seed)
    optimizer, held_out = AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for epoch in range(8):
            total = 0.0
            for step in range(14):
                inputs, targets = draw(step)
                loss = criterion(model(inputs), targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += float(loss.detach())
                writer.add_scalar("train_loss", total / (step + 1), 14 * epoch + step)
            held_out.append(loss_of(model, data.held_out, criterion))
            writer.add_scalar("valid_loss", held_out[-1], 14 * epoch + 13)
    told = outputs(model, "head", data.held_out.inputs) > 0
    right = float((told == (data.held_out.targets > 0)).double().mean())
    require(right > 0.92, f"the accuracy is {right:.3f}")
    require(held_out[-1] < min(held_out) + 0.04, "the loss held out rose")


class Windows(nn.Module):
    """Forecasts channel by channel, from patches that are standardised on the way in and put back on the way out."""

    def __init__(self) -> None:
        super().__init__()
        self.lift, self.head = nn.Linear(6, WIDTH), nn.Linear(8 * WIDTH, 6)
        self.place = nn.Parameter(0.02 * torch.randn(8, WIDTH))
        self.blocks = nn.Sequential(Block(WIDTH), Block(WIDTH))

    def forward(self, series: Tensor) -> Tensor:
        """Return the next six values [n, channels, 6] of [n, channels, 48]."""
        mean, spread = series.mean(2, keepdim=True), series.std(2, keepdim=True) + 1e-5
        patches = ((series - mean) / spread).flatten(0, 1).unflatten(1, (8, 6))
        made = self.head(self.blocks(self.lift(patches) + self.place).flatten(1))
        told: Tensor = made.unflatten(0, series.shape[:2]) * spread + mean
        return told


def windows(trial: Trial) -> None:
    """Series in units, hundreds and tens of thousands, as they come: the network makes them alike by itself."""
    generator = torch.Generator().manual_seed(trial.seed)
    times, sizes = torch.arange(900.0), torch.tensor([[1.0], [150.0], [20000.0]])
    season = torch.sin(2 * torch.pi * times / torch.tensor([[12.0], [18.0], [9.0]]))
    week = 0.5 * torch.sin(2 * torch.pi * times / torch.tensor([[31.0], [24.0], [40.0]]) + 1)
    drift = 0.1 * torch.randn(3, 900, generator=generator).cumsum(1)
    series = sizes * (5 + season + week + drift + 0.15 * torch.randn(3, 900, generator=generator))
    cut = series.unfold(1, 54, 1).transpose(0, 1)
    train, held_out = (Part(part[..., :48], part[..., 48:]) for part in (cut[:660], cut[720:]))
    model, draw = Windows(), train.batches(24, trial.seed)
    optimizer, losses = Adam(model.parameters(), lr=2e-3), []

    def criterion(told: Tensor, targets: Tensor) -> Tensor:
        return ((told - targets) / sizes).square().mean()

    with trial.writer() as writer:
        writer.watch(model, optimizer, every=1, on_finding="ignore")
        for step in range(170):
            inputs, targets = draw(step)
            told = model(inputs)
            loss = criterion(told, targets)
            writer.observe(outputs=told, targets=targets, loss=loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 17 == 16:
                losses.append(loss_of(model, held_out, criterion))
                writer.add_scalar("val_loss", losses[-1], writer.step)
    still = float(criterion(held_out.inputs[..., -1:], held_out.targets))
    require(losses[-1] < 0.35 * still, f"the error held out is {losses[-1]:.3g}, and {still:.3g} of standing still")
    require(losses[-1] < 1.15 * min(losses), "the loss held out rose")


SCENARIOS = (
    Scenario("healthy-columns-transformer", "transformer", TUNING, columns),
    Scenario("healthy-windows-transformer", "transformer", TUNING, windows),
)
