"""Healthy trainings whose losses are flat soon, since most of what is asked for can't be known."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tests.diagnosis.healthy.blind_makers import shown
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import fit

TIMES = 100


class Denoiser(nn.Module):
    """A small U over pictures, each level of which is told how much noise there is; it begins by saying none."""

    def __init__(self) -> None:
        super().__init__()
        self.time = nn.Sequential(nn.Linear(16, 32), nn.SiLU(), nn.Linear(32, 36))
        self.first, self.down = nn.Conv2d(1, 12, 3, padding=1), nn.Conv2d(12, 24, 3, 2, padding=1)
        self.middle, self.up = nn.Conv2d(24, 24, 3, padding=1), nn.ConvTranspose2d(24, 12, 4, 2, 1)
        self.norm1, self.norm2, self.norm3 = nn.GroupNorm(4, 12), nn.GroupNorm(4, 24), nn.GroupNorm(4, 12)
        self.last = nn.Conv2d(24, 1, 3, padding=1)
        nn.init.zeros_(self.last.weight)

    def forward(self, pictures: Tensor, times: Tensor) -> Tensor:
        """Return noise [n, 1, 8, 8] of pictures at times [n]."""
        angles = times[:, None] * 100 ** (-torch.arange(8) / 8)
        told = self.time(torch.cat([angles.sin(), angles.cos()], 1))[..., None, None]
        fine = functional.silu(self.norm1(self.first(pictures)) + told[:, :12])
        coarse = functional.silu(self.norm2(self.down(fine)) + told[:, 12:])
        back = functional.silu(self.norm3(self.up(functional.silu(self.middle(coarse)))))
        noise: Tensor = self.last(torch.cat([fine, back], 1))
        return noise


def denoiser(trial: Trial) -> None:
    """DDPM with an average of its weights: the loss starts at one, is flat soon, and noisy for good."""
    train, held_out = shown(trial.seed)
    generator, model = torch.Generator().manual_seed(trial.seed), Denoiser()
    kept = (1 - torch.linspace(1e-3, 0.12, TIMES)).cumprod(0)
    slow = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.95))
    optimizer, losses = AdamW(model.parameters(), lr=4e-3), []

    def noised(pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        times = torch.randint(TIMES, (len(pictures),), generator=generator)
        noise = torch.randn(pictures.shape, generator=generator)
        share = kept[times][:, None, None, None]
        return share.sqrt() * pictures + (1 - share).sqrt() * noise, times, noise

    with trial.writer() as writer:
        writer.watch(model, optimizer, every=5, on_finding="ignore")
        for _step in range(220):
            inputs, times, noise = noised(train[torch.randint(len(train), (32,), generator=generator)])
            loss = functional.mse_loss(model(inputs, times), noise)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            slow.update_parameters(model)
            losses.append(float(loss.detach()))
            writer.add_scalar("train_loss", losses[-1], writer.step)
    with torch.no_grad():
        rounds = [noised(held_out) for _ in range(4)]
        errors = [float(functional.mse_loss(slow(inputs, times), noise)) for inputs, times, noise in rounds]
    linear = float(torch.stack([linearly(train, *one, kept) for one in rounds]).mean())
    require(sum(errors) / 4 < 1.25 * linear, f"the error is {sum(errors) / 4:.3g}, and {linear:.3g} of a linear guess")
    require(sum(losses[-40:]) / 40 < 1.05 * sum(losses[-80:-40]) / 40, "the loss rises")


def linearly(train: Tensor, inputs: Tensor, times: Tensor, noise: Tensor, kept: Tensor) -> Tensor:
    """Return the error of the best linear guess at the noise, which knows mean and covariance of the pictures."""
    mean, shares = train.flatten(1).mean(0), kept[times]
    values, vectors = torch.linalg.eigh(train.flatten(1).T.cov())
    away = (inputs.flatten(1) - shares.sqrt()[:, None] * mean) @ vectors
    rest = (1 - shares)[:, None]
    guess = away * rest.sqrt() / (shares[:, None] * values + rest) @ vectors.T
    return functional.mse_loss(guess, noise.flatten(1))


def moons(count: int, generator: torch.Generator) -> Tensor:
    """Return points of two moons, [n, 2]."""
    angles = torch.pi * torch.rand(count, generator=generator)
    lower = (torch.rand(count, generator=generator) < 0.5).float()
    across = angles.cos() + lower * (1 - 2 * angles.cos())
    along = angles.sin() + lower * (0.5 - 2 * angles.sin())
    return torch.stack([across - 0.5, along - 0.25], 1) + 0.06 * torch.randn(count, 2, generator=generator)


def streams(trial: Trial) -> None:
    """Flow matching: ways from noise to points cross, so that the loss falls by a fifth or two and no further."""
    generator, model = torch.Generator().manual_seed(trial.seed), mlp((3, 64, 64, 64, 2), nn.SiLU)
    optimizer = Adam(model.parameters(), lr=4e-3)
    schedule = CosineAnnealingLR(optimizer, 380)

    def batches(_step: int) -> tuple[Tensor, Tensor]:
        points, noise = moons(192, generator), torch.randn(192, 2, generator=generator)
        times = torch.rand(192, 1, generator=generator)
        return torch.cat([noise.lerp(points, times), times], 1), points - noise

    history = fit(trial, model, batches, optimizer, nn.MSELoss(), schedule=schedule, steps=380, every=2)
    real, made = moons(1000, generator), torch.randn(1000, 2, generator=generator)
    with torch.no_grad():
        before = torch.cdist(made, real).amin(1).mean()
        for step in range(40):
            made = made + model(torch.cat([made, torch.full((1000, 1), step / 40)], 1)) / 40
    off, missed = (float(torch.cdist(*both).amin(1).mean()) for both in ((made, real), (real, made)))
    require(
        max(off, missed) < 0.16, f"points are off by {off:.3g}, before by {float(before):.3g}; missed by {missed:.3g}"
    )
    require(history.end < 0.75 * history.train[0], f"the loss is {history.end:.3g}")


SCENARIOS = (
    Scenario("healthy-denoiser-cnn", "cnn", TUNING, denoiser),
    Scenario("healthy-streams-mlp", "mlp", TUNING, streams),
)
