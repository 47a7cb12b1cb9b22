"""Healthy networks without labels, or with few: views, bits that are free, what comes next, heartbeats."""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR

from tests.diagnosis.data import Part, digits, language, split
from tests.diagnosis.healthy.blind_views import neighbours, seen
from tests.diagnosis.healthy.stranger_pictures import layer
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import calm, require, sound
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import History, fit


def variances(trial: Trial) -> None:
    """VICReg: views are to agree, codes to vary, and columns not to repeat each other; the sum stays above twenty."""
    data, generator = digits(trial.seed, flat=False), torch.Generator().manual_seed(trial.seed)
    encoder = nn.Sequential(layer(1, 16), layer(16, 32, 2), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    expand = mlp((128, 96, 96), norm=nn.BatchNorm1d)
    model = nn.Sequential(OrderedDict(encoder=encoder, expand=expand))
    optimizer = AdamW(model.parameters(), lr=3e-3, weight_decay=1e-4)
    schedule, draw, losses = CosineAnnealingLR(optimizer, 150), data.train.batches(64, trial.seed), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=3, on_finding="ignore")
        for _step in range(150):
            pictures, _ = draw(0)
            codes = [model(seen(pictures, generator)) for _ in range(2)]
            agree = functional.mse_loss(*codes)
            vary = sum((1 - (one.var(0) + 1e-4).sqrt()).relu().mean() for one in codes)
            joint = sum(one.T.cov().fill_diagonal_(0).square().sum() / 96 for one in codes)
            loss = 25 * agree + 25 * vary + joint
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
            for name, one in (("total", loss), ("invariance", agree), ("variance", vary), ("covariance", joint)):
                writer.add_scalar(f"train/{name}", one.detach(), writer.step)
    neighbours(encoder, data, 0.85)
    require(sum(losses[-20:]) < 0.85 * sum(losses[:20]), f"the loss came from {losses[0]:.3g} to {losses[-1]:.3g}")


