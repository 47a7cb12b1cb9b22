"""Healthy networks over pictures."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR

from tests.diagnosis.data import digits
from tests.diagnosis.networks import Block, Residual, cnn
from tests.diagnosis.proof import learned, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import fit

STEPS = 180


def plain(trial: Trial) -> None:
    """Two convolutions with batch norm, SGD with momentum and weight decay."""
    data = digits(trial.seed, flat=False)
    model = cnn()
    optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    fit(trial, model, data.train.batches(48), optimizer, validation=data.held_out, steps=STEPS)
    learned(model, data.held_out, 0.93)


def convolution(inputs: int, outputs: int, *, zero: bool = False) -> nn.Sequential:
    """Return a convolution with batch norm, whose scale may begin at zero."""
    norm = nn.BatchNorm2d(outputs)
    if zero:
        nn.init.zeros_(norm.weight)
    return nn.Sequential(OrderedDict(conv=nn.Conv2d(inputs, outputs, 3, padding=1), norm=norm))


def zero_gamma(trial: Trial) -> None:
    """Residual blocks whose last scale begins at zero, so that they begin as the identity."""
    data = digits(trial.seed, flat=False)
    blocks = [Residual(nn.Sequential(convolution(8, 8), nn.ReLU(), convolution(8, 8, zero=True))) for _ in range(3)]
    model = nn.Sequential(
        convolution(1, 8), nn.ReLU(), *blocks, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 10)
    )
    optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9)
    decay = CosineAnnealingLR(optimizer, STEPS)
    fit(trial, model, data.train.batches(48), optimizer, schedule=decay, validation=data.held_out, steps=STEPS)
    learned(model, data.held_out, 0.93)


def augmented(trial: Trial) -> None:
    """Shifted and noisy pictures in training: the loss held out is the smaller one."""
    data = digits(trial.seed, flat=False)
    model, draw = cnn(dropout=0.3), data.train.batches(48)
    generator = torch.Generator().manual_seed(trial.seed)

    def batches(step: int) -> tuple[Tensor, Tensor]:
        inputs, targets = draw(step)
        shift = int(torch.randint(-1, 2, (), generator=generator))
        return inputs.roll(shift, 3) + 0.5 * torch.randn(inputs.shape, generator=generator), targets

    fit(trial, model, batches, Adam(model.parameters(), lr=4e-3), validation=data.held_out, steps=STEPS)
    learned(model, data.held_out, 0.85)


def without_norm(trial: Trial) -> None:
    """Leaky units, no normalisation, Adam."""
    data = digits(trial.seed, flat=False)
    model = cnn((8, 16), nn.LeakyReLU, norm=False)
    fit(trial, model, data.train.batches(48), Adam(model.parameters(), lr=3e-3), validation=data.held_out, steps=STEPS)
    learned(model, data.held_out, 0.9)


def separable(trial: Trial) -> None:
    """Convolutions of single channels, then across channels with nothing between, on purpose."""
    data = digits(trial.seed, flat=False)
    layers = [
        nn.Conv2d(1, 12, 3, padding=1),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.Conv2d(12, 12, 3, padding=1, groups=12),
        nn.Conv2d(12, 24, 1),
        nn.BatchNorm2d(24),
        nn.ReLU(),
    ]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(384, 10))
    fit(trial, model, data.train.batches(48), Adam(model.parameters(), lr=3e-3), validation=data.held_out, steps=STEPS)
    learned(model, data.held_out, 0.9)


class Denoiser(nn.Module):
    """A small network of the kind of a U: down, up, and across."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2 = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.up, self.out = nn.ConvTranspose2d(16, 8, 2, stride=2), nn.Conv2d(16, 1, 3, padding=1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return pictures without noise."""
        fine = self.down1(pictures).relu()
        coarse = self.up(self.down2(fine).relu()).relu()
        made: Tensor = self.out(torch.cat([fine, coarse], 1))
        return made


