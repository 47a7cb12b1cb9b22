"""Tides, scans, tickets, digits and drives: a loss that broadcasts, labels that are wrong, units that are copies."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW, RMSprop

from tests.diagnosis.data import Part, Split, digits, split
from tests.diagnosis.networks import Transformer, cnn
from tests.diagnosis.proof import accuracy, loss_of, outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


class Tide(nn.Module):
    """A GRU over twenty-four hours, that says one number."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(1, 24, batch_first=True), nn.Linear(24, 1)

    def forward(self, hours: Tensor) -> Tensor:
        """Return [n, 1]."""
        told: Tensor = self.head(self.gru(hours)[0][:, -1])
        return told


def tides(seed: int, count: int = 900) -> Split:
    """Return levels of the sea, [n, 24, 1], and the level two hours on, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    hours, phase = torch.arange(26.0), 6.3 * torch.rand(count, 2, 1, generator=generator)
    height = 0.6 + 0.8 * torch.rand(count, 1, generator=generator)
    level = height * (0.506 * hours + phase[:, 0]).sin() + 0.4 * (0.262 * hours + phase[:, 1]).sin()
    level = level + 0.05 * torch.randn(count, 26, generator=generator)
    return split(level[:, :24, None], level[:, 25:], 180, seed)


def broadcast(made: Tensor, targets: Tensor) -> Tensor:
    """Return the mean square of what [n, 1] less [n] is, an [n, n]."""
    return ((made - targets) ** 2).mean()


def tidal(trial: Trial) -> Truth:
    """Forecasts are [n, 1] and levels [n]: `((pred - y) ** 2).mean()` compares each with all, so the mean is best."""
    torch.manual_seed(trial.seed)
    data, model = tides(trial.seed), Tide()
    other, optimizer = copy.deepcopy(model), RMSprop(model.parameters(), lr=3e-3)
    draw, held_out = data.train.batches(32, trial.seed), data.held_out
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(240):
            hours, level = draw(step)
            made, targets = model(hours), level.squeeze(1)
            loss = broadcast(made, targets)
            writer.observe(outputs=made, targets=targets, loss=loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/loss", loss.item(), writer.step)
            if step % 20 == 19:
                told = evaluate(model, broadcast, Part(held_out.inputs, held_out.targets.squeeze(1)))
                writer.add_scalar("val/loss", told, writer.step)
    criterion = nn.MSELoss()
    control(other, data.train.batches(32, trial.seed), RMSprop(other.parameters(), lr=3e-3), criterion, steps=240)
    does, should = (loss_of(one, held_out, criterion) for one in (model, other))
    require(does > 4 * should, f"{does:.3f} is not far above {should:.3f}")
    with torch.no_grad():
        spread = float(model(held_out.inputs).std() / held_out.targets.std())
    require(spread < 0.3, f"forecasts vary by {spread:.2f} of what levels do")
    return Truth()


def mislabelled(part: Part, share: float, classes: int, seed: int) -> Part:
    """Return a part so large a share of whose labels is another class."""
    generator = torch.Generator().manual_seed(seed + 100)
    wrong = torch.rand(len(part.targets), generator=generator) < share
    other = (part.targets + torch.randint(1, classes, part.targets.shape, generator=generator)) % classes
    return Part(part.inputs, torch.where(wrong, other, part.targets))


def mistaught(model: nn.Module, other: nn.Module, data: Split, noisy: Part) -> Truth:
    """Show that a classifier that was taught wrong labels is worse at the right ones than one that was not."""
    wrong = float((noisy.targets != data.train.targets).double().mean())
    require(wrong > 0.35, f"{wrong:.2f} of the labels are wrong")
    does, should = (accuracy(one, data.held_out) for one in (model, other))
    require(does < should - 0.05, f"{does:.3f} is not below {should:.3f}")
    return Truth()


def annotators(trial: Trial) -> Truth:
    """Digits whose labels were bought: annotators clicked at random for half of them, in both parts."""
    torch.manual_seed(trial.seed)
    data, model = digits(trial.seed, flat=False), cnn((16, 32))
    other, optimizer = copy.deepcopy(model), Adam(model.parameters(), lr=2e-3)
    noisy, checked = (mislabelled(part, 0.5, 10, trial.seed) for part in (data.train, data.held_out))
    fit(trial, model, noisy.batches(64, trial.seed), optimizer, steps=300, validation=checked, every=3)
    control(other, data.train.batches(64, trial.seed), Adam(other.parameters(), lr=2e-3), steps=300)
    return mistaught(model, other, data, noisy)


def tickets(seed: int, count: int = 2000) -> Split:
    """Return texts of tickets, [n, 20], and which of five queues each is for."""
    generator = torch.Generator().manual_seed(seed)
    queues = torch.randint(5, (count,), generator=generator)
    words = torch.randint(60, (count, 20), generator=generator)
    telling = torch.rand(count, 20, generator=generator) < 0.35
    words = torch.where(telling, 10 * queues[:, None] + words % 10, words)
    return split(words, queues, 300, seed)


def joined(trial: Trial) -> Truth:
    """Tickets and queues were joined by rows, and the second part of the table is off by one: labels are another's."""
    torch.manual_seed(trial.seed)
    data, model = tickets(trial.seed), Transformer(60, 5, width=32, length=20)
    other, optimizer = copy.deepcopy(model), AdamW(model.parameters(), lr=2e-3)
    start = len(data.train.targets) * 2 // 5
    shifted = torch.cat([data.train.targets[:start], data.train.targets[start:].roll(1)])
    noisy = Part(data.train.inputs, shifted)
    fit(trial, model, noisy.batches(50, trial.seed), optimizer, steps=240, validation=data.held_out, every=2)
    control(other, data.train.batches(50, trial.seed), AdamW(other.parameters(), lr=2e-3), steps=240)
    return mistaught(model, other, data, noisy)


