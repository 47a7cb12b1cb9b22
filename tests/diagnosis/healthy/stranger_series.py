"""Healthy networks over series of numbers."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW

from tests.diagnosis.data import first_tokens, split
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import calm, generalises, loss_of, require, sound
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import fit

CONTEXT, ALL = 10, 20


class Forecaster(nn.Module):
    """Reads ten numbers and says the next ten, one after another; in training it is told some of them."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head, self.told = nn.GRUCell(1, 32), nn.Linear(32, 1), 1.0

    def forward(self, series: Tensor) -> Tensor:
        """Return what follows the context, [n, 10], of series [n, 20]."""
        state, value, made = series.new_zeros(len(series), 32), series[:, :1], []
        for at in range(1, ALL):
            state = self.cell(value, state)
            made.append(value + self.head(state))
            helped = self.training and float(torch.rand(())) < self.told
            value = series[:, at : at + 1] if at < CONTEXT or helped else made[-1]
        return torch.cat(made[CONTEXT - 1 :], 1)


def sampling(trial: Trial) -> None:
    """Scheduled sampling: it is told ever less of what comes, so that the training loss rises for most of the run."""
    generator = torch.Generator().manual_seed(trial.seed)
    pace, start = 0.3 + 0.5 * torch.rand(900, 1, generator=generator), 6.3 * torch.rand(900, 1, generator=generator)
    series = torch.sin(pace * torch.arange(ALL) + start) + 0.05 * torch.randn(900, ALL, generator=generator)
    data, model = split(series, series[:, CONTEXT:], 180, trial.seed), Forecaster()
    optimizer = Adam(model.parameters(), lr=8e-3)

    def wean(step: int) -> None:
        model.told = max(0.0, 1 - step / 160)

    history = fit(
        trial,
        model,
        data.train.batches(32, trial.seed),
        optimizer,
        nn.MSELoss(),
        steps=200,
        clip=1.0,
        validation=data.held_out,
        before=wean,
        every=2,
    )
    early, late = min(history.train[:80]), history.end
    require(late > 1.2 * early, f"the training loss was {early:.3g}, and is {late:.3g}")
    error = loss_of(model, data.held_out, nn.MSELoss())
    require(error < 0.2 * float(data.held_out.targets.var()), f"the error is {error:.3g}")
    generalises(history)


