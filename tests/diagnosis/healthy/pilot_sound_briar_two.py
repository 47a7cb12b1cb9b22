"""Healthy trainings that look ill: strong dropout that is needed, and large gradients of a sum."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW

from tests.diagnosis.data import Split, digits, split
from tests.diagnosis.proof import accuracy, calm, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import History, control, evaluate, fit


class Net(nn.Module):
    """A small convolutional network with as much dropout as it is told to have."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1)
        self.dropout = nn.Dropout(dropout)
        self.fc1, self.fc2 = nn.Linear(512, 96), nn.Linear(96, 10)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 10]."""
        hidden = functional.relu(self.conv1(pictures))
        hidden = functional.max_pool2d(functional.relu(self.conv2(hidden)), 2).flatten(1)
        scores: Tensor = self.fc2(self.dropout(functional.relu(self.fc1(self.dropout(hidden)))))
        return scores


def few_pictures(trial: Trial) -> None:
    """Dropout of one half, smoothed labels and a decay of 0.1 over 250 digits, where they do no harm."""
    torch.manual_seed(trial.seed)
    data, model, other = digits(trial.seed, flat=False), Net(0.5), Net(0.0)
    other.load_state_dict(model.state_dict())
    few, held_out = data.train.first(250), data.held_out
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer, draw = AdamW(model.parameters(), lr=2e-3, weight_decay=0.1), few.batches(32, trial.seed)
    losses = []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(240):
            pictures, classes = draw(step)
            loss = criterion(model(pictures), classes)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("Loss/train", loss.item(), writer.step)
            if step % 20 == 19:
                writer.add_scalar("Loss/val", evaluate(model, criterion, held_out), writer.step)
                writer.add_scalar("Accuracy/val", accuracy(model, held_out), writer.step)
    control(other, few.batches(32, trial.seed), AdamW(other.parameters(), lr=2e-3, weight_decay=0.0), steps=240)
    share, without = (accuracy(one, held_out) for one in (model, other))
    require(share > 0.92, f"the accuracy is {share:.3f}")
    require(share > without - 0.01, f"the accuracy is {share:.3f}, and {without:.3f} without")
    entropy = [loss_of(one, held_out) for one in (model, other)]
    require(losses[-1] < 0.5 * losses[0], "the loss did not fall")
    calm(History(losses, {}), 0.35)
    require(entropy[0] < entropy[1] + 0.15, f"the cross-entropy is {entropy[0]:.3f}, and {entropy[1]:.3f} without")


def loads(seed: int) -> Split:
    """Return loads of 24 hours, [n, 24, 2], and those of the 12 hours that follow, [n, 12]."""
    generator = torch.Generator().manual_seed(seed)
    phase, size, level = (torch.randn(1500, 1, generator=generator) for _ in range(3))
    hours = torch.arange(36.0)
    curve = level + (1 + 0.4 * size) * (hours * torch.pi / 12 + 2 * phase).sin()
    curve = curve + 0.1 * torch.randn(1500, 36, generator=generator)
    clock = (hours * torch.pi / 12).cos().expand(1500, 36)
    return split(torch.stack([curve, clock], 2)[:, :24], curve[:, 24:], 250, seed)


class Planner(nn.Module):
    """A GRU that says from the loads of a day those of the next half."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.plan = nn.GRU(2, 48, batch_first=True), nn.Linear(48, 12)

    def forward(self, day: Tensor) -> Tensor:
        """Return [n, 12]."""
        told: Tensor = self.plan(self.rnn(day)[1][-1])
        return told


def summed(trial: Trial) -> None:
    """Adds squared errors up over hours and samples: gradients are in the hundreds, which Adam doesn't mind."""
    torch.manual_seed(trial.seed)
    data, model = loads(trial.seed), Planner()
    other, criterion, mean = copy.deepcopy(model), nn.MSELoss(reduction="sum"), nn.MSELoss()
    sizes = []

    def size(_step: int) -> None:
        sizes.append(float(torch.stack([v.grad.norm() for v in model.parameters() if v.grad is not None]).norm()))

    optimizer, draw = Adam(model.parameters(), lr=5e-3), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, backward=size, every=2, steps=240)
    control(other, data.train.batches(64, trial.seed), Adam(other.parameters(), lr=5e-3), mean, steps=240)
    does, usual = (loss_of(one, data.held_out, mean) for one in (model, other))
    variance = float(data.held_out.targets.var())
    require(does < 0.12 * variance, f"{does / variance:.3f} of the variance is missed")
    require(does < 1.2 * usual, f"the error is {does:.3g}, and {usual:.3g} for a mean")
    require(max(sizes) > 200, f"the largest gradient is {max(sizes):.3g}")
    calm(history)


SCENARIOS = (
    Scenario("briar-healthy-dropout-cnn", "cnn", TUNING, few_pictures),
    Scenario("briar-healthy-summed-gru", "rnn", TUNING, summed),
)
