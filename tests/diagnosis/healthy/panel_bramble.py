"""Healthy trainings: a mark to remember, blocks that begin as nothing, tumours and a worse thermometer."""

from __future__ import annotations

import torch
from sklearn.datasets import load_breast_cancer
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW

from tests.diagnosis.data import Part, Split, digits, split
from tests.diagnosis.proof import accuracy, loss_of, require
from tests.diagnosis.scenario import REPORTING, Scenario, Trial
from tests.diagnosis.training import control, evaluate, fit


class Courier(nn.Module):
    """An LSTM that answers after the last of many readings; its gates begin open."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.answer = nn.LSTM(5, 32, batch_first=True), nn.Linear(32, 4)
        with torch.no_grad():
            self.cell.bias_ih_l0[32:64] = 3.0

    def forward(self, readings: Tensor) -> Tensor:
        """Return scores [n, 4] of [n, time, 5]."""
        scores: Tensor = self.answer(self.cell(readings)[0][:, -1])
        return scores


def parcels(seed: int, count: int = 1400, length: int = 25) -> Split:
    """Return readings [n, length, 5], in one of the first ten of which a channel is marked; and which one."""
    generator = torch.Generator().manual_seed(seed)
    channel = torch.randint(4, (count,), generator=generator)
    readings = 0.3 * torch.randn(count, length, 5, generator=generator)
    at = torch.randint(10, (count,), generator=generator)
    readings[torch.arange(count), at, channel] += 2
    readings[torch.arange(count), at, 4] += 2
    return split(readings, channel, 250, seed)


def courier(trial: Trial) -> None:
    """Which channel was marked fifteen steps ago or more, by an LSTM whose forget gates begin open."""
    torch.manual_seed(trial.seed)
    data, model, criterion = parcels(trial.seed), Courier(), nn.CrossEntropyLoss()
    optimizer, draw = Adam(model.parameters(), lr=5e-3), data.train.batches(48, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(260):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            scores = model(inputs)
            loss = criterion(scores, targets)
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/loss", loss.item(), writer.step)
            writer.add_scalar("train/accuracy", float((scores.argmax(1) == targets).float().mean()), writer.step)
            if step % 20 == 19:
                writer.add_scalar("val/loss", evaluate(model, criterion, data.held_out), writer.step)
    share = accuracy(model, data.held_out)
    require(share > 0.95, f"{share:.3f} is right")


class Gentle(nn.Module):
    """A block of a depthwise convolution and two linear ones, times a gate of each channel that begins near nothing."""

    def __init__(self, width: int, gate: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm = nn.GroupNorm(1, width)
        self.widen, self.narrow = nn.Conv2d(width, 3 * width, 1), nn.Conv2d(3 * width, width, 1)
        self.gate = nn.Parameter(torch.full((width, 1, 1), gate))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return pictures with what is added."""
        made: Tensor = self.narrow(functional.gelu(self.widen(self.norm(self.depthwise(pictures)))))
        return pictures + self.gate * made


def gentle(gate: float) -> nn.Sequential:
    """Return a small ConvNeXt for digits."""
    stem = nn.Sequential(nn.Conv2d(1, 24, 2, stride=2), nn.GroupNorm(1, 24))
    head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(96, 10))
    return nn.Sequential(stem, *(Gentle(24, gate) for _ in range(4)), head)


def scaled_layers(trial: Trial) -> None:
    """A small ConvNeXt, whose blocks begin at a hundredth, as they are meant to: their gradients begin tiny too."""
    torch.manual_seed(trial.seed)
    data, criterion = digits(trial.seed, flat=False), nn.CrossEntropyLoss()
    model, other = gentle(1e-2), gentle(1.0)
    optimizer, draw = AdamW(model.parameters(), lr=6e-3, weight_decay=0.05), data.train.batches(48, trial.seed)
    fit(trial, model, draw, optimizer, criterion, validation=data.held_out, steps=240, every=2)
    plain = AdamW(other.parameters(), lr=6e-3, weight_decay=0.05)
    control(other, data.train.batches(48, trial.seed), plain, criterion, steps=240)
    does, might = (accuracy(one, data.held_out) for one in (model, other))
    require(does > 0.93 and does > might - 0.03, f"{does:.3f} is right, and {might:.3f} with gates of 1")