class Nerves(nn.Module):
    """Says from the past how much the next number will vary."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.GRU(1, 24, batch_first=True), nn.Linear(24, 1)

    def forward(self, returns: Tensor) -> Tensor:
        """Return the logarithms of variances [n, length], each before its number was seen."""
        told: Tensor = self.head(self.rnn(functional.pad(returns[:, :-1], (1, 0))[..., None])[0])[..., 0]
        return told


def volatility(trial: Trial) -> None:
    """Returns of a market: nothing but their variance can be foretold, and that a little; the loss hardly falls."""
    generator = torch.Generator().manual_seed(trial.seed)
    calm_now, levels = torch.rand(700, generator=generator) < 0.5, []
    for _ in range(32):
        calm_now = calm_now ^ (torch.rand(700, generator=generator) < 0.04)
        levels.append(torch.where(calm_now, -1.5, 1.0))
    variance = torch.stack(levels, 1)
    returns = (variance / 2).exp() * torch.randn(700, 32, generator=generator)
    data, model = split(returns, torch.stack([returns, variance], 2), 140, trial.seed), Nerves()

    def criterion(told: Tensor, targets: Tensor) -> Tensor:
        return 0.5 * (told + targets[..., 0].square() / told.exp()).mean()

    optimizer = AdamW(model.parameters(), lr=4e-3)
    draw = data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, steps=240, clip=1.0, validation=data.held_out, every=2)
    truth = data.held_out.targets.double()
    flat, best = 0.5 + 0.5 * float(truth[..., 0].var().log()), float(criterion(truth[..., 1], truth))
    share = (flat - loss_of(model, data.held_out, criterion)) / (flat - best)
    require(share > 0.3, f"{share:.2f} of what can be known is known")
    generalises(history)


class Orbit(nn.Module):
    """Follows points along the arrows that a small network draws; it is asked twice for each step."""

    def __init__(self) -> None:
        super().__init__()
        self.arrows = mlp((2, 32, 2), nn.Tanh)

    def forward(self, points: Tensor) -> Tensor:
        """Return where points [n, 2] are at eight later times, [n, 8, 2]."""
        way = []
        for _ in range(8):
            half = points + 0.15 * self.arrows(points)
            points = points + 0.3 * self.arrows(half)
            way.append(points)
        return torch.stack(way, 1)


def orbits(trial: Trial) -> None:
    """A neural differential equation: the same two layers are asked sixteen times in each forward pass."""
    generator = torch.Generator().manual_seed(trial.seed)
    turn = torch.tensor([[-0.2, 1.0], [-1.0, -0.2]])
    starts = 4 * torch.rand(600, 2, generator=generator) - 2
    way = torch.stack([starts @ torch.matrix_exp(0.3 * step * turn).T for step in range(1, 9)], 1)
    way += 0.03 * torch.randn(way.shape, generator=generator)
    data, model = split(starts, way, 120, trial.seed), Orbit()
    optimizer, criterion = Adam(model.parameters(), lr=1e-2), nn.MSELoss()
    draw = data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, steps=160, validation=data.held_out, every=2)
    error = loss_of(model, data.held_out, criterion)
    require(error < 0.05 * float(data.held_out.targets.var()), f"the error is {error:.3g}")
    calm(history)
    generalises(history)


class Compressor(nn.Module):
    """Reads a series, keeps eight numbers, and writes it again."""

    def __init__(self) -> None:
        super().__init__()
        self.read, self.code = nn.LSTM(3, 32, batch_first=True), nn.Linear(32, 8)
        self.write, self.head = nn.LSTM(8, 32, batch_first=True), nn.Linear(32, 3)

    def forward(self, series: Tensor) -> Tensor:
        """Return [n, length, 3]."""
        code = self.code(self.read(series)[1][0][0])
        told: Tensor = self.head(self.write(code[:, None].expand(-1, series.shape[1], -1))[0])
        return told


def totals(trial: Trial) -> None:
    """A loss that is added up, over hundreds of numbers in training, and over many more of what is held out."""
    generator = torch.Generator().manual_seed(trial.seed)
    start, height = (torch.rand(900, 1, 1, generator=generator) for _ in range(2))
    phases = 6.3 * start + 0.5 * torch.arange(12)[:, None] + torch.tensor([0.0, 1.0, 2.0])
    series = (0.5 + height) * torch.sin(phases) + 0.1 * torch.randn(900, 12, 3, generator=generator)
    data, model = split(series, series, 300, trial.seed), Compressor()
    optimizer, criterion = Adam(model.parameters(), lr=1e-2), nn.MSELoss(reduction="sum")
    draw = data.train.batches(48, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, steps=200, clip=100.0, validation=data.held_out)
    error = loss_of(model, data.held_out, nn.MSELoss()) / float(data.held_out.targets.var())
    require(error < 0.25, f"the error is {error:.2f} of the variance")
    calm(history)
    generalises(history, gap=math.inf)


class StateSpace(nn.Module):
    """Sums of the past that fade at rates of their own, by channel, computed as one long convolution."""

    def __init__(self, width: int, states: int = 8) -> None:
        super().__init__()
        self.norm, self.act, self.out = nn.LayerNorm(width), nn.GELU(), nn.Linear(width, width)
        self.log_rate = nn.Parameter(torch.linspace(math.log(1e-2), 0.0, states).repeat(width, 1))
        self.read, self.skip = nn.Parameter(torch.randn(width, states) / states**0.5), nn.Parameter(torch.ones(width))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return inputs [n, length, width] with what the layer adds."""
        hidden, length = self.norm(inputs).transpose(1, 2), inputs.shape[1]
        rate = self.log_rate.exp()[..., None]
        fading = rate.sqrt() * (-rate * torch.arange(length)).exp()
        kernel = (self.read[..., None] * fading).sum(1)
        passed = torch.fft.irfft(torch.fft.rfft(hidden, 2 * length) * torch.fft.rfft(kernel, 2 * length), 2 * length)
        summed = (passed[..., :length] + self.skip[:, None] * hidden).transpose(1, 2)
        told: Tensor = inputs + self.out(self.act(summed))
        return told


class Sequence(nn.Module):
    """Two state-space layers between two linear ones."""

    def __init__(self) -> None:
        super().__init__()
        self.lift, self.head = nn.Linear(4, 16), nn.Linear(16, 4)
        self.layers = nn.Sequential(StateSpace(16), StateSpace(16))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return scores [n, 4] after the last of [n, length, 4]."""
        told: Tensor = self.head(self.layers(self.lift(inputs))[:, -1])
        return told


def state_space(trial: Trial) -> None:
    """A state-space model: memory as a convolution, and rates of fading that learn at an eightieth, without decay."""
    data, model = first_tokens(trial.seed, length=16), Sequence()
    slow = [value for name, value in model.named_parameters() if name.endswith("log_rate")]
    quick = [value for name, value in model.named_parameters() if not name.endswith("log_rate")]
    groups = [{"params": quick}, {"params": slow, "lr": 1e-4, "weight_decay": 0.0}]
    optimizer, draw = AdamW(groups, lr=8e-3, weight_decay=0.05), data.train.batches(48, trial.seed)
    history = fit(trial, model, draw, optimizer, steps=220, clip=1.0, validation=data.held_out, every=2)
    sound(model, data.held_out, 0.85, history)


SCENARIOS = (
    Scenario("healthy-sampling-gru", "rnn", TUNING, sampling),
    Scenario("healthy-volatility-gru", "rnn", TUNING, volatility),
    Scenario("healthy-orbits-rnn", "rnn", TUNING, orbits),
    Scenario("healthy-totals-lstm", "rnn", TUNING, totals),
    Scenario("healthy-state-space-rnn", "rnn", TUNING, state_space),
)
