"""Healthy trainings with the schedules and optimizers that people use, accumulation, averages, and half precision."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional
from torch.optim import SGD, Adafactor, Adam, AdamW, RAdam
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tests.diagnosis.data import digits, language, majorities, patients
from tests.diagnosis.healthy.blind_pictures import shuffled
from tests.diagnosis.healthy.stranger_pictures import layer
from tests.diagnosis.networks import Transformer, cnn, mlp
from tests.diagnosis.proof import accuracy, alive, calm, generalises, learned, loss_of, require, sound
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import History, fit


def on_plateau(trial: Trial) -> None:
    """The rate is cut to a third whenever the loss held out stands still for two epochs."""
    data, criterion, history = digits(trial.seed), nn.CrossEntropyLoss(), History([], {})
    model = mlp((64, 96, 48, 10), norm=nn.BatchNorm1d, dropout=0.2)
    optimizer, loader = Adam(model.parameters(), lr=1e-2), shuffled(data.train, 64, trial.seed)
    schedule, step = ReduceLROnPlateau(optimizer, factor=0.3, patience=2), 0
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for _epoch in range(13):
            for inputs, targets in loader:
                loss = criterion(model(inputs), targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                history.train.append(float(loss.detach()))
                writer.add_scalar("train/loss", history.train[-1], step)
                step += 1
            history.validation[step] = loss_of(model, data.held_out)
            schedule.step(history.validation[step])
            writer.add_scalar("val/loss", history.validation[step], step)
            writer.add_scalar("lr", optimizer.param_groups[0]["lr"], step)
    sound(model, data.held_out, 0.95, history)


def micro_batches(trial: Trial) -> None:
    """Four batches to a step, counted one by one: losses are those of eight samples, and logged by such batches."""
    data, criterion, history = digits(trial.seed, flat=False), nn.CrossEntropyLoss(), History([], {})
    model, draw = cnn((8, 16), nn.GELU), data.train.batches(8, trial.seed)
    optimizer = AdamW(model.parameters(), lr=4e-3, weight_decay=0.05)
    schedule = LambdaLR(optimizer, lambda step: min((step + 1) / 15, 0.5 + 0.5 * math.cos(math.pi * step / 150)))
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=5, on_finding="ignore")
        for batch in range(600):
            inputs, targets = draw(batch)
            loss = criterion(model(inputs), targets) / 4
            loss.backward()
            history.train.append(4 * float(loss.detach()))
            writer.add_scalar("train/loss", history.train[-1], batch)
            if batch % 4 == 3:
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            if batch % 80 == 79:
                history.validation[batch] = loss_of(model, data.held_out)
                writer.add_scalar("val/loss", history.validation[batch], batch)
    require(accuracy(model, data.held_out) > 0.93, f"the accuracy is {accuracy(model, data.held_out):.3f}")
    generalises(history)


def followed(trial: Trial) -> None:
    """An average of the weights is judged: for a while it is behind, and its loss far above that in training."""
    data, criterion, held_out = digits(trial.seed, flat=False), nn.CrossEntropyLoss(), []
    model = nn.Sequential(layer(1, 8), layer(8, 16, 2), nn.Flatten(), nn.Linear(256, 10))
    slow = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.97), use_buffers=True)
    optimizer, draw = AdamW(model.parameters(), lr=3e-3, weight_decay=0.02), data.train.batches(48, trial.seed)
    for value in slow.parameters():
        value.requires_grad_(False)
    slow.n_averaged += 1  # It begins with the weights that the network begins with.
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=3, on_finding="ignore")
        for step in range(220):
            inputs, targets = draw(step)
            loss = criterion(model(inputs + 0.5 * torch.randn_like(inputs)), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            slow.update_parameters(model)
            writer.add_scalar("loss/train", loss.detach(), writer.step)
            if step % 10 == 9:
                held_out.append(loss_of(slow, data.held_out))
                writer.add_scalar("loss/val_ema", held_out[-1], writer.step)
    learned(slow, data.held_out, 0.95)
    alive(model, data.held_out.inputs)
    require(held_out[-1] < 1.1 * min(held_out), "the loss held out rose")


def steady(trial: Trial) -> None:
    """Warm-up, a rate that stays, and a fall to zero over the last fifth, in which the loss goes down once more."""
    data = language(trial.seed, length=12)
    model, draw = Transformer(20, 20, length=12, each=True), data.train.batches(24, trial.seed)
    optimizer = AdamW(model.parameters(), lr=8e-3, betas=(0.9, 0.95), weight_decay=0.1)
    schedule = LambdaLR(optimizer, lambda step: min((step + 1) / 20, 1.0, (201 - step) / 40))
    history = fit(trial, model, draw, optimizer, schedule=schedule, clip=1.0, steps=200, every=5)
    pairs = (20 * data.train.inputs + data.train.targets).flatten().bincount(minlength=400).view(20, 20).double() + 0.1
    known = (pairs / pairs.sum(1, keepdim=True)).log()
    best = -float(known[data.held_out.inputs, data.held_out.targets].mean())
    told = loss_of(model, data.held_out)
    require(told < best + 0.15, f"the loss held out is {told:.3g}, and of counts {best:.3g}")
    calm(history)


def factored(trial: Trial) -> None:
    """Adafactor, which takes the lengths of its steps from those of the weights, and keeps no average of gradients."""
    data = majorities(trial.seed)
    model, draw = Transformer(12, 3), data.train.batches(32, trial.seed)
    optimizer = Adafactor(model.parameters(), lr=2e-2)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, steps=150, every=5)
    sound(model, data.held_out, 0.9, history)


def rectified(trial: Trial) -> None:
    """RAdam within Lookahead: each fifth step the weights go half of the way back to where they were."""
    data, model = digits(trial.seed), mlp((64, 80, 40, 10))
    optimizer, draw = RAdam(model.parameters(), lr=1e-2), data.train.batches(64, trial.seed)
    slow = [value.detach().clone() for value in model.parameters()]

    @torch.no_grad()
    def look(step: int) -> None:
        if step % 5 == 4:
            for kept, value in zip(slow, model.parameters(), strict=True):
                value.copy_(kept.lerp_(value, 0.5))

    history = fit(trial, model, draw, optimizer, after=look, validation=data.held_out, steps=300, every=3)
    sound(model, data.held_out, 0.93, history)


def halves(trial: Trial) -> None:
    """bfloat16 under autocast, the loss in float32."""
    data, history = digits(trial.seed), History([], {})
    model, draw = mlp((64, 96, 48, 10), nn.GELU, norm=nn.LayerNorm), data.train.batches(64, trial.seed)
    optimizer = AdamW(model.parameters(), lr=2e-3, weight_decay=0.02)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=3, on_finding="ignore")
        for step in range(200):
            inputs, targets = draw(step)
            with torch.autocast("cpu", torch.bfloat16):
                scores = model(inputs)
            loss = functional.cross_entropy(scores.float(), targets)
            writer.observe(outputs=scores, targets=targets, loss=loss)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            history.train.append(float(loss.detach()))
            writer.add_scalar("loss", history.train[-1], writer.step)
            if step % 25 == 24:
                history.validation[step] = loss_of(model, data.held_out)
                writer.add_scalar("val_loss", history.validation[step], writer.step)
    learned(model, data.held_out, 0.94)
    calm(history)
    generalises(history)


def few_patients(trial: Trial) -> None:
    """Logistic regression by SGD on 429 patients: one layer, one output, and a rate that falls with the steps."""
    data, criterion = patients(trial.seed), nn.BCEWithLogitsLoss()
    model = nn.Sequential(nn.Linear(30, 1))
    optimizer = SGD(model.parameters(), lr=0.3, weight_decay=1e-3)
    schedule, draw = LambdaLR(optimizer, lambda step: 1 / (1 + step / 50)), data.train.batches(32, trial.seed)
    history = fit(
        *(trial, model, draw, optimizer, criterion), schedule=schedule, validation=data.held_out, steps=300, every=2
    )
    with torch.no_grad():
        right = float(((model(data.held_out.inputs) > 0) == data.held_out.targets.bool()).float().mean())
    require(right > 0.93, f"the accuracy is {right:.3f}")
    generalises(history)


SCENARIOS = (
    Scenario("healthy-on-plateau-mlp", "mlp", TUNING, on_plateau),
    Scenario("healthy-micro-batches-cnn", "cnn", TUNING, micro_batches),
    Scenario("healthy-followed-cnn", "cnn", TUNING, followed),
    Scenario("healthy-steady-transformer", "transformer", TUNING, steady),
    Scenario("healthy-factored-transformer", "transformer", TUNING, factored),
    Scenario("healthy-rectified-mlp", "mlp", TUNING, rectified),
    Scenario("healthy-halves-mlp", "mlp", TUNING, halves),
    Scenario("healthy-logistic-mlp", "mlp", TUNING, few_patients),
)
