"""Healthy MLPs that look ill: by their rates, their data, their layers."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR, CosineAnnealingWarmRestarts, LambdaLR, MultiStepLR, OneCycleLR

from tests.diagnosis.data import Part, curves, digits, patients
from tests.diagnosis.networks import Residual, deep, mlp
from tests.diagnosis.proof import alive, learned, loss_of, outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import fit


def explains(model: nn.Module, part: Part, most: float) -> None:
    """Raise NotProvenError unless the mean squared error of a regression is below so large a share of the variance."""
    share = loss_of(model, part, nn.MSELoss()) / float(part.targets.double().var())
    require(share < most, f"the error is {share:.3f} of the variance")


def plain(trial: Trial) -> None:
    """Adam on digits."""
    data = digits(trial.seed)
    model = mlp((64, 48, 48, 10))
    fit(trial, model, data.train.batches(64), validation=data.held_out)
    learned(model, data.held_out, 0.93)


def cosine_to_zero(trial: Trial) -> None:
    """At the end nothing moves, as it should."""
    data = digits(trial.seed)
    model = mlp((64, 48, 48, 10))
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    decay = CosineAnnealingLR(optimizer, 240)
    fit(trial, model, data.train.batches(64), optimizer, schedule=decay, validation=data.held_out)
    learned(model, data.held_out, 0.93)


def warm_up(trial: Trial) -> None:
    """Next to nothing moves at first, as it should."""
    data = digits(trial.seed)
    model = mlp((64, 48, 48, 10))
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    rise = LambdaLR(optimizer, lambda step: min(1.0, step / 100))
    fit(trial, model, data.train.batches(64), optimizer, schedule=rise)
    learned(model, data.held_out, 0.93)


def one_cycle(trial: Trial) -> None:
    """A rate that rises twenty-five-fold and falls to next to nothing."""
    data = digits(trial.seed)
    model = mlp((64, 48, 48, 10))
    optimizer = Adam(model.parameters(), lr=1e-3)
    cycle = OneCycleLR(optimizer, max_lr=8e-3, total_steps=241)
    fit(trial, model, data.train.batches(64), optimizer, schedule=cycle, validation=data.held_out)
    learned(model, data.held_out, 0.93)


def warm_restarts(trial: Trial) -> None:
    """The rate jumps up again three times, and the loss with it."""
    data = digits(trial.seed)
    model = mlp((64, 48, 48, 10))
    optimizer = SGD(model.parameters(), lr=0.15, momentum=0.9)
    restarts = CosineAnnealingWarmRestarts(optimizer, 75)
    fit(trial, model, data.train.batches(64), optimizer, schedule=restarts, validation=data.held_out, steps=300)
    learned(model, data.held_out, 0.93)


def steps_down(trial: Trial) -> None:
    """The rate falls tenfold twice."""
    data = curves(trial.seed, noise=0.3)
    model = mlp((8, 64, 64, 1))
    optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9)
    decay = MultiStepLR(optimizer, [150, 230])
    fit(
        trial,
        model,
        data.train.batches(64),
        optimizer,
        nn.MSELoss(),
        schedule=decay,
        validation=data.held_out,
        steps=300,
    )
    explains(model, data.held_out, 0.6)


def default_budget(trial: Trial) -> None:
    """Observed as often as two per cent of the time allow."""
    data = digits(trial.seed)
    model = mlp((64, 256, 256, 10))
    fit(
        trial,
        model,
        data.train.batches(256),
        Adam(model.parameters(), lr=1e-3),
        validation=data.held_out,
        every=None,
        steps=600,
    )
    learned(model, data.held_out, 0.93)


def bias_before_norm(trial: Trial) -> None:
    """The gradient of a bias in front of batch norm is zero but for rounding."""
    data = digits(trial.seed)
    model = mlp((64, 48, 48, 10), norm=nn.BatchNorm1d)
    fit(trial, model, data.train.batches(64), validation=data.held_out)
    learned(model, data.held_out, 0.93)


def half_dropout(trial: Trial) -> None:
    """Dropout of a half: the loss held out is the smaller one."""
    data = digits(trial.seed)
    model = mlp((64, 96, 96, 10), dropout=0.5)
    fit(trial, model, data.train.batches(64), validation=data.held_out, steps=300)
    learned(model, data.held_out, 0.92)


def tiny_batches(trial: Trial) -> None:
    """Batches of four: the loss swings as four samples do."""
    data = digits(trial.seed)
    model = mlp((64, 48, 10))
    fit(trial, model, data.train.batches(4), SGD(model.parameters(), lr=0.02), validation=data.held_out, steps=500)
    learned(model, data.held_out, 0.85)


def noise_floor(trial: Trial) -> None:
    """More noise than signal: the loss soon stands still where it can't fall further."""
    data = curves(trial.seed, noise=2.5, count=4000)
    model = mlp((8, 16, 1))
    optimizer = Adam(model.parameters(), lr=5e-3, weight_decay=1e-3)
    fit(trial, model, data.train.batches(128), optimizer, nn.MSELoss(), validation=data.held_out, steps=400)
    explains(model, data.held_out, 0.97)