class Bits(nn.Module):
    """A convolutional variational autoencoder; returns pictures, means and logarithms of variances."""

    def __init__(self, codes: int = 12) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            *(nn.Conv2d(1, 16, 3, 2, padding=1), nn.SiLU(), nn.Conv2d(16, 32, 3, 2, padding=1), nn.SiLU(), nn.Flatten())
        )
        self.code = nn.Linear(128, 2 * codes)
        self.spread = nn.Linear(codes, 128)
        self.decoder = nn.Sequential(
            *(nn.SiLU(), nn.Unflatten(1, (32, 2, 2)), nn.ConvTranspose2d(32, 16, 4, 2, padding=1), nn.SiLU()),
            nn.ConvTranspose2d(16, 1, 4, 2, padding=1),
        )

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return [n, 1, 8, 8], [n, codes] and [n, codes]."""
        mean, log_variance = self.code(self.encoder(pictures)).chunk(2, 1)
        codes = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        return self.decoder(self.spread(codes)), mean, log_variance


def free_bits(trial: Trial) -> None:
    """Free bits: what codes say beyond a half costs nothing below it, so that the divergence rises, and then stays."""
    data, model = digits(trial.seed, flat=False), Bits()
    optimizer, draw = Adam(model.parameters(), lr=4e-3), data.train.batches(48, trial.seed)
    totals = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=3, on_finding="ignore")
        for step in range(220):
            pictures, _ = draw(step)
            made, mean, log_variance = model(pictures)
            error = (made - pictures).square().sum((1, 2, 3)).mean()
            told = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean(0)
            loss = error + told.clamp_min(0.5).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            totals.append(float(loss.detach()))
            writer.add_scalar("elbo", -totals[-1], writer.step)
            writer.add_scalar("recon", error.detach(), writer.step)
            writer.add_scalar("kl", told.sum().detach(), writer.step)
    with torch.no_grad():
        made, mean, _ = model(data.held_out.inputs)
    left = float((made - data.held_out.inputs).square().mean() / data.held_out.inputs.var(0).mean())
    require(left < 0.6, f"{left:.2f} of the variance is lost")
    require(float(mean.var(0).sum()) > 3, f"the codes say {mean.var(0)}")
    calm(History(totals, {}))


class Predictor(nn.Module):
    """Makes codes of what is heard, and says from what it has heard so far what comes next."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.context = mlp((8, 48, 24)), nn.GRU(24, 32, batch_first=True)
        self.following = nn.Linear(32, 24, bias=False)

    def forward(self, heard: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes of the places from the second on, and what they were thought to be, [n, length - 1, 24]."""
        codes = self.encoder(heard)
        return codes[:, 1:], self.following(self.context(codes)[0][:, :-1])


def which(codes: Tensor, thought: Tensor) -> tuple[Tensor, float]:
    """Return the entropy of telling at each place which of a batch was thought of, and how often it is right."""
    scores = torch.einsum("atc,btc->tab", thought, codes)
    answers = torch.arange(len(codes)).expand(len(scores), -1)
    right = float((scores.argmax(2) == answers).float().mean())
    return functional.cross_entropy(scores.mT, answers), right


def next_codes(trial: Trial) -> None:
    """Contrastive predictive coding: which of thirty-two comes next; many are alike, so that it stays hard."""
    generator = torch.Generator().manual_seed(trial.seed)
    words = language(trial.seed, length=12).train.inputs
    sounds = 1.2 * torch.randn(20, 8, generator=generator)
    heard = sounds[words] + 0.5 * torch.randn(*words.shape, 8, generator=generator)
    data, model, losses = Part(heard[200:], words[200:]), Predictor(), []
    optimizer, draw = Adam(model.parameters(), lr=3e-3), data.batches(32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(200):
            loss, right = which(*model(draw(step)[0]))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            losses.append(float(loss.detach()))
            writer.add_scalar("cpc/loss", losses[-1], writer.step)
            writer.add_scalar("cpc/accuracy", right, writer.step)
    pairs = (20 * words[200:, :-1] + words[200:, 1:]).flatten().bincount(minlength=400).view(20, 20) + 0.1
    told = (pairs * pairs.sum() / (pairs.sum(1, keepdim=True) * pairs.sum(0))).log()
    with torch.no_grad():
        left = sum(float(which(*model(part))[0]) for part in heard[:192].split(32)) / 6
        hot = functional.one_hot(words[:192], 20).float()
        best = sum(float(which(part[:, 1:], part[:, :-1] @ told)[0]) for part in hot.split(32)) / 6
    share = (math.log(32) - left) / (math.log(32) - best)
    require(share > 0.6, f"{share:.2f} of what can be known is known; the loss is {left:.3g}, and could be {best:.3g}")
    require(left < 1.15 * sum(losses[-20:]) / 20, f"it is {losses[-1]:.3g} in training and {left:.3g} held out")
    calm(History(losses, {}), 0.5)


class Beats(nn.Module):
    """Adds what two convolutions over time make of a series to it, at half of the pace if channels double."""

    def __init__(self, inputs: int, made: int) -> None:
        super().__init__()
        stride = made // inputs
        self.conv1 = nn.Conv1d(inputs, made, 7, stride, padding=3, bias=False)
        self.conv2 = nn.Conv1d(made, made, 7, padding=3, bias=False)
        self.bn1, self.bn2, self.relu = nn.BatchNorm1d(made), nn.BatchNorm1d(made), nn.ReLU(inplace=True)
        self.skip = nn.Conv1d(inputs, made, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, series: Tensor) -> Tensor:
        """Return [n, made, length / stride]."""
        added: Tensor = self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(series))))) + self.skip(series))
        return added


def heartbeats(trial: Trial) -> None:
    """Four kinds of heartbeats by a small ResNet over time, of leads with their own gain, drift and noise."""
    generator = torch.Generator().manual_seed(trial.seed)
    time, kinds = torch.linspace(0, 1, 64), torch.randint(4, (1400,), generator=generator)
    shift = 0.06 * torch.randn(1400, 1, generator=generator)

    def wave(at: float, width: Tensor | float, height: Tensor | float) -> Tensor:
        return height * (-((time - at - shift) / width).square()).exp()

    wide = torch.where(kinds == 1, 0.06, 0.025)[:, None]
    atrial = torch.where(kinds == 2, 0.0, 0.25)[:, None]
    turned = torch.where(kinds == 3, -0.35, 0.35)[:, None]
    beats = wave(0.25, 0.04, atrial) + wave(0.45, wide, 1.0) - wave(0.52, 0.02, 0.3) + wave(0.75, 0.07, turned)
    gain, drift = (0.8 + 0.4 * torch.rand(1400, 1, generator=generator)), torch.randn(1400, 1, generator=generator)
    leads = gain * beats + 0.1 * drift * (time - 0.5) + 0.08 * torch.randn(1400, 64, generator=generator)
    data = split(((leads - leads.mean()) / leads.std())[:, None], kinds, 300, trial.seed)
    model = nn.Sequential(
        *(nn.Conv1d(1, 12, 7, padding=3, bias=False), nn.BatchNorm1d(12), nn.ReLU(), Beats(12, 12), Beats(12, 24)),
        *(nn.AdaptiveAvgPool1d(4), nn.Flatten(), nn.Dropout(0.2), nn.Linear(96, 4)),
    )
    optimizer = SGD(model.parameters(), lr=0.03, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule, draw = CosineAnnealingLR(optimizer, 180), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, schedule=schedule, validation=data.held_out, every=3, steps=180)
    sound(model, data.held_out, 0.93, history)


SCENARIOS = (
    Scenario("healthy-variances-cnn", "cnn", TUNING, variances),
    Scenario("healthy-free-bits-cnn", "cnn", TUNING, free_bits),
    Scenario("healthy-next-codes-gru", "rnn", TUNING, next_codes),
    Scenario("healthy-heartbeats-cnn", "cnn", TUNING, heartbeats),
)
