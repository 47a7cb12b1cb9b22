"""Digits, marked numbers, a copied rate, a schedule by the batch: units at their ends, and rates too low to learn."""

from __future__ import annotations

import copy
import math

import torch
from sklearn.datasets import load_wine
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, Optimizer, RMSprop
from torch.optim.lr_scheduler import ExponentialLR

from tests.diagnosis.data import Split, digits, split
from tests.diagnosis.networks import cnn
from tests.diagnosis.proof import accuracy, gradients, loss_of, outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


def behind(found: float, better: float, ratio: float = 1.3) -> None:
    """Raise NotProvenError unless a loss is so many times that of the training without the fault."""
    require(found > ratio * better, f"the loss is {found:.4g}, and without the fault {better:.4g}")


def normal_weights(module: nn.Module) -> None:
    """Draw weights from a normal distribution of deviation 1."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight)
        nn.init.zeros_(module.bias)


def normal_tanh(trial: Trial) -> Truth:
    """A tanh network over digits with `model.apply(init)`, where init calls `nn.init.normal_(weight)`: deviation 1."""
    torch.manual_seed(trial.seed)
    data = digits(trial.seed)
    model = nn.Sequential(
        nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10)
    )
    other = copy.deepcopy(model)
    model.apply(normal_weights)
    criterion, optimizer = nn.CrossEntropyLoss(), SGD(model.parameters(), lr=0.02, momentum=0.9)
    draw = data.train.batches(48, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(200):
            inputs, targets = draw(step)
            scores = model(inputs)
            loss = criterion(scores, targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/loss", loss.item(), step)
            writer.add_scalar("train/acc", float((scores.argmax(1) == targets).float().mean()), step)
            if step % 25 == 24:
                writer.add_scalar("val/loss", evaluate(model, criterion, data.held_out), step)
    for name in ("1", "3", "5"):
        share = float((outputs(model, name, data.train.inputs).abs() > 0.97).double().mean())
        require(share > 0.55, f"{share:.2f} of the units of {name} are at their ends")
    better = SGD(other.parameters(), lr=0.02, momentum=0.9)
    control(other, data.train.batches(48, trial.seed), better, steps=200)
    behind(loss_of(model, data.held_out), loss_of(other, data.held_out), 2)
    should, does = accuracy(other, data.held_out), accuracy(model, data.held_out)
    require(does < should - 0.04, f"the accuracy is {does:.3f}, and could be {should:.3f}")
    return Truth(("0", "1", "2", "3", "4", "5", "6"))


class Mixing(nn.Module):
    """Self-attention of one head whose scores are multiplied by a factor."""

    def __init__(self, width: int, factor: float) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.softmax, self.out, self.factor = nn.Softmax(dim=-1), nn.Linear(width, width), factor

    def forward(self, hidden: Tensor) -> Tensor:
        """Return what each place takes."""
        scores = self.query(hidden) @ self.key(hidden).transpose(1, 2) * self.factor
        mixed: Tensor = self.out(self.softmax(scores) @ self.value(hidden))
        return mixed


class Adder(nn.Module):
    """A transformer of two blocks over numbers [n, length, 2], which returns one number [n, 1]."""

    def __init__(self, factor: float, width: int = 40) -> None:
        super().__init__()
        self.lift = nn.Linear(2, width)
        self.mixings = nn.ModuleList(Mixing(width, factor) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
        self.ups = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(2))
        self.downs = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(2))
        self.head = nn.Linear(width, 1)

    def forward(self, sequence: Tensor) -> Tensor:
        """Return [n, 1]."""
        hidden = self.lift(sequence)
        for at in range(2):
            hidden = hidden + self.mixings[at](self.norms[2 * at](hidden))
            hidden = hidden + self.downs[at](functional.gelu(self.ups[at](self.norms[2 * at + 1](hidden))))
        told: Tensor = self.head(hidden[:, 0])
        return told


def averages(seed: int) -> Split:
    """Return sequences of numbers of which some are marked, [n, 20, 2], and twice the mean of the marked, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randn(2000, 20, generator=generator)
    marks = (torch.rand(2000, 20, generator=generator) < 0.4).float()
    means = (numbers * marks).sum(1) / marks.sum(1).clamp_min(1)
    return split(torch.stack([numbers, marks], 2), 2 * means[:, None], 400, seed)


