"""Healthy recurrent networks over series that are sold, measured or worn out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import StudentT
from torch.nn import functional
from torch.optim import Adam

from tests.diagnosis.data import Part
from tests.diagnosis.proof import calm, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import evaluate, fit

PAST, NEXT = 21, 7


class Demand(nn.Module):
    """Says a distribution of each day's sales from those of the days before, as shares of what is usual."""

    def __init__(self, items: int) -> None:
        super().__init__()
        self.items, self.lstm = nn.Embedding(items, 4), nn.LSTM(7, 32, batch_first=True)
        self.middle, self.width, self.tail = (nn.Linear(32, 1) for _ in range(3))

    def forward(self, sold: Tensor, week: Tensor, items: Tensor) -> StudentT:
        """Return distributions of sales [n, length − 1] of [n, length], days as angles, and items [n]."""
        usual = sold[:, :PAST].mean(1, keepdim=True)
        who = self.items(items)[:, None].expand(-1, sold.shape[1] - 1, -1)
        days = torch.stack([week[:, 1:].sin(), week[:, 1:].cos()], 2)
        state = self.lstm(torch.cat([(sold / usual)[:, :-1, None], days, who], 2))[0]
        middle, width, tail = (head(state)[..., 0] for head in (self.middle, self.width, self.tail))
        width = (functional.softplus(width) + 1e-3) * usual
        return StudentT(2.0 + functional.softplus(tail), middle * usual, width)


def demand(trial: Trial) -> None:
    """DeepAR: items that sell in ones and in thousands in one batch; the level of the loss means nothing."""
    generator = torch.Generator().manual_seed(trial.seed)
    days, size = torch.arange(150.0), 10 ** (3 * torch.rand(60, 1, generator=generator))
    shape = 0.2 + 0.5 * torch.rand(60, 1, generator=generator)
    week = 1 + shape * torch.sin(6.283 * days / 7 + 6.283 * torch.rand(60, 1, generator=generator))
    drift = (0.03 * torch.randn(60, 150, generator=generator)).cumsum(1).exp()
    sold = size * week * drift * (1 + 0.12 * torch.randn(60, 150, generator=generator))
    angle = (6.283 * days / 7).expand_as(sold)
    model = Demand(60)
    optimizer, losses = Adam(model.parameters(), lr=1e-2), []

    def nll(items: Tensor, start: Tensor) -> Tensor:
        at = start[:, None] + torch.arange(PAST + NEXT)
        cut, when = sold[items].gather(1, at), angle[items].gather(1, at)
        loss: Tensor = -model(cut, when, items).log_prob(cut[:, 1:]).mean()
        return loss

    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for epoch in range(9):
            total = 0.0
            for _ in range(18):
                items = torch.randint(60, (32,), generator=generator)
                loss = nll(items, torch.randint(94, (32,), generator=generator))
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 10.0)
                optimizer.step()
                total += float(loss.detach()) / 18
            model.eval()
            with torch.no_grad():
                losses.append(float(nll(torch.arange(60), torch.full((60,), 122))))
            model.train()
            writer.add_scalar("train_loss", total, epoch)
            writer.add_scalar("val_loss", losses[-1], epoch)
    late, items = sold[:, 122:], torch.arange(60)
    with torch.no_grad():
        told = model.eval()(late, angle[:, 122:], items).mean[:, 7:]
    errors = [float(((one - late[:, 8:]).abs() / late.mean(1, keepdim=True)).mean()) for one in (told, late[:, 1:-7])]
    require(errors[0] < 0.9 * errors[1], f"errors are {errors[0]:.3g}, and {errors[1]:.3g} of a week before")
    require(losses[-1] < min(losses) + 0.1, "the loss held out rose")


class Wear(nn.Module):
    """Reads the last thirty cycles of an engine, and says for how many more it will run."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.drop = nn.GRU(14, 24, batch_first=True), nn.Dropout(0.2)
        self.head = nn.Linear(24, 1)

    def forward(self, cycles: Tensor) -> Tensor:
        """Return [n, 1] of [n, 30, 14]."""
        told: Tensor = self.head(self.drop(self.rnn(cycles)[0][:, -1]))
        return told


def engines(trial: Trial) -> None:
    """Remaining life: four sensors of fourteen never move, and other engines are held out; targets are cut at one."""
    generator = torch.Generator().manual_seed(trial.seed)
    lives = torch.randint(80, 160, (50,), generator=generator)
    ways = torch.randn(14, generator=generator) * torch.cat([torch.ones(10), torch.zeros(4)])
    parts: list[list[Tensor]] = [[], []]
    for engine, life in enumerate(lives.tolist()):
        left = torch.arange(life - 1, -1, -1.0)
        worn = (-left / 25).exp()[:, None]
        noise = 0.25 * torch.randn(life, 14, generator=generator) * (ways != 0)
        sensors = (ways * worn * 2 + noise).unfold(0, 30, 3).transpose(1, 2)
        goal = (left.unfold(0, 30, 3)[:, -1:] / 60).clamp(max=1)
        parts[engine >= 40].append(torch.cat([sensors.flatten(1), goal], 1))
    rows = [torch.cat(part) for part in parts]
    train, held_out = (Part(row[:, :-1].unflatten(1, (30, 14)), row[:, -1:]) for row in rows)
    model, criterion, draw = Wear(), nn.MSELoss(), train.batches(32, trial.seed)
    optimizer = Adam(model.parameters(), lr=5e-3)
    history = fit(trial, model, draw, optimizer, criterion, steps=160, validation=held_out, every=3)
    error = evaluate(model, criterion, held_out) / float(held_out.targets.var())
    require(error < 0.35, f"the error is {error:.2f} of the variance")
    losses = list(history.validation.values())
    require(losses[-1] < min(losses) + 0.05 * history.train[0], "the loss held out rose")
    calm(history)


SCENARIOS = (
    Scenario("healthy-demand-lstm", "rnn", TUNING, demand),
    Scenario("healthy-engines-gru", "rnn", TUNING, engines),
)
