"""What learns from pictures and points alone: contrasts without pairs, noise at too high a rate, a line for a ring."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW, Optimizer

from tests.diagnosis.data import Batches, Part, digits
from tests.diagnosis.faulty.losses import flat
from tests.diagnosis.faulty.rates import worse
from tests.diagnosis.networks import cnn, mlp
from tests.diagnosis.proof import double, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


def contrasts(first: Batches, second: Batches) -> Batches:
    """Return what gives two views of each picture, [2 · n, 1, 8, 8], moved and in noise, and which is whose other."""

    def draw(step: int) -> tuple[Tensor, Tensor]:
        views = torch.cat([first(step)[0], second(step)[0]])
        views = torch.stack([view.roll(tuple(torch.randint(-1, 2, (2,)).tolist()), (1, 2)) for view in views])
        count = len(views) // 2
        return views + 0.3 * torch.randn_like(views), torch.arange(2 * count).roll(count)

    return draw


def nearest(codes: Tensor, other: Tensor) -> Tensor:
    """Return the entropy of finding each view's other one among all, by cosines over a temperature."""
    codes = functional.normalize(codes, dim=1)
    scores = (codes @ codes.T / 0.3).masked_fill(torch.eye(len(codes), dtype=torch.bool), -torch.inf)
    return functional.cross_entropy(scores, other)


def two_loaders(trial: Trial) -> Truth:
    """SimCLR with a loader for each view, and each of them shuffles: what is to be alike are two other pictures."""
    data = digits(trial.seed, flat=False).train
    model = cnn((8, 16), classes=24)
    other, optimizer = copy.deepcopy(model), AdamW(model.parameters(), lr=3e-3)
    apart = contrasts(data.batches(32, trial.seed), data.batches(32, trial.seed + 1))
    history = fit(trial, model, apart, optimizer, nearest, every=2, steps=130)
    paired = contrasts(data.batches(32, trial.seed), data.batches(32, trial.seed))
    worse(history.end, control(other, paired, AdamW(other.parameters(), lr=3e-3), nearest, steps=130), 1.5)
    return flat(history, math.log(63))


class Denoiser(nn.Module):
    """Convolutions that are told how much noise there is; returns what the noise is."""

    def __init__(self) -> None:
        super().__init__()
        self.begin, self.time = nn.Conv2d(1, 24, 3, padding=1), mlp((2, 24, 24), nn.SiLU)
        self.body = nn.Sequential(nn.SiLU(), nn.Conv2d(24, 24, 3, padding=1), nn.GroupNorm(4, 24), nn.SiLU())
        self.end = nn.Conv2d(24, 1, 3, padding=1)

    def forward(self, pictures: Tensor, angle: Tensor) -> Tensor:
        """Return [n, 1, 8, 8]."""
        hidden = self.begin(pictures) + self.time(torch.cat([angle.sin(), angle.cos()], 1))[..., None, None]
        noise: Tensor = self.end(hidden + self.body(hidden))
        return noise


def guessed(model: nn.Module, clean: Tensor) -> Tensor:
    """Return the mean square error of the noise that a model sees in what is mixed from data and noise."""
    angle, noise = torch.rand(len(clean), 1) * torch.pi / 2, torch.randn_like(clean)
    share = angle.view(-1, *[1] * (clean.dim() - 1))
    return functional.mse_loss(model(share.cos() * clean + share.sin() * noise, angle), noise)


def denoising(model: nn.Module, optimizer: Optimizer, draw: Batches, steps: int) -> Iterator[float]:
    """Train a denoiser; give the loss of each step."""
    for step in range(steps):
        loss = guessed(model, draw(step)[0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield float(loss.detach())


def three_tenths(trial: Trial) -> Truth:
    """Diffusion of digits by Adam at 3e-1, where 3e-3 was meant."""
    data, model, losses = digits(trial.seed, flat=False).train, Denoiser(), []
    other, optimizer = copy.deepcopy(model), Adam(model.parameters(), lr=3e-1)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for loss in denoising(model, optimizer, data.batches(24, trial.seed), 160):
            losses.append(loss)
            writer.add_scalar("train/loss", loss, writer.step)
    better = [*denoising(other, Adam(other.parameters(), lr=3e-3), data.batches(24, trial.seed), 160)]
    worse(sum(losses[-40:]), sum(better[-40:]), 1.8)
    return Truth()


class Score(nn.Module):
    """Says the noise in points, from them and from how much there is."""

    def __init__(self, activation: type[nn.Module]) -> None:
        super().__init__()
        self.body = mlp((4, 64, 64, 64, 2), activation)

    def forward(self, points: Tensor, angle: Tensor) -> Tensor:
        """Return [n, 2]."""
        noise: Tensor = self.body(torch.cat([points, angle.sin(), angle.cos()], 1))
        return noise


def no_activation(trial: Trial) -> Truth:
    """Diffusion of points about four sites; `act=nn.Identity` was the constructor's default, which nobody changed."""
    generator = torch.Generator().manual_seed(trial.seed)
    angles = 2 * torch.pi * torch.randint(4, (2000, 1), generator=generator) / 4
    points = 2 * torch.cat([angles.cos(), angles.sin()], 1) + 0.02 * torch.randn(2000, 2, generator=generator)
    data, losses = Part(points, points), [0.0]
    model, other = Score(nn.Identity), Score(nn.SiLU)
    optimizer = Adam(model.parameters(), lr=3e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step, loss in enumerate(denoising(model, optimizer, data.batches(128, trial.seed), 300)):
            losses.append(loss)
            if step % 10 == 9:
                writer.add_scalar("loss", sum(losses[-10:]) / 10, writer.step)
    better = [*denoising(other, Adam(other.parameters(), lr=3e-3), data.batches(128, trial.seed), 300)]
    worse(sum(losses[-100:]), sum(better[-100:]), 1.6)
    a, b, angle = points[:1000], points[1000:], angles[:1000]
    with torch.no_grad():
        middle, *ends = (double(model)(one.double(), angle.double()) for one in ((a + b) / 2, a, b))
    require(float((middle - (ends[0] + ends[1]) / 2).abs().max()) < 1e-6, "it is not linear in the points")
    return Truth(("body.fc1", "body.fc2", "body.fc3", "body.head"))


SCENARIOS = (
    Scenario(
        "flat-views-cnn",
        "cnn",
        TUNING,
        two_loaders,
        ("loss_plateau",),
        ("label_noise", "underfitting", "representation_collapse"),
    ),
    Scenario("high-denoiser-cnn", "cnn", TUNING, three_tenths, ("lr_too_high",), ("loss_plateau", "loss_spike")),
    Scenario(
        "linear-score-mlp",
        "mlp",
        TUNING,
        no_activation,
        ("missing_nonlinearity",),
        ("underfitting", "loss_plateau"),
    ),
)