def times_root(trial: Trial) -> Truth:
    """Attention whose scores are multiplied by the root of the width and not divided: each place looks at one other."""
    torch.manual_seed(trial.seed)
    data, root = averages(trial.seed), math.sqrt(40)
    model, other = Adder(root), Adder(1 / root)
    other.load_state_dict(model.state_dict())
    optimizer, criterion = Adam(model.parameters(), lr=2e-3), nn.MSELoss()
    draw = data.train.batches(64, trial.seed)
    sharpest = [float(outputs(model, f"mixings.{at}.softmax", data.held_out.inputs).amax(-1).mean()) for at in (0, 1)]
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=200)
    control(other, data.train.batches(64, trial.seed), Adam(other.parameters(), lr=2e-3), criterion, steps=200)
    behind(loss_of(model, data.held_out, criterion), loss_of(other, data.held_out, criterion), 2)
    require(history.end < 0.9 * history.train[0], "it learns nothing at all")
    for at in (0, 1):
        taken = outputs(model, f"mixings.{at}.softmax", data.held_out.inputs)
        end, slope = float(taken.amax(-1).mean()), float((taken * (1 - taken)).sum(-1).mean())
        blunt = float(outputs(other, f"mixings.{at}.softmax", data.held_out.inputs).amax(-1).mean())
        require(
            end > 0.7 and end > blunt + 0.3, f"the greatest share is {end:.2f}, at first {sharpest}, else {blunt:.2f}"
        )
        require(slope < 0.4, f"the slope of the softmax is {slope:.2f}")
    return Truth(tuple(f"mixings.{at}{part}" for at in (0, 1) for part in ("", ".softmax", ".query", ".key")))


def copied_rate(trial: Trial) -> Truth:
    """A CNN over digits with `SGD(lr=1e-4)`, the rate copied from a script with Adam: it hardly moves."""
    torch.manual_seed(trial.seed)
    data, model = digits(trial.seed, flat=False), cnn((8, 16, 16), norm=False)
    other, start = copy.deepcopy(model), copy.deepcopy(model)
    criterion, optimizer = nn.CrossEntropyLoss(), SGD(model.parameters(), lr=1e-4)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        draw = data.train.batches(32, trial.seed)
        for step in range(240):
            pictures, classes = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(pictures), classes)
            loss.backward()
            optimizer.step()
            writer.add_scalar("Loss", loss.item(), writer.step)
            if step % 30 == 29:
                writer.add_scalar("Loss/val", evaluate(model, criterion, data.held_out), writer.step)
    control(other, data.train.batches(32, trial.seed), SGD(other.parameters(), lr=0.1), steps=240)
    first, last, could = (loss_of(one, data.train) for one in (start, model, other))
    require(first - last < 0.03 * (first - could), f"{first:.3f} fell to {last:.3f}, and could to {could:.3f}")
    behind(last, could, 3)
    return Truth()


class Forecast(nn.Module):
    """A GRU that tells the next value of a signal from the last thirty."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(1, 24, batch_first=True)
        self.fc = nn.Linear(24, 1)

    def forward(self, seen: Tensor) -> Tensor:
        """Return [n, 1] of [n, 30, 1]."""
        told: Tensor = self.fc(self.gru(seen)[0][:, -1])
        return told


def tides(seed: int) -> Split:
    """Return stretches of a sum of two waves, [n, 30, 1], and the value three hours later, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    starts = 400 * torch.rand(1800, 1, generator=generator)
    hours = starts + torch.arange(33)
    noise = 0.05 * torch.randn(1800, 33, generator=generator)
    level = torch.sin(hours * 0.506) + 0.6 * torch.sin(hours * 0.331 + 1) + noise
    return split(level[:, :30, None], level[:, 32:], 300, seed)