def prices(trial: Trial) -> None:
    """Targets in hundreds of thousands: a loss of ten to the tenth, and gradients to match."""
    data = curves(trial.seed, scale=1e5)
    model = mlp((8, 64, 64, 1))
    fit(trial, model, data.train.batches(64), Adam(model.parameters(), lr=3e-3), Scaled(1e5), validation=data.held_out)
    alive(model, data.held_out.inputs)
    require(loss_of(model, data.held_out, Scaled(1e5)) < 0.5e10, "it has not learned")


class Scaled(nn.Module):
    """Mean squared error of outputs in units of `scale`."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, made: Tensor, targets: Tensor) -> Tensor:
        """Return the error in the units of the targets."""
        return nn.functional.mse_loss(made * self.scale, targets)


def minute_targets(trial: Trial) -> None:
    """Targets of a hundred-thousandth: a loss of ten to the minus tenth from the start."""
    data = curves(trial.seed, scale=1e-5)
    model = mlp((8, 64, 64, 1))
    optimizer = Adam(model.parameters(), lr=2e-3, eps=1e-16)
    fit(trial, model, data.train.batches(64), optimizer, Scaled(1e-5), validation=data.held_out)
    require(loss_of(model, data.held_out, Scaled(1e-5)) < 0.5e-10, "it has not learned")


def negative_loss(trial: Trial) -> None:
    """The likelihood of a normal distribution: the loss falls below zero."""
    data = curves(trial.seed, noise=0.02, scale=0.2)
    model = mlp((8, 64, 64, 2), nn.Tanh)

    def criterion(made: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.gaussian_nll_loss(made[:, :1], targets, nn.functional.softplus(made[:, 1:]) + 0.01)

    history = fit(trial, model, data.train.batches(64), Adam(model.parameters(), lr=2e-3), criterion, steps=300)
    require(history.end < -0.5, f"the loss is {history.end:.3g}")
    leaps = np.diff(history.train[60:])
    require(leaps.max() < 0.7, f"the loss leaps by {leaps.max():.3g}")


def converged(trial: Trial) -> None:
    """Everything is learned early, and for the rest gradients and losses are next to nothing."""
    data = patients(trial.seed)
    easy = Part(data.train.inputs, (data.train.inputs[:, :1] > 0).float())
    margin = Part(*(one[data.train.inputs[:, 0].abs() > 0.3] for one in (easy.inputs, easy.targets)))
    model = mlp((30, 32, 1))
    optimizer = Adam(model.parameters(), lr=1e-2)
    history = fit(trial, model, margin.batches(64), optimizer, nn.BCEWithLogitsLoss(), steps=500)
    require(history.end < 2e-3, f"the loss is {history.end:.3g}")


def mostly_zero(trial: Trial) -> None:
    """Units behind a fixed shift that fire for one sample in ten or so, each for others: sparse, and none dead."""
    data = digits(trial.seed)
    model = mlp((64, 96, 48, 10), norm=nn.BatchNorm1d)
    nn.init.constant_(model.norm1.bias, -1.2)
    model.norm1.requires_grad_(False)
    fit(trial, model, data.train.batches(64), Adam(model.parameters(), lr=1e-3), validation=data.held_out)
    fired = (outputs(model, "act1", data.train.inputs) > 0).double()
    require(float(fired.mean()) < 0.3 and float(fired.mean(0).min()) > 0.01, "units are dead, or not sparse")
    learned(model, data.held_out, 0.9)


def deep_residual(trial: Trial) -> None:
    """Sixteen blocks whose gates begin at zero: the inner layers have no gradient at the first step."""
    data = digits(trial.seed)
    blocks = [Residual(nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32)), gate=0.0) for _ in range(16)]
    model = nn.Sequential(nn.Linear(64, 32), *blocks, nn.Linear(32, 10))
    fit(trial, model, data.train.batches(64), Adam(model.parameters(), lr=3e-3), validation=data.held_out, steps=200)
    learned(model, data.held_out, 0.9)


def self_normalising(trial: Trial) -> None:
    """Ten layers of SELU as they are meant to be."""
    data = digits(trial.seed)
    model = deep(10, 48, nn.SELU)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
            nn.init.zeros_(layer.bias)
    fit(trial, model, data.train.batches(64), SGD(model.parameters(), lr=0.02), validation=data.held_out)
    learned(model, data.held_out, 0.9)


def deep_relu(trial: Trial) -> None:
    """Six wide layers of ReLU initialised after He."""
    data = digits(trial.seed)
    model = deep(6, 96)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    fit(trial, model, data.train.batches(64), Adam(model.parameters(), lr=5e-4), validation=data.held_out)
    learned(model, data.held_out, 0.92)


def low_rank(trial: Trial) -> None:
    """A wide linear layer is the product of two narrow ones, on purpose."""
    data = digits(trial.seed)
    model = nn.Sequential(LowRank(64, 96, 8), nn.ReLU(), LowRank(96, 96, 8), nn.ReLU(), nn.Linear(96, 10))
    fit(trial, model, data.train.batches(64), validation=data.held_out, steps=300)
    learned(model, data.held_out, 0.9)


class LowRank(nn.Module):
    """A linear layer of low rank."""

    def __init__(self, inputs: int, outputs: int, rank: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(inputs, rank, bias=False), nn.Linear(rank, outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return [n, outputs]."""
        made: Tensor = self.up(self.down(inputs))
        return made


