"""Loaders that don't shuffle or don't standardise, cities in turn, statistics that lag, clips of a paper."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Part, communities, digits, split
from tests.diagnosis.networks import Block, Recurrent, cnn, mlp
from tests.diagnosis.proof import accuracy, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


def beyond(does: float, should: float, factor: float = 1.3) -> None:
    """Raise NotProvenError unless a loss is above what it ought to be by so large a factor."""
    require(does > factor * should, f"the loss is {does:.3g}, and that of the control {should:.3g}")


def swings(losses: Iterable[float], size: float) -> list[int]:
    """Return the steps at which a loss has turned round and come back by `size` at least."""
    turns: list[int] = []
    way, low, high = 0, float("inf"), -float("inf")
    for step, loss in enumerate(losses):
        low, high = min(low, loss), max(high, loss)
        if way >= 0 and loss < high - size:
            turns, way, low = [*turns, step], -1, loss
        elif way <= 0 and loss > low + size:
            turns, way, high = [*turns, step], 1, loss
    return turns


def in_order(trial: Trial) -> Truth:
    """Reads a folder for each digit, one after the other, and forgets `shuffle=True`: each batch is of one class."""
    data, model = digits(trial.seed), mlp((64, 48, 32, 10))
    other, size = copy.deepcopy(model), 24
    order = data.train.targets.argsort()
    count = len(order) // size

    def batches(step: int) -> tuple[Tensor, Tensor]:
        chosen = order[size * (step % count) :][:size]
        return data.train.inputs[chosen], data.train.targets[chosen]

    history = fit(trial, model, batches, SGD(model.parameters(), lr=0.1), validation=data.held_out, steps=300)
    control(other, data.train.batches(size, trial.seed), SGD(other.parameters(), lr=0.1), steps=300)
    turns = swings(history.train, 1.0)
    require(len(turns) >= 30, f"the loss turns round {len(turns)} times")
    beyond(loss_of(model, data.held_out), loss_of(other, data.held_out), 3)
    require(accuracy(model, data.held_out) < accuracy(other, data.held_out) - 0.2, "it does no harm")
    return Truth((), 0, turns[12])


class Sensors(nn.Module):
    """Two graph convolutions over the sensors of a city; returns the traffic [n, 1] at each."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.head = nn.Linear(16, 32), nn.Linear(32, 32), nn.Linear(32, 1)

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        """Return the traffic of `nodes` [n, 16], joined by `edges` [n, n]."""
        hidden = functional.elu(edges @ self.conv1(nodes))
        traffic: Tensor = self.head(functional.elu(edges @ self.conv2(hidden)))
        return traffic


def cities(seed: int) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Return of four cities the features, the edges and the traffic, whose level no feature tells."""
    generator = torch.Generator().manual_seed(seed)
    mix, found = torch.randn(16, 1, generator=generator), []
    for city, level in enumerate((-2.0, 1.0, -1.0, 2.0)):
        nodes, edges = torch.randn(240, 16, generator=generator), communities(10 * seed + city, size=60).edges
        found.append((nodes, edges, edges @ nodes @ mix / 4 + level))
    return found


def city_by_city(trial: Trial) -> Truth:
    """Trains on four cities in turn, ten steps on the whole graph of one and then on to the next."""
    places, model, criterion = cities(trial.seed), Sensors(), nn.MSELoss()
    other, optimizer, losses = copy.deepcopy(model), SGD(model.parameters(), lr=0.05), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(280):
            nodes, edges, traffic = places[step // 10 % 4]
            optimizer.zero_grad()
            loss = criterion(model(nodes, edges), traffic)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("Loss", loss.item(), writer.step)
    optimizer = SGD(other.parameters(), lr=0.05)
    for _step in range(280):
        optimizer.zero_grad()
        torch.stack([criterion(other(nodes, edges), traffic) for nodes, edges, traffic in places]).mean().backward()
        optimizer.step()
    with torch.no_grad():
        does, should = (
            sum(float(criterion(one(nodes, edges), traffic)) for nodes, edges, traffic in places)
            for one in (model, other)
        )
    beyond(does, should, 1.5)
    turns = swings(losses, 1.0)
    require(len(turns) >= 20 and turns[-1] > 240, f"the loss turns round {len(turns)} times")
    return Truth((), 0, turns[12])


def slow_statistics(trial: Trial) -> Truth:
    """Ports `decay=0.9997` of another framework's BatchNorm as `momentum=0.0003`: the statistics never arrive."""
    data, model = digits(trial.seed, flat=False), cnn((8, 12, 16, 24))
    other = copy.deepcopy(model)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 3e-4
    optimizer = AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    draw, criterion, steps = data.train.batches(48, trial.seed), nn.CrossEntropyLoss(), 180
    val: dict[int, float] = {}
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(steps):
            images, labels = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/loss", loss.item(), writer.step)
            if step % 15 == 14:
                val[step] = evaluate(model, criterion, data.held_out)
                writer.add_scalar("val/loss", val[step], writer.step)
                writer.add_scalar("val/acc", accuracy(model, data.held_out), writer.step)
    optimizer = AdamW(other.parameters(), lr=3e-3, weight_decay=0.01)
    control(other, data.train.batches(48, trial.seed), optimizer, steps=steps)
    does, should = accuracy(model, data.held_out), accuracy(other, data.held_out)
    require(does < should - 0.2, f"the accuracy is {does:.3f}, and {should:.3f} with statistics that follow")
    with torch.no_grad():
        trained = float(criterion(copy.deepcopy(model).train()(data.train.inputs), data.train.targets))
    beyond(loss_of(model, data.train), trained, 3)
    apart = min(step for step, loss in val.items() if loss > 1.5 * trained)
    return Truth(("norm1", "norm2", "norm3", "norm4"), 0, apart + 30)