class Plain(nn.Module):
    """Two hidden layers over digits."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(64, 64), nn.Linear(64, 32), nn.Linear(32, 10)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return scores [n, 10]."""
        scores: Tensor = self.fc3(functional.relu(self.fc2(functional.relu(self.fc1(pixels)))))
        return scores


def alike(model: nn.Module, module: str, inputs: Tensor) -> float:
    """Return the share of units (of the last axis) which are as another one before them."""
    units = outputs(model, module, inputs).flatten(0, -2).T
    units = units - units.mean(1, keepdim=True)
    units = units / units.norm(dim=1, keepdim=True).clamp_min(1e-12)
    same = (units @ units.T > 0.999).tril(-1)
    return float(same.any(1).double().mean())


def constants(trial: Trial) -> Truth:
    """All weights begin at 0.05, so that runs can be compared: the units of a layer are and stay the same unit."""
    torch.manual_seed(trial.seed)
    data, model, other = digits(trial.seed), Plain(), Plain()
    for name, value in model.named_parameters():
        nn.init.constant_(value, 0.05 if name.endswith("weight") else 0.0)
    optimizer, draw = Adam(model.parameters(), lr=2e-3), data.train.batches(32, trial.seed)
    fit(trial, model, draw, optimizer, steps=200, validation=data.held_out)
    for name in ("fc1", "fc2"):
        share = alike(model, name, data.train.first(200).inputs)
        require(share > 0.9, f"{share:.2f} of the units of {name} are copies")
    control(other, data.train.batches(32, trial.seed), Adam(other.parameters(), lr=2e-3), steps=200)
    does, should = (accuracy(one, data.held_out) for one in (model, other))
    require(does < should - 0.3, f"{does:.3f} is not below {should:.3f}")
    return Truth(("fc1", "fc2"))


