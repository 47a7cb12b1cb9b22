"""Healthy trainings that look ill: latents that are not needed, a loss above that held out, gates at zero, a sum."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import digits, split
from tests.diagnosis.networks import Attention, cnn
from tests.diagnosis.proof import accuracy, double, learned, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import control, evaluate

NOISE = 0.15


class Signals(nn.Module):
    """A variational autoencoder of signals [n, 32] with so many latent numbers."""

    def __init__(self, latents: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(32, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU())
        self.mean, self.spread = nn.Linear(64, latents), nn.Linear(64, latents)
        self.decoder = nn.Sequential(nn.Linear(latents, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 32))

    def forward(self, signals: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what is drawn again, means and logarithms of variances."""
        hidden = self.encoder(signals)
        mean, spread = self.mean(hidden), self.spread(hidden)
        drawn = mean + (0.5 * spread).exp() * torch.randn_like(mean)
        return self.decoder(drawn), mean, spread


def unneeded(trial: Trial) -> None:
    """A VAE of ten latents for signals of two causes: most latents are at the prior, as they should be."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    causes = torch.randn(2200, 2, generator=generator)
    line = torch.linspace(-2, 2, 32)
    clean = (1.5 * line + 0.7 * causes[:, :1]).sin() + 0.8 * causes[:, 1:] * (-line.square()).exp()
    signals = clean + NOISE * torch.randn(2200, 32, generator=generator)

    def learn(net: Signals, optimizer: Adam) -> tuple[float, float]:
        batch = signals[torch.randint(1800, (128,), generator=generator)]
        made, mean, spread = net(batch)
        wrong = (made - batch).square().sum(1).mean() / (2 * NOISE**2)
        divergence = 0.5 * (mean.square() + spread.exp() - 1 - spread).sum(1).mean()
        optimizer.zero_grad()
        (wrong + divergence).backward()
        optimizer.step()
        return wrong.item(), divergence.item()

    def bound(net: Signals) -> tuple[float, float, Tensor]:
        with torch.no_grad():
            made, mean, spread = double(net)(signals[1800:].double())
        each = 0.5 * (mean.square() + spread.exp() - 1 - spread).mean(0)
        wrong = (made - signals[1800:]).square().sum(1).mean() / (2 * NOISE**2)
        return float(wrong + each.sum()), float((made - clean[1800:]).square().mean()), each

    model, other = Signals(10), Signals(3)
    optimizer = Adam(model.parameters(), lr=6e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(380):
            wrong, divergence = learn(model, optimizer)
            writer.add_scalar("elbo/reconstruction", wrong, step)
            writer.add_scalar("elbo/kl", divergence, step)
    smaller = Adam(other.parameters(), lr=6e-3)
    for _step in range(380):
        learn(other, smaller)
    (does, error, each), (few, _, _) = bound(model), bound(other)
    flat = float(clean[1800:].var(0).mean())
    require(error < 0.08 * flat, f"the error is {error:.3g}, and the variance {flat:.3g}")
    require(int((each < 0.25).sum()) >= 6 and int((each > 0.5).sum()) >= 2, f"latents hold {each.tolist()}")
    require(does < 1.1 * few, f"the bound is {does:.3g}, and with three latents {few:.3g}")


def right(scores: Tensor, classes: Tensor) -> Tensor:
    """Return the share that is right."""
    return (scores.argmax(1) == classes).double().mean()


def mixed(trial: Trial) -> None:
    """Mixup, smoothed labels and dropout: the training loss stays far above that held out, and is meant to."""
    torch.manual_seed(trial.seed)
    data, model = digits(trial.seed, flat=False), cnn((12, 24), dropout=0.25)
    smoothed, plain = nn.CrossEntropyLoss(label_smoothing=0.1), nn.CrossEntropyLoss()
    optimizer = AdamW(model.parameters(), lr=4e-3, weight_decay=0.02)
    draw, generator = data.train.batches(64, trial.seed), torch.Generator().manual_seed(trial.seed)
    losses = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, smoothed, every=2, on_finding="ignore")
        for step in range(240):
            pictures, classes = draw(step)
            share = 0.5 * torch.rand(64, 1, generator=generator)
            order = torch.randperm(64, generator=generator)
            known = functional.one_hot(classes, 10).float()
            pictures = pictures.lerp(pictures[order], share[..., None, None])
            loss = smoothed(model(pictures), known.lerp(known[order], share))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/loss", losses[-1], step)
            if step % 20 == 19:
                writer.add_scalar("val/loss", evaluate(model, plain, data.held_out), step)
                writer.add_scalar("val/accuracy", evaluate(model, right, data.held_out), step)
    learned(model, data.held_out, 0.95)
    end, held = sum(losses[-24:]) / 24, loss_of(model, data.held_out)
    require(held < 0.5 * end, f"the loss is {end:.3g} in training and {held:.3g} held out")
    own = loss_of(model, data.train)
    require(held - own < 0.2, f"without mixing the loss is {own:.3g} on what was learned from, and {held:.3g} held out")


class Conditioned(nn.Module):
    """A transformer block whose parts are scaled, shifted and gated by how noisy it is; all gates begin at zero."""

    def __init__(self, width: int, *, zero: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(width, elementwise_affine=False) for _ in range(2))
        self.attention = Attention(width, 4)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.modulation = nn.Linear(width, 6 * width)
        if zero:
            nn.init.zeros_(self.modulation.weight)
            nn.init.zeros_(self.modulation.bias)

    def forward(self, tokens: Tensor, level: Tensor) -> Tensor:
        """Return [n, points, width]."""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(level)[:, None].chunk(6, 2)
        tokens = tokens + gate1 * self.attention(self.norm1(tokens) * (1 + scale1) + shift1)
        added: Tensor = tokens + gate2 * self.mlp(self.norm2(tokens) * (1 + scale2) + shift2)
        return added


class Denoiser(nn.Module):
    """A small diffusion transformer over outlines of eight points; their level of noise is a ninth row."""

    def __init__(self, *, zero: bool) -> None:
        super().__init__()
        self.lift, self.place = nn.Linear(2, 32), nn.Parameter(0.3 * torch.randn(8, 32))
        self.level = nn.Sequential(nn.Linear(2, 32), nn.SiLU(), nn.Linear(32, 32), nn.SiLU())
        self.blocks = nn.ModuleList(Conditioned(32, zero=zero) for _ in range(4))
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 2)
        if zero:
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)

    def forward(self, rows: Tensor) -> Tensor:
        """Return the noise in the points, [n, 8, 2], of [n, 9, 2]."""
        tokens, level = self.lift(rows[:, :8]) + self.place, self.level(rows[:, 8])
        for block in self.blocks:
            tokens = block(tokens, level)
        noise: Tensor = self.head(self.norm(tokens))
        return noise


def gates_at_zero(trial: Trial) -> None:
    """A diffusion transformer whose gates and head begin at zero: at first hardly a gradient reaches its blocks."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    turn = 6.3 * torch.rand(1500, 1, generator=generator) + torch.arange(8) * 6.2832 / 8
    radius = torch.rand(1500, 1, generator=generator) + 0.6
    outlines = torch.stack([radius * turn.cos(), 0.6 * radius * turn.sin()], 2)

    def draw(_step: int) -> tuple[Tensor, Tensor]:
        clean = outlines[torch.randint(1500, (48,), generator=generator)]
        time, noise = torch.rand(48, 1, 1, generator=generator), torch.randn(48, 8, 2, generator=generator)
        angle = 1.5 * time + 0.05
        level = torch.cat([angle.cos(), angle.sin()], 2)
        return torch.cat([angle.cos() * clean + angle.sin() * noise, level], 1), noise

    model, other, criterion = Denoiser(zero=True), Denoiser(zero=False), nn.MSELoss()
    optimizer, losses = AdamW(model.parameters(), lr=3e-3), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(220):
            rows, noise = draw(step)
            loss = criterion(model(rows), noise)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("loss", losses[-1], step)
    end = sum(losses[-40:]) / 40
    without = control(other, draw, AdamW(other.parameters(), lr=3e-3), criterion, steps=220, clip=1.0)
    require(end < 0.3, f"the loss is {end:.3g}, and that of no answer is 1")
    require(end < 1.15 * without, f"the loss is {end:.3g}, and without zeros {without:.3g}")