class Wearable(nn.Module):
    """Cuts a recording of a wrist [n, 48, 3] into pieces of four readings, and says what its owner does."""

    def __init__(self) -> None:
        super().__init__()
        self.lift, self.place = nn.Linear(12, 24), nn.Embedding(12, 24)
        self.blocks = nn.Sequential(Block(24), Block(24))
        self.norm, self.head = nn.LayerNorm(24), nn.Linear(24, 4)

    def forward(self, readings: Tensor) -> Tensor:
        """Return scores [n, 4]."""
        pieces = self.lift(readings.unflatten(1, (12, 4)).flatten(2)) + self.place.weight
        scores: Tensor = self.head(self.norm(self.blocks(pieces)).mean(1))
        return scores


def wrists(seed: int, count: int = 1400) -> tuple[Tensor, Tensor]:
    """Return accelerations with gravity, [n, 48, 3], and which of four tempos they have."""
    generator = torch.Generator().manual_seed(seed)
    doing = torch.randint(4, (count,), generator=generator)
    tempo = torch.tensor([0.15, 0.4, 0.7, 1.0])[doing][:, None, None]
    phase = 6.3 * torch.rand(count, 1, 3, generator=generator)
    moves = torch.sin(tempo * torch.arange(48.0)[:, None] + phase)
    gravity = torch.tensor([0.5, -1.0, 9.6])
    return 1.5 * moves + gravity + 0.7 * torch.randn(count, 48, 3, generator=generator), doing


def raw_in_validation(trial: Trial) -> Truth:
    """Standardises the recordings in the training set, and forgets to do so in the dataset for validation."""
    data = split(*wrists(trial.seed), 300, trial.seed)
    mean, deviation = data.train.inputs.mean((0, 1)), data.train.inputs.std((0, 1))
    train = Part((data.train.inputs - mean) / deviation, data.train.targets)
    right = Part((data.held_out.inputs - mean) / deviation, data.held_out.targets)
    model = Wearable()
    optimizer, draw = Adam(model.parameters(), lr=3e-3), train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=200)
    does, should = accuracy(model, data.held_out), accuracy(model, right)
    require(does < should - 0.25, f"the accuracy is {does:.3f}, and {should:.3f} of what was standardised")
    beyond(loss_of(model, data.held_out), loss_of(model, right), 3)
    late = [step for step, loss in history.validation.items() if loss > 1.5 * history.train[step]]
    return Truth((), 0, late[0] + 40)