def tumours(trial: Trial) -> None:
    """Breast cancer by an MLP with dropout and weight decay, with the loss and the accuracy of what is held out."""
    torch.manual_seed(trial.seed)
    table = load_breast_cancer()
    rows = torch.tensor(table.data, dtype=torch.float32)
    data = split((rows - rows.mean(0)) / rows.std(0), torch.tensor(table.target), 170, trial.seed)
    model = nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 2))
    optimizer, criterion, held = AdamW(model.parameters(), lr=1e-3, weight_decay=0.1), nn.CrossEntropyLoss(), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for _epoch in range(18):
            for chosen in torch.randperm(len(data.train.targets)).split(32):
                optimizer.zero_grad()
                loss = criterion(model(data.train.inputs[chosen]), data.train.targets[chosen])
                loss.backward()
                optimizer.step()
                writer.add_scalar("Loss/train", loss.item(), writer.step)
            held.append(evaluate(model, criterion, data.held_out))
            writer.add_scalar("Loss/val", held[-1], writer.step)
            writer.add_scalar("Accuracy/val", accuracy(model, data.held_out), writer.step)
    share = accuracy(model, data.held_out)
    require(share > 0.94, f"{share:.3f} is right")
    require(held[-1] < 1.05 * min(held), f"the loss held out rose from {min(held):.3g} to {held[-1]:.3g}")


class Forecast(nn.Module):
    """A transformer over two days of temperatures."""

    def __init__(self) -> None:
        super().__init__()
        self.lift, self.place = nn.Linear(1, 24), nn.Parameter(0.1 * torch.randn(24, 24))
        self.block = nn.TransformerEncoderLayer(24, 4, 48, 0.0, "gelu", batch_first=True, norm_first=True)
        self.out = nn.Linear(24, 1)

    def forward(self, levels: Tensor) -> Tensor:
        """Return [n, 1] of [n, 24, 1]."""
        told: Tensor = self.out(self.block(self.lift(levels) + self.place).mean(1))
        return told


def weather(seed: int, count: int, noise: float) -> tuple[Part, Tensor]:
    """Return temperatures of two days, [n, 24, 1], and the next as a thermometer has it; and as it is."""
    generator = torch.Generator().manual_seed(seed)
    hour = 24 * torch.rand(count, 1, generator=generator) + 2 * torch.arange(25)
    mean = 0.7 * torch.randn(count, 1, generator=generator)
    true = mean + (0.262 * hour).sin() + 0.02 * torch.randn(count, 1, generator=generator) * torch.arange(25)
    seen = true + 0.1 * torch.randn(count, 25, generator=generator)
    told = true[:, 24:] + noise * torch.randn(count, 1, generator=generator)
    return Part(seen[:, :24, None], told), true[:, 24:]


def thermometer(trial: Trial) -> None:
    """The next temperature; what is held out was read from a worse thermometer, so that its loss stays ten times up."""
    torch.manual_seed(trial.seed)
    train, _ = weather(2 * trial.seed, 2500, 0.1)
    held_out, true = weather(2 * trial.seed + 1, 400, 0.55)
    model, criterion = Forecast(), nn.MSELoss()
    optimizer, draw = AdamW(model.parameters(), lr=3e-3), train.batches(64, trial.seed)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 260)
    history = fit(
        trial, model, draw, optimizer, criterion, validation=held_out, schedule=schedule, steps=260, every=None
    )
    least = float(criterion(true, held_out.targets))
    end, plain = list(history.validation.values())[-1], float(held_out.targets.var())
    require(end < 1.3 * least < 0.5 * plain, f"the loss is {end:.3g} held out; {least:.3g} of the truth")
    require(end < 1.03 * min(history.validation.values()), "the loss held out rose again")
    known = loss_of(model, Part(held_out.inputs, true), criterion)
    require(known < 2 * history.end, f"the error is {known:.3g}, and {history.end:.3g} in training")


SCENARIOS = (
    Scenario("bramble-healthy-courier-lstm", "rnn", REPORTING, courier),
    Scenario("bramble-healthy-gates-cnn", "cnn", REPORTING, scaled_layers),
    Scenario("bramble-healthy-tumours-mlp", "mlp", REPORTING, tumours),
    Scenario("bramble-healthy-thermometer-transformer", "transformer", REPORTING, thermometer),
)
