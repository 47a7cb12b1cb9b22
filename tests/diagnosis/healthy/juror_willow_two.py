"""Healthy trainings of small batches, two shops by turns, votes and sketches: losses that sway, and sixteen bits."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Part, digits, majorities, split
from tests.diagnosis.networks import Transformer, cnn, mlp
from tests.diagnosis.proof import accuracy, generalises, learned, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import control, evaluate, fit


def handfuls(trial: Trial) -> None:
    """Digits in batches of six: each step's loss is that of a handful of pictures, and what is held out falls."""
    torch.manual_seed(trial.seed)
    data, model = digits(trial.seed, flat=False), cnn((12, 24), norm=False)
    optimizer, draw = SGD(model.parameters(), lr=0.03, momentum=0.5), data.train.batches(6, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, steps=400, every=2)
    learned(model, data.held_out, 0.88)
    generalises(history)


def shops(trial: Trial) -> None:
    """Sales of two shops by turns, a batch of each: those of one are mostly chance, so the loss goes up and down."""
    torch.manual_seed(trial.seed)
    rows = torch.randn(5000, 6)
    smooth = torch.sin(1.5 * rows[:, 0]) + rows[:, 1] * rows[:, 2].clamp_min(0) - 0.7 * rows[:, 3]
    shop = torch.arange(5000) % 2
    sales = torch.where(shop > 0, 0.8 * smooth + 0.5, smooth) + torch.where(shop > 0, 1.0, 0.15) * torch.randn(5000)
    inputs = torch.cat([rows, 2.0 * shop[:, None] - 1], 1)
    parts = [split(inputs[shop == one], sales[shop == one][:, None], 300, trial.seed) for one in (0, 1)]
    both = Part(*(torch.cat([getattr(one.train, of) for one in parts]) for of in ("inputs", "targets")))
    draws = [one.train.batches(64, trial.seed) for one in parts]
    model, criterion = mlp((7, 48, 48, 1), nn.SiLU), nn.MSELoss()
    other, optimizer = copy.deepcopy(model), Adam(model.parameters(), lr=3e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(360):
            features, targets = draws[step % 2](step)
            optimizer.zero_grad()
            loss = criterion(model(features), targets)
            loss.backward()
            optimizer.step()
            writer.add_scalar("loss/train", loss.item(), writer.step)
            if step % 30 == 29:
                held = [evaluate(model, criterion, one.held_out) for one in parts]
                writer.add_scalar("loss/val", sum(held) / 2, writer.step)
    control(other, both.batches(64, trial.seed), Adam(other.parameters(), lr=3e-3), criterion, steps=360)
    calm_one, noisy = (loss_of(model, one.held_out, criterion) for one in parts)
    require(calm_one < 0.3, f"the loss of the calm shop is {calm_one:.3f}, and its deviation about one and a half")
    require(noisy < 1.3, f"that of the other is {noisy:.3f}, and 1 of it is chance")
    mixed = sum(loss_of(other, one.held_out, criterion) for one in parts)
    require(calm_one + noisy < 1.1 * mixed, f"{calm_one + noisy:.3f}, and {mixed:.3f} where batches are mixed")


def votes(trial: Trial) -> None:
    """Who has the most votes, by a transformer under autocast to bfloat16, whose weights stay in float32."""
    torch.manual_seed(trial.seed)
    data, model = majorities(trial.seed), Transformer(12, 3, width=32)
    criterion, optimizer = nn.CrossEntropyLoss(label_smoothing=0.05), AdamW(model.parameters(), lr=3e-3)
    other, draw = copy.deepcopy(model), data.train.batches(48, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(180):
            tokens, winners = draw(step)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = criterion(model(tokens), winners)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            writer.add_scalar("train/loss", loss.item(), writer.step)
            if step % 20 == 19:
                writer.add_scalar("eval/loss", evaluate(model, criterion, data.held_out), writer.step)
    rate = AdamW(other.parameters(), lr=3e-3)
    control(other, data.train.batches(48, trial.seed), rate, criterion, steps=180, clip=5.0)
    does, wide = (accuracy(one, data.held_out) for one in (model, other))
    require(does > 0.85, f"it gets {does:.3f} right")
    require(does > wide - 0.04, f"it gets {does:.3f} right, and {wide:.3f} in float32")


class Sketches(nn.Module):
    """An autoencoder of pictures of eight times eight, with twenty numbers between."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.code = nn.Linear(64, 96), nn.Linear(96, 20)
        self.open, self.draw = nn.Linear(20, 96), nn.Linear(96, 64)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return pictures [n, 64]."""
        code = self.code(functional.gelu(self.enter(pictures)))
        drawn: Tensor = self.draw(functional.gelu(self.open(code)))
        return drawn


def sketches(trial: Trial) -> None:
    """An autoencoder under autocast to float16: a loss so small that a GradScaler must help, and it does."""
    torch.manual_seed(trial.seed)
    pictures = digits(trial.seed)
    train, held_out = (0.03 * part.inputs for part in (pictures.train, pictures.held_out))
    model, criterion = Sketches(), nn.MSELoss()
    other, optimizer, scaler = copy.deepcopy(model), Adam(model.parameters(), lr=2e-3), torch.amp.GradScaler("cpu")
    draw, data = Part(train, train).batches(64, trial.seed), Part(held_out, held_out)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(300):
            seen, _ = draw(step)
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.float16):
                drawn = model(seen)
            loss = criterion(drawn.float(), seen)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            writer.add_scalar("train/loss", loss.item(), writer.step)
            if step % 25 == 24:
                writer.add_scalar("val/loss", evaluate(model, criterion, data), writer.step)
    control(other, Part(train, train).batches(64, trial.seed), Adam(other.parameters(), lr=2e-3), criterion, steps=300)
    does, wide = (loss_of(one, data, criterion) for one in (model, other))
    require(does < 0.35 * float(held_out.var(0).mean()), f"the loss is {does:.3g}")
    require(does < 1.1 * wide, f"{does:.3g}, and {wide:.3g} in float32")


SCENARIOS = (
    Scenario("willow-healthy-handfuls-cnn", "cnn", TUNING, handfuls),
    Scenario("willow-healthy-shops-mlp", "mlp", TUNING, shops),
    Scenario("willow-healthy-votes-transformer", "transformer", TUNING, votes),
    Scenario("willow-healthy-sketches-mlp", "mlp", TUNING, sketches),
)