def tides(seed: int, count: int = 1000) -> Part:
    """Return three tides and the wind at a harbour, [n, 30, 2], and the level an hour later, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    start, wind = 40 * torch.rand(count, 1, generator=generator), torch.randn(count, 31, generator=generator)
    hours = start + torch.arange(31.0)
    level = torch.sin(0.5 * hours) + 0.4 * torch.sin(0.23 * hours) + 0.1 * wind.cumsum(1) / 3
    return Part(torch.stack([level, wind], 2)[:, :30], level[:, 30:])


def paper_clip(trial: Trial) -> Truth:
    """Forecasts the tide by an LSTM with `clip_grad_norm_(model.parameters(), 0.005)`, and plain SGD."""
    data, criterion, norms = tides(trial.seed), nn.MSELoss(), []
    model = Recurrent(nn.LSTM, 1, inputs=2, hidden=20)
    other, optimizer = copy.deepcopy(model), SGD(model.parameters(), lr=0.2)
    draw, losses = data.batches(40, trial.seed), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(200):
            seen, later = draw(step)
            loss = criterion(model(seen), later)
            optimizer.zero_grad()
            loss.backward()
            norms.append(float(nn.utils.clip_grad_norm_(model.parameters(), 0.005)))
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("loss", loss.item(), writer.step)
    share = sum(norm > 0.005 for norm in norms) / len(norms)
    require(share > 0.95, f"{share:.2f} of the steps are clipped")
    draw = data.batches(40, trial.seed)
    better = control(other, draw, SGD(other.parameters(), lr=0.2), criterion, steps=200, clip=5.0)
    beyond(sum(losses[-20:]) / 20, better)
    return Truth()


class Finder(nn.Module):
    """Convolutions that say where a bright box is: its centre and its size, [n, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.fc, self.box = nn.Linear(16 * 64, 32), nn.Linear(32, 4)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return boxes of [n, 1, 16, 16]."""
        hidden = functional.relu(self.conv2(functional.relu(self.conv1(pictures))))
        found: Tensor = self.box(functional.relu(self.fc(hidden.flatten(1))))
        return found


def boxes(seed: int, count: int = 1200) -> tuple[Tensor, Tensor]:
    """Return noisy pictures of a box, [n, 1, 16, 16], and its centre and size as shares of the picture, [n, 4]."""
    generator = torch.Generator().manual_seed(seed)
    centre = 4 + 8 * torch.rand(count, 2, generator=generator)
    half = 1.5 + 2.5 * torch.rand(count, 2, generator=generator)
    inside = (torch.arange(16.0) + 0.5 - centre[..., None]).abs() < half[..., None]
    pictures = (inside[:, 0, :, None] & inside[:, 1, None]).float()
    pictures = pictures + 0.2 * torch.randn(count, 16, 16, generator=generator)
    return pictures[:, None], torch.cat([centre / 16, half / 8], 1)


def each_value(trial: Trial) -> Truth:
    """Finds boxes, and clips each value of the gradients to 0.0001, which most of the last layer exceed."""
    data = split(*boxes(trial.seed), 200, trial.seed)
    model, criterion, shares = Finder(), nn.SmoothL1Loss(beta=0.1), []
    other = copy.deepcopy(model)

    def clip(_step: int) -> None:
        values = torch.cat([value.grad.flatten() for value in model.box.parameters() if value.grad is not None])
        shares.append(float((values.abs() > 1e-4).double().mean()))
        nn.utils.clip_grad_value_(model.parameters(), 1e-4)

    optimizer, draw = SGD(model.parameters(), lr=0.03, momentum=0.9), data.train.batches(32, trial.seed)
    fit(trial, model, draw, optimizer, criterion, validation=data.held_out, backward=clip, every=2, steps=160)
    mean = sum(shares) / len(shares)
    require(min(shares) > 0 and mean > 0.5, f"{mean:.2f} of the values are clipped, and {min(shares):.2f} at least")
    optimizer, draw = SGD(other.parameters(), lr=0.03, momentum=0.9), data.train.batches(32, trial.seed)
    control(other, draw, optimizer, criterion, steps=160)
    beyond(loss_of(model, data.held_out, criterion), loss_of(other, data.held_out, criterion), 1.5)
    return Truth()


SCENARIOS = (
    Scenario(
        "fern-oscillation-folders-mlp",
        "mlp",
        TUNING,
        in_order,
        ("loss_oscillation",),
        ("loss_spike", "loss_plateau", "lr_too_high", "train_eval_mismatch", "overfitting", "class_imbalance"),
    ),
    Scenario(
        "fern-oscillation-cities-gnn",
        "gnn",
        TUNING,
        city_by_city,
        ("loss_oscillation",),
        ("loss_spike", "lr_too_high", "loss_plateau"),
    ),
    Scenario("fern-modes-statistics-cnn", "cnn", TUNING, slow_statistics, ("train_eval_mismatch",), ("overfitting",)),
    Scenario(
        "fern-modes-raw-transformer",
        "transformer",
        TUNING,
        raw_in_validation,
        ("train_eval_mismatch",),
        ("overfitting", "input_unnormalised"),
    ),
    Scenario(
        "fern-clipped-tides-lstm",
        "rnn",
        TUNING,
        paper_clip,
        ("clip_saturated",),
        ("lr_too_low", "loss_plateau", "underfitting"),
    ),
    Scenario(
        "fern-clipped-values-cnn",
        "cnn",
        TUNING,
        each_value,
        ("clip_saturated",),
        ("lr_too_low", "loss_plateau", "underfitting"),
    ),
)
