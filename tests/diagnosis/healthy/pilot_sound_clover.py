"""Healthy trainings: blocks that begin at nearly nothing, units that seldom fire, and days that are storms."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Part, digits
from tests.diagnosis.proof import accuracy, calm, generalises, gradients, learned, loss_of, require, silent
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import History, control, evaluate, fit


class ScaledBlock(nn.Module):
    """Adds what two convolutions make of its input, times a scale of each channel that begins at `start`."""

    def __init__(self, width: int, start: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm, self.up, self.act = nn.GroupNorm(1, width), nn.Conv2d(width, 2 * width, 1), nn.GELU()
        self.down, self.scale = nn.Conv2d(2 * width, width, 1), nn.Parameter(torch.full((width, 1, 1), start))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return [n, width, h, w]."""
        made = self.down(self.act(self.up(self.norm(self.depthwise(inputs)))))
        added: Tensor = inputs + self.scale * made
        return added


class ConvNext(nn.Module):
    """A stem, six scaled blocks, and a head."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 24, 2, stride=2)
        self.blocks = nn.Sequential(*(ScaledBlock(24, start) for _ in range(6)))
        self.norm, self.head = nn.LayerNorm(24 * 16), nn.Linear(24 * 16, 10)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 10]."""
        scores: Tensor = self.head(self.norm(self.blocks(self.stem(pictures)).flatten(1)))
        return scores


def layer_scale(trial: Trial) -> None:
    """ConvNeXt's blocks are scaled by 0.0001 at first: their gradients are next to nothing, and that is meant."""
    data, model, other = digits(trial.seed, flat=False), ConvNext(1e-4), ConvNext(1.0)
    size = gradients(model, data.train.first(128))
    require(size["blocks.0.up.weight"] < 1e-3 * size["head.weight"], "the gradient of a block is not small")
    optimizer, draw = AdamW(model.parameters(), lr=2e-3, weight_decay=0.02), data.train.batches(48, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=240)
    learned(model, data.held_out, 0.95)
    calm(history)
    generalises(history)
    slow = AdamW(other.parameters(), lr=2e-3, weight_decay=0.02)
    control(other, data.train.batches(48, trial.seed), slow, steps=240)
    does, without = accuracy(model, data.held_out), accuracy(other, data.held_out)
    require(does > without - 0.02, f"{does:.3f} are right, and without the scales {without:.3f}")


class Largest(nn.Module):
    """Keeps the six largest of each sample, and puts the others to zero."""

    def forward(self, codes: Tensor) -> Tensor:
        """Return codes, most of which are zero."""
        least = codes.topk(6, 1).values[:, -1:]
        return codes * (codes >= least)