def denoising(trial: Trial) -> None:
    """Pictures out of noise; a loss that can't come to zero."""
    data = digits(trial.seed, flat=False)
    model, draw = Denoiser(), data.train.batches(48)
    generator = torch.Generator().manual_seed(trial.seed)

    def batches(step: int) -> tuple[Tensor, Tensor]:
        inputs, _ = draw(step)
        return inputs + 0.7 * torch.randn(inputs.shape, generator=generator), inputs

    history = fit(trial, model, batches, Adam(model.parameters(), lr=3e-3), nn.MSELoss(), steps=STEPS)
    require(history.end < 0.35, f"the error is {history.end:.3g}")


def normed_weights(trial: Trial) -> None:
    """Weights that are a length and a direction."""
    data = digits(trial.seed, flat=False)
    model = cnn(norm=False)
    weight_norm(model.conv1)
    weight_norm(model.conv2)
    fit(trial, model, data.train.batches(48), Adam(model.parameters(), lr=3e-3), validation=data.held_out, steps=STEPS)
    learned(model, data.held_out, 0.9)


def large_batches(trial: Trial) -> None:
    """Batches of 512 under the default budget."""
    data = digits(trial.seed, flat=False)
    model = cnn((16, 32))
    fit(trial, model, data.train.batches(256), Adam(model.parameters(), lr=2e-3), every=None, steps=150)
    learned(model, data.held_out, 0.9)


class Patches(nn.Module):
    """A transformer over the sixteen patches of a picture."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(1, 24, 2, stride=2)
        self.place = nn.Parameter(0.02 * torch.randn(1, 16, 24))
        self.blocks = nn.Sequential(Block(24), Block(24))
        self.norm, self.head = nn.LayerNorm(24), nn.Linear(24, 10)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores."""
        hidden = self.embed(pictures).flatten(2).transpose(1, 2) + self.place
        scores: Tensor = self.head(self.norm(self.blocks(hidden)).mean(1))
        return scores


def patches(trial: Trial) -> None:
    """A vision transformer with AdamW."""
    data = digits(trial.seed, flat=False)
    model = Patches()
    optimizer = AdamW(model.parameters(), lr=4e-3, weight_decay=0.05)
    fit(trial, model, data.train.batches(48), optimizer, validation=data.held_out)
    learned(model, data.held_out, 0.8)


def triplets(trial: Trial) -> None:
    """Embeddings of pictures by triplets: many batches have a loss of zero at the end."""
    data = digits(trial.seed, flat=False)
    model = cnn(classes=16)
    order = [(data.train.targets == digit).nonzero().flatten() for digit in range(10)]
    generator = torch.Generator().manual_seed(trial.seed)

    def batches(_step: int) -> tuple[Tensor, Tensor]:
        draws = torch.randperm(10, generator=generator)[:2]
        same = order[int(draws[0])][torch.randint(100, (32,), generator=generator)]
        other = order[int(draws[1])][torch.randint(100, (16,), generator=generator)]
        return torch.cat([data.train.inputs[same], data.train.inputs[other]]), torch.zeros(16)

    def criterion(made: Tensor, _targets: Tensor) -> Tensor:
        anchor, positive, negative = made.split(16)
        return nn.functional.triplet_margin_loss(anchor, positive, negative)

    history = fit(trial, model, batches, Adam(model.parameters(), lr=2e-3), criterion, steps=220)
    require(history.end < 0.3, f"the loss is {history.end:.3g}")


SCENARIOS = (
    Scenario("healthy-cnn", "cnn", TUNING, plain),
    Scenario("healthy-zero-gamma-cnn", "cnn", TUNING, zero_gamma),
    Scenario("healthy-augmented-cnn", "cnn", TUNING, augmented),
    Scenario("healthy-leaky-cnn", "cnn", TUNING, without_norm),
    Scenario("healthy-separable-cnn", "cnn", TUNING, separable),
    Scenario("healthy-denoising-cnn", "cnn", TUNING, denoising),
    Scenario("healthy-weight-norm-cnn", "cnn", TUNING, normed_weights),
    Scenario("healthy-budget-cnn", "cnn", TUNING, large_batches),
    Scenario("healthy-patches-transformer", "transformer", TUNING, patches),
    Scenario("healthy-triplets-cnn", "cnn", TUNING, triplets),
)