def by_the_batch(trial: Trial) -> Truth:
    """`ExponentialLR(gamma=0.9)` meant for epochs, but `scheduler.step()` stands in the loop over batches."""
    torch.manual_seed(trial.seed)
    data, model, criterion = tides(trial.seed), Forecast(), nn.MSELoss()
    other, held = copy.deepcopy(model), list[float]()
    optimizer: Optimizer = RMSprop(model.parameters(), lr=2e-3)
    scheduler, draw = ExponentialLR(optimizer, 0.9), data.train.batches(50, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for epoch in range(8):
            model.train()
            for step in range(30):
                seen, later = draw(step)
                loss = criterion(model(seen), later)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                scheduler.step()
                writer.add_scalar("train/mse", loss.item(), writer.step)
            held.append(evaluate(model, criterion, data.held_out))
            writer.add_scalar("val/mse", held[-1], writer.step)
            writer.add_scalar("epoch", epoch, writer.step)
    control(other, data.train.batches(50, trial.seed), RMSprop(other.parameters(), lr=2e-3), criterion, steps=240)
    could = loss_of(other, data.held_out, criterion)
    behind(held[-1], could, 2)
    require(abs(held[-1] - held[3]) < 0.02 * (held[-1] - could), f"the loss held out still falls: {held}")
    require(max(gradients(model, data.train, criterion).values()) > 1e-3, "there is no gradient left")
    return Truth((), 15, 100)


def unscaled_wine(seed: int) -> tuple[Split, Split]:
    """Return thirteen measurements of wines as they stand, and standardised; and which of three it is."""
    table = load_wine()
    raw, kinds = torch.tensor(table.data, dtype=torch.float32), torch.tensor(table.target)
    return split(raw, kinds, 48, seed), split((raw - raw.mean(0)) / raw.std(0), kinds, 48, seed)


class Cellar(nn.Module):
    """Three linear layers with functional ReLUs between them."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(13, 32), nn.Linear(32, 16), nn.Linear(16, 3)

    def forward(self, wines: Tensor) -> Tensor:
        """Return scores [n, 3]."""
        scores: Tensor = self.fc3(functional.relu(self.fc2(functional.relu(self.fc1(wines)))))
        return scores


def raw_wine(trial: Trial) -> Truth:
    """Wines by `load_wine()` as they stand, proline near 750 beside a hue near 1, straight into an MLP."""
    torch.manual_seed(trial.seed)
    (raw, scaled), model, criterion = unscaled_wine(trial.seed), Cellar(), nn.CrossEntropyLoss()
    other, draw = copy.deepcopy(model), raw.train.batches(16, trial.seed)
    optimizer = Adam(model.parameters(), lr=1e-3)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(300):
            wines, kinds = draw(step)
            optimizer.zero_grad()
            scores = model(wines)
            loss = criterion(scores, kinds)
            loss.backward()
            optimizer.step()
            writer.add_scalar("loss/train", loss.item(), step)
            writer.add_scalar("acc/train", float((scores.argmax(1) == kinds).float().mean()), step)
    control(other, scaled.train.batches(16, trial.seed), Adam(other.parameters(), lr=1e-3), steps=300)
    behind(loss_of(model, raw.held_out), loss_of(other, scaled.held_out), 3)
    does, should = accuracy(model, raw.held_out), accuracy(other, scaled.held_out)
    require(does < should - 0.08, f"the accuracy is {does:.3f}, and could be {should:.3f}")
    spread = raw.train.inputs.std(0)
    require(spread.max() > 1000 * spread.min(), "the columns are alike in scale")
    return Truth()


SCENARIOS = (
    Scenario(
        "sorrel-normal-tanh-mlp",
        "mlp",
        TUNING,
        normal_tanh,
        ("saturation", "poor_init"),
        ("vanishing_gradient", "exploding_gradient", "overfitting"),
    ),
    Scenario(
        "sorrel-times-root-transformer",
        "transformer",
        TUNING,
        times_root,
        ("saturation",),
        ("vanishing_gradient", "loss_plateau", "underfitting", "poor_init"),
    ),
    Scenario("sorrel-copied-rate-cnn", "cnn", TUNING, copied_rate, ("lr_too_low",), ("loss_plateau", "underfitting")),
    Scenario("sorrel-by-the-batch-gru", "rnn", TUNING, by_the_batch, ("lr_too_low",), ("loss_plateau", "underfitting")),
    Scenario(
        "sorrel-raw-wine-mlp",
        "mlp",
        TUNING,
        raw_wine,
        ("input_unnormalised",),
        ("loss_plateau", "underfitting", "dead_units", "loss_oscillation", "poor_init"),
    ),
)