class Dictionary(nn.Module):
    """An autoencoder whose code has 40 units, of which a sample uses six."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.relu, self.keep = nn.Linear(24, 40), nn.ReLU(), Largest()
        self.decoder = nn.Linear(40, 24)
        with torch.no_grad():
            self.encoder.weight.copy_(nn.functional.normalize(self.encoder.weight))
            self.decoder.weight.copy_(self.encoder.weight.T)

    def forward(self, rows: Tensor) -> Tensor:
        """Return rows [n, 24]."""
        rebuilt: Tensor = self.decoder(self.keep(self.relu(self.encoder(rows))))
        return rebuilt


def mixtures(seed: int, count: int) -> Tensor:
    """Return rows [n, 24] that are each a sum of three of 32 directions."""
    generator = torch.Generator().manual_seed(7)
    directions = nn.functional.normalize(torch.randn(32, 24, generator=generator))
    generator.manual_seed(seed)
    chosen = torch.rand(count, 32, generator=generator).argsort(1) < 3
    amounts = chosen * (1 + torch.rand(count, 32, generator=generator))
    return 2 * amounts @ directions + 0.1 * torch.randn(count, 24, generator=generator)


def sparse_code(trial: Trial) -> None:
    """A sparse autoencoder keeps six of forty units of a sample: nearly all are zero, and each has its own samples."""
    rows, more = mixtures(trial.seed, 3000), mixtures(trial.seed + 100, 600)
    data, held_out, model, criterion = Part(rows, rows), Part(more, more), Dictionary(), nn.MSELoss()
    optimizer, draw = Adam(model.parameters(), lr=5e-3), data.batches(128, trial.seed)
    losses = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(300):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("Loss/reconstruction", losses[-1], step)
    calm(History(losses, {}))
    share = float(silent(model, "keep", more).double().mean())
    require(share < 0.06, f"{share:.2f} of the units are dead")
    left = loss_of(model, held_out, criterion) / float(more.var())
    require(left < 0.2, f"{left:.2f} of the variance is left")


class Station(nn.Module):
    """Two graph convolutions over stations, and what each will measure."""

    def __init__(self, roads: Tensor) -> None:
        super().__init__()
        self.register_buffer("roads", roads, persistent=False)
        self.lift, self.near1, self.near2, self.own = (nn.Linear(a, 32) for a in (3, 32, 32, 32))
        self.act, self.out = nn.SiLU(), nn.Linear(32, 1)

    def forward(self, days: Tensor) -> Tensor:
        """Return [n, stations, 1] of [n, stations, 3]."""
        hidden = self.act(self.lift(days))
        hidden = hidden + self.act(self.near1(self.roads @ hidden) + self.own(hidden))
        hidden = hidden + self.act(self.near2(self.roads @ hidden))
        told: Tensor = self.out(hidden)
        return told


def storms(trial: Trial) -> None:
    """One day in eighty is a storm that nobody can forecast: the loss leaps, but an absolute error bears that."""
    generator = torch.Generator().manual_seed(trial.seed)
    joined = (torch.rand(25, 25, generator=generator) < 0.15).float().triu(1)
    joined = joined + joined.T + torch.eye(25)
    roads = joined / joined.sum(1, keepdim=True)
    days = torch.randn(1500, 25, 3, generator=generator)
    known = 2 * roads @ days[..., :1] + (days[..., 1:2] * 1.5).tanh() + (roads @ days[..., 2:]).abs()
    stormy = (torch.rand(1500, 1, 1, generator=generator) < 1 / 80) * 60.0
    noise = torch.randn(1500, 25, 1, generator=generator)
    seen = Part(days[:1200], (known + (0.2 + stormy) * noise)[:1200])
    fair, held_out = Part(days[:1200], (known + 0.2 * noise)[:1200]), Part(days[1200:], known[1200:])
    model, criterion = Station(roads), nn.L1Loss()
    other, losses = copy.deepcopy(model), []
    optimizer, draw = SGD(model.parameters(), lr=0.02, momentum=0.9), seen.batches(8, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(320):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/mae", losses[-1], step)
            if step % 40 == 39:
                writer.add_scalar("val/mae", evaluate(model, criterion, held_out), step)
    require(max(losses[100:]) > 8 * sorted(losses)[160], "no day was a storm")
    control(other, fair.batches(8, trial.seed), SGD(other.parameters(), lr=0.02, momentum=0.9), criterion, steps=320)
    does, calmer = loss_of(model, held_out, criterion), loss_of(other, held_out, criterion)
    plain = float((held_out.targets - held_out.targets.median()).abs().mean())
    require(does < 0.25 * plain, f"the error is {does:.3g}, and that of the median {plain:.3g}")
    require(does < calmer + 0.06 * plain, f"the error is {does:.3g}, and without storms {calmer:.3g}")


SCENARIOS = (
    Scenario("clover-sound-layer-scale-cnn", "cnn", TUNING, layer_scale),
    Scenario("clover-sound-sparse-mlp", "mlp", TUNING, sparse_code),
    Scenario("clover-sound-storms-gnn", "gnn", TUNING, storms),
)