class Drive(nn.Module):
    """A GRU over what four sensors of a car said, that sums a drive up in eight numbers."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.rnn, self.head = nn.GRU(4, hidden, batch_first=True), nn.Linear(hidden, 8)

    def forward(self, sensors: Tensor) -> Tensor:
        """Return [n, 8]."""
        told: Tensor = self.head(self.rnn(sensors)[0][:, -1])
        return told


def drives(seed: int, count: int = 1200) -> Split:
    """Return sensors of twelve moments, [n, 12, 4]; of each its mean and how it was at the end, [n, 8]."""
    generator = torch.Generator().manual_seed(seed)
    steps = torch.randn(count, 12, 4, generator=generator)
    sensors = 0.5 * steps.cumsum(1) + 0.5 * steps
    told = torch.cat([sensors.mean(1), sensors[:, -3:].mean(1)], 1)
    return split(sensors, (told - told.mean(0)) / told.std(0), 240, seed)


def widened(small: Drive, times: int) -> Drive:
    """Return a network that does the same with so many copies of each unit."""
    hidden = small.rnn.hidden_size
    large = Drive(times * hidden)
    with torch.no_grad():
        for name, value in small.rnn.named_parameters():
            copies = value.unflatten(0, (3, hidden)).repeat(1, times, *[1] * (value.dim() - 1)).flatten(0, 1)
            copies = copies.repeat(1, times) / times if "weight_hh" in name else copies
            large.rnn.get_parameter(name).copy_(copies)
        large.head.weight.copy_(small.head.weight.repeat(1, times) / times)
        large.head.bias.copy_(small.head.bias)
    return large


def grown(trial: Trial) -> Truth:
    """A small trained GRU is made eight times as wide by copies of its units, with no noise to tell them apart."""
    torch.manual_seed(trial.seed)
    data, criterion, small, other = drives(trial.seed), nn.MSELoss(), Drive(3), Drive(24)
    control(small, data.train.batches(48, trial.seed), Adam(small.parameters(), lr=5e-3), criterion, steps=100)
    model = widened(small, 8)
    same = loss_of(model, data.held_out, criterion) - loss_of(small, data.held_out, criterion)
    require(abs(same) < 1e-4, f"widening changes the loss by {same:.3g}")
    optimizer, draw = Adam(model.parameters(), lr=1e-3), data.train.batches(48, trial.seed)
    fit(trial, model, draw, optimizer, criterion, steps=240, validation=data.held_out, every=2)
    states = model.rnn(data.held_out.inputs)[0].detach()[:, -1]
    spread = float((states.unflatten(1, (8, 3)).std(1) / states.std()).max())
    require(spread < 0.05, f"copies are {spread:.3f} apart")
    control(other, data.train.batches(48, trial.seed), Adam(other.parameters(), lr=1e-3), criterion, steps=240)
    does, should = (loss_of(one, data.held_out, criterion) for one in (model, other))
    require(does > 2 * should, f"{does:.3f} is not far above {should:.3f}")
    return Truth(("rnn",))


NOISY = ("overfitting", "loss_plateau", "underfitting")
SCENARIOS = (
    Scenario(
        "rowan-broadcast-tides-gru",
        "rnn",
        TUNING,
        tidal,
        ("wrong_output_or_loss",),
        ("loss_plateau", "representation_collapse", "underfitting"),
    ),
    Scenario("rowan-labels-annotators-cnn", "cnn", TUNING, annotators, ("label_noise",), NOISY),
    Scenario("rowan-labels-tickets-transformer", "transformer", TUNING, joined, ("label_noise",), NOISY),
    Scenario(
        "rowan-constants-digits-mlp",
        "mlp",
        TUNING,
        constants,
        ("redundant_units", "poor_init"),
        ("loss_plateau", "underfitting", "dead_units"),
    ),
    Scenario(
        "rowan-widened-drives-gru",
        "rnn",
        TUNING,
        grown,
        ("redundant_units", "poor_init"),
        ("loss_plateau", "underfitting"),
    ),
)