class Tagger(nn.Module):
    """Says at each place of a signal in which of four states a machine is."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.GRU(3, 24, batch_first=True, bidirectional=True), nn.Linear(48, 4)

    def forward(self, signal: Tensor) -> Tensor:
        """Return scores [n, 4, length]."""
        scores: Tensor = self.head(self.rnn(signal)[0])
        return scores.transpose(1, 2)


def summed(trial: Trial) -> None:
    """The loss is a sum over 32 signals of 24 places, hence SGD at 0.0002: it is as large a step as it should be."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    state, states = torch.randint(4, (1200,), generator=generator), []
    for _place in range(24):
        turned = torch.randint(4, (1200,), generator=generator)
        state = torch.where(torch.rand(1200, generator=generator) < 0.15, turned, state)
        states.append(state)
    known, levels = torch.stack(states, 1), torch.randn(4, 3, generator=generator) * 1.2
    data = split(levels[known] + 0.8 * torch.randn(1200, 24, 3, generator=generator), known, 240, trial.seed)
    model, criterion = Tagger(), nn.CrossEntropyLoss(reduction="sum")
    begun, draw = copy.deepcopy(model), data.train.batches(32, trial.seed)
    optimizer = SGD(model.parameters(), lr=2e-4, momentum=0.9)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(200):
            signal, targets = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(signal), targets)
            loss.backward()
            optimizer.step()
            writer.add_scalar("Loss/train", loss.item(), writer.step)
            if step % 20 == 19:
                writer.add_scalar("Loss/val", evaluate(model, criterion, data.held_out) * 32 / 240, writer.step)
    does, others = loss_of(model, data.held_out), []
    for rate in (2e-5, 2e-3):
        other = copy.deepcopy(begun)
        batches, moving = data.train.batches(32, trial.seed), SGD(other.parameters(), lr=rate, momentum=0.9)
        control(other, batches, moving, criterion, steps=200)
        others.append(loss_of(other, data.held_out))
    distance = (data.held_out.inputs[:, :, None] - levels).square().sum(3).argmin(2)
    alone = float((distance == data.held_out.targets).double().mean())
    share = accuracy(model, data.held_out)
    require(share > alone + 0.02, f"the accuracy is {share:.3f}, and of places by themselves {alone:.3f}")
    require(does < 1.1 * min(others), f"the loss is {does:.3g}, and at other rates {others}")


SCENARIOS = (
    Scenario("olive-unneeded-latents-mlp", "mlp", TUNING, unneeded),
    Scenario("olive-mixup-cnn", "cnn", TUNING, mixed),
    Scenario("olive-gates-at-zero-transformer", "transformer", TUNING, gates_at_zero),
    Scenario("olive-summed-loss-gru", "rnn", TUNING, summed),
)