def imbalanced_and_weighted(trial: Trial) -> None:
    """One class is a twentieth of another, and weighted for it."""
    data = digits(trial.seed)
    rare = (data.train.targets == 8).nonzero().flatten()
    keep = torch.ones(len(data.train.targets), dtype=torch.bool)
    keep[rare[len(rare) // 8 :]] = False
    few = Part(data.train.inputs[keep], data.train.targets[keep])
    counts = torch.bincount(few.targets).float()
    model = mlp((64, 48, 48, 10))
    criterion = nn.CrossEntropyLoss(weight=counts.mean() / counts)
    fit(trial, model, few.batches(64), criterion=criterion, validation=data.held_out, steps=300)
    eights = data.held_out.targets == 8
    learned(model, Part(data.held_out.inputs[eights], data.held_out.targets[eights]), 0.6)


def smoothed_labels(trial: Trial) -> None:
    """Label smoothing: the loss ends far above zero, where it should."""
    data = digits(trial.seed)
    model = mlp((64, 48, 48, 10))
    fit(
        trial,
        model,
        data.train.batches(64),
        criterion=nn.CrossEntropyLoss(label_smoothing=0.2),
        validation=data.held_out,
    )
    learned(model, data.held_out, 0.93)


def autoencoder(trial: Trial) -> None:
    """Pixels from 0 to 1 through a narrow middle and a sigmoid at the end."""
    data = digits(trial.seed)
    low, high = data.train.inputs.min(), data.train.inputs.max()
    pixels = (data.train.inputs - low) / (high - low)
    encoder, decoder = mlp((64, 32, 8), nn.ELU), mlp((8, 32, 64), nn.ELU)
    model = nn.Sequential(*encoder, *decoder, nn.Sigmoid())
    history = fit(trial, model, Part(pixels, pixels).batches(64), criterion=nn.MSELoss(), steps=300)
    require(history.end < 0.6 * float(pixels.var(0).mean()), f"the error is {history.end:.3g}")


class Tied(nn.Module):
    """An autoencoder whose decoder is its encoder turned over."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Linear(64, 24)
        self.offset = nn.Parameter(torch.zeros(64))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the reconstruction."""
        return nn.functional.linear(torch.tanh(self.encode(inputs)), self.encode.weight.T, self.offset)


def tied_autoencoder(trial: Trial) -> None:
    """One weight is used twice."""
    data = digits(trial.seed)
    model = Tied()
    history = fit(trial, model, Part(data.train.inputs, data.train.inputs).batches(64), criterion=nn.MSELoss())
    require(history.end < 0.5, f"the error is {history.end:.3g}")


def decayed_away(trial: Trial) -> None:
    """Weight decay takes away what inputs of pure noise would need; the rest is learned."""
    data = digits(trial.seed)
    noise = torch.randn(len(data.train.inputs), 32, generator=torch.Generator().manual_seed(trial.seed))
    model = Forked()
    optimizer = AdamW(
        [
            {"params": model.spare.parameters(), "weight_decay": 4.0},
            {"params": [*model.fc.parameters(), *model.head.parameters()]},
        ],
        lr=5e-3,
    )
    train = Part(torch.cat([data.train.inputs, noise], 1), data.train.targets)
    fit(trial, model, train.batches(64), optimizer)
    learned(model, train, 0.95)


class Forked(nn.Module):
    """A network with a branch of its own for the last 32 inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.spare, self.head = nn.Linear(64, 48), nn.Linear(32, 16), nn.Linear(64, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return scores."""
        hidden = torch.cat([self.fc(inputs[:, :64]), self.spare(inputs[:, 64:])], 1).relu()
        scores: Tensor = self.head(hidden)
        return scores


def counted_words(trial: Trial) -> None:
    """Counts of words, most of them zero, of features that are rare and frequent."""
    generator = torch.Generator().manual_seed(trial.seed)
    rates = torch.logspace(-2, 0.5, 60)
    inputs = torch.poisson(rates.expand(2000, 60), generator=generator)
    targets = (inputs[:, 40:50].sum(1) > inputs[:, 50:55].sum(1) * 0.7).long()
    model = mlp((60, 32, 2))
    train = Part(inputs, targets)
    fit(trial, model, train.batches(64), Adam(model.parameters(), lr=3e-3), steps=300)
    learned(model, train, 0.85)


def slow_start(trial: Trial) -> None:
    """A saddle: nothing seems to happen for a while, and then everything."""
    data = digits(trial.seed)
    model = mlp((64, 48, 48, 48, 10), nn.Tanh)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.045)
            nn.init.zeros_(layer.bias)
    fit(
        trial,
        model,
        data.train.batches(64),
        SGD(model.parameters(), lr=0.1, momentum=0.9),
        steps=400,
        validation=data.held_out,
    )
    learned(model, data.held_out, 0.9)


SCENARIOS = (
    Scenario("healthy-adam-mlp", "mlp", TUNING, plain),
    Scenario("healthy-cosine-mlp", "mlp", TUNING, cosine_to_zero),
    Scenario("healthy-warm-up-mlp", "mlp", TUNING, warm_up),
    Scenario("healthy-one-cycle-mlp", "mlp", TUNING, one_cycle),
    Scenario("healthy-restarts-mlp", "mlp", TUNING, warm_restarts),
    Scenario("healthy-steps-mlp", "mlp", TUNING, steps_down),
    Scenario("healthy-budget-mlp", "mlp", TUNING, default_budget),
    Scenario("healthy-batch-norm-mlp", "mlp", TUNING, bias_before_norm),
    Scenario("healthy-dropout-mlp", "mlp", TUNING, half_dropout),
    Scenario("healthy-tiny-batches-mlp", "mlp", TUNING, tiny_batches),
    Scenario("healthy-noise-mlp", "mlp", TUNING, noise_floor),
    Scenario("healthy-prices-mlp", "mlp", TUNING, prices),
    Scenario("healthy-minute-mlp", "mlp", TUNING, minute_targets),
    Scenario("healthy-negative-mlp", "mlp", TUNING, negative_loss),
    Scenario("healthy-converged-mlp", "mlp", TUNING, converged),
    Scenario("healthy-sparse-mlp", "mlp", TUNING, mostly_zero),
    Scenario("healthy-gates-mlp", "mlp", TUNING, deep_residual),
    Scenario("healthy-selu-mlp", "mlp", TUNING, self_normalising),
    Scenario("healthy-deep-mlp", "mlp", TUNING, deep_relu),
    Scenario("healthy-low-rank-mlp", "mlp", TUNING, low_rank),
    Scenario("healthy-weighted-mlp", "mlp", TUNING, imbalanced_and_weighted),
    Scenario("healthy-smoothed-mlp", "mlp", TUNING, smoothed_labels),
    Scenario("healthy-autoencoder-mlp", "mlp", TUNING, autoencoder),
    Scenario("healthy-tied-mlp", "mlp", TUNING, tied_autoencoder),
    Scenario("healthy-decayed-mlp", "mlp", TUNING, decayed_away),
    Scenario("healthy-counts-mlp", "mlp", TUNING, counted_words),
    Scenario("healthy-slow-start-mlp", "mlp", TUNING, slow_start),
)
