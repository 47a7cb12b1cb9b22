"""Healthy trainings: a window longer than memory, noise that grows by plan, and mixtures that are hard to tell."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR

from tests.diagnosis.data import Part, digits, split
from tests.diagnosis.networks import Recurrent, mlp
from tests.diagnosis.proof import accuracy, alive, calm, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import control, evaluate, fit


def long_window(trial: Trial) -> None:
    """A plain RNN sees eighty hours of a load that only the last two tell of: no gradient goes far back, or has to."""
    torch.manual_seed(trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    chance = torch.randn(1400, 121, 1, generator=generator)
    load = [chance[:, 0], chance[:, 1]]
    for hour in range(2, 121):
        load.append(1.1 * load[-1] - 0.6 * load[-2] + chance[:, hour])
    series = torch.stack(load, 1)
    data = split(series[:, 40:120], series[:, 120], 300, trial.seed)
    model, criterion = Recurrent(nn.RNN, 1, inputs=1, hidden=24), nn.MSELoss()
    other, optimizer = copy.deepcopy(model), Adam(model.parameters(), lr=4e-3)
    draw = data.train.batches(48, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, steps=240, validation=data.held_out, every=2)
    found, guess = loss_of(model, data.held_out, criterion), float(data.held_out.targets.var())
    # What is by chance alone has a variance of one.
    require(found < 1.3 < 0.7 * guess, f"{found:.3f}, where 1 is as good as it gets and {guess:.3f} a guess")
    short = Part(data.train.inputs[:, -8:], data.train.targets)
    control(other, short.batches(48, trial.seed), Adam(other.parameters(), lr=4e-3), criterion)
    better = loss_of(other, Part(data.held_out.inputs[:, -8:], data.held_out.targets), criterion)
    require(found < 1.1 * better, f"{found:.3f} is above {better:.3f} of a short window")
    calm(history, 0.5)


class Cleaner(nn.Module):
    """Three convolutions that say what is noise in a picture."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 24, 3, padding=1), nn.Conv2d(24, 24, 3, padding=1)
        self.norm, self.last = nn.BatchNorm2d(24), nn.Conv2d(24, 1, 3, padding=1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the pictures [n, 1, 8, 8] without it."""
        hidden = functional.silu(self.norm(self.second(functional.silu(self.first(pictures)))))
        cleaned: Tensor = pictures - self.last(hidden)
        return cleaned


def noise_by_plan(trial: Trial) -> None:
    """A denoiser of digits has little noise for 120 steps, and then the noise it is for: the loss steps up, by plan."""
    torch.manual_seed(trial.seed)
    data, criterion = digits(trial.seed, flat=False), nn.MSELoss()
    model, losses = Cleaner(), []
    other = copy.deepcopy(model)

    def noisy(step: int, size: float, part: Part, count: int = 48) -> Part:
        generator = torch.Generator().manual_seed(1000 * trial.seed + step)
        clean = part.inputs[torch.randint(len(part.inputs), (count,), generator=generator)]
        return Part(clean + size * torch.randn(clean.shape, generator=generator), clean)

    hard = noisy(5000, 1.0, data.held_out, 360)
    optimizer = AdamW(model.parameters(), lr=3e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(280):
            batch = noisy(step, 0.3 if step < 120 else 1.0, data.train)
            loss = criterion(model(batch.inputs), batch.targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/mse", losses[-1], writer.step)
            if step % 40 == 39:
                writer.add_scalar("val/mse", evaluate(model, criterion, hard), writer.step)
    require(losses[120] > 3 * losses[119], "the loss doesn't step up")

    def always(step: int) -> tuple[Tensor, Tensor]:
        batch = noisy(step, 1.0, data.train)
        return batch.inputs, batch.targets

    control(other, always, AdamW(other.parameters(), lr=3e-3), criterion, steps=280)
    found, better = (loss_of(one, hard, criterion) for one in (model, other))
    require(found < 1.1 * better, f"{found:.3f} with a plan, and {better:.3f} without")
    require(found < 0.4, f"{found:.3f} is left of the noise, whose square is 1")
    require(max(losses[125:]) < losses[120], "the loss leaps again")


def mixtures(trial: Trial) -> None:
    """Digits are mixed by twos, with dropout, in training alone: its loss stays far above that of whole digits."""
    torch.manual_seed(trial.seed)
    data, steps = digits(trial.seed), 300
    model = mlp((64, 96, 96, 10), norm=nn.BatchNorm1d, dropout=0.2)
    criterion, optimizer = nn.CrossEntropyLoss(label_smoothing=0.05), AdamW(model.parameters(), lr=3e-3)
    schedule, draw, losses = CosineAnnealingLR(optimizer, steps), data.train.batches(64, trial.seed), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(steps):
            pictures, classes = draw(step)
            share = float(torch.distributions.Beta(1.0, 1.0).sample())
            other = torch.randperm(64)
            named = functional.one_hot(classes, 10).float()
            made = model(share * pictures + (1 - share) * pictures[other])
            loss = criterion(made, share * named + (1 - share) * named[other])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            writer.add_scalar("loss/train", losses[-1], writer.step)
            if step % 20 == 19:
                held_out = loss_of(model, data.held_out)
                writer.add_scalar("loss/val", evaluate(model, nn.CrossEntropyLoss(), data.held_out), writer.step)
                writer.add_scalar("accuracy/val", accuracy(model, data.held_out), writer.step)
    alive(model, data.train.inputs)
    end, right = sum(losses[-30:]) / 30, accuracy(model, data.held_out)
    require(right > 0.95, f"the accuracy is {right:.3f}")
    require(end > 2 * held_out, f"{end:.3f} isn't far above {held_out:.3f}")
    known = loss_of(model, data.train)
    require(abs(known - held_out) < 0.15, f"whole digits: {known:.3f} of the training, {held_out:.3f} held out")


SCENARIOS = (
    Scenario("daisy-healthy-window-rnn", "rnn", TUNING, long_window),
    Scenario("daisy-healthy-denoiser-cnn", "cnn", TUNING, noise_by_plan),
    Scenario("daisy-healthy-mixtures-mlp", "mlp", TUNING, mixtures),
)
