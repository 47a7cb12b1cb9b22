"""Deep stacks that hear nothing, rates that are next to nothing, and layers left out."""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
from sklearn.datasets import load_wine
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, RMSprop
from torch.optim.lr_scheduler import ExponentialLR

from tests.diagnosis.data import digits, language, split
from tests.diagnosis.networks import Transformer, mlp
from tests.diagnosis.proof import accuracy, gradients, loss_of, moved, require, snapshot
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


def harmed(does: float, should: float, factor: float = 1.5) -> None:
    """Raise NotProvenError unless a loss is that many times what it is without the fault."""
    require(does > factor * should, f"the loss of {does:.3g} is not {factor:g} times {should:.3g}")


def sigmoids(trial: Trial) -> Truth:
    """Made the network of digits deeper, seven layers of sigmoids by SGD with momentum, and now it learns nothing."""
    torch.manual_seed(trial.seed)
    data = digits(trial.seed)
    widths = (64, *[48] * 7, 10)
    model, other = mlp(widths, nn.Sigmoid), mlp(widths, norm=nn.BatchNorm1d)
    first = copy.deepcopy(model)
    optimizer, draw = SGD(model.parameters(), lr=0.05, momentum=0.9), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=240)
    better = control(
        other, data.train.batches(64, trial.seed), SGD(other.parameters(), lr=0.05, momentum=0.9), steps=240
    )
    harmed(history.end, better, 4.0)
    for known in (first, model):
        sizes = gradients(known, data.train.first(512))
        require(sizes["fc1.weight"] < 1e-4 * sizes["head.weight"], f"gradients are {sizes}")
    return Truth(tuple(f"{kind}{number}" for number in range(1, 7) for kind in ("fc", "act")))


class Stack(nn.Module):
    """Fourteen convolutions over a recording, each with a ReLU, with or without normalisation, and a mean."""

    def __init__(self, *, norm: bool) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv1d(a, b, 5, padding=2) for a, b in pairwise([1, *[16] * 14]))
        self.norms = nn.ModuleList(nn.BatchNorm1d(16) if norm else nn.Identity() for _ in range(14))
        self.fc = nn.Linear(16, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return [n, 1] of [n, 1, length]."""
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = functional.relu(norm(conv(x)))
        told: Tensor = self.fc(x.mean(2))
        return told


def pulse(trial: Trial) -> Truth:
    """Reads a pulse off recordings with fourteen convolutions, none of them normalised, by SGD."""
    torch.manual_seed(trial.seed)
    rates = torch.rand(900, 1)
    phase, time = 6.28 * torch.rand(900, 1), torch.arange(64.0)
    waves = torch.sin(phase + time * (0.2 + 1.0 * rates)) + 0.2 * torch.randn(900, 64)
    data = split(waves[:, None], (rates - 0.5) / 0.29, 180, trial.seed)
    model, other, criterion = Stack(norm=False), Stack(norm=True), nn.MSELoss()
    first, losses, draw = copy.deepcopy(model), [], data.train.batches(32, trial.seed)
    optimizer = SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-4)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(160):
            recordings, pulses = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(recordings), pulses)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/mse", loss.item(), step)
            if step % 16 == 15:
                writer.add_scalar("val/mse", evaluate(model, criterion, data.held_out), step)
    rate = SGD(other.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-4)
    better = control(other, data.train.batches(32, trial.seed), rate, criterion, steps=160)
    harmed(sum(losses[-16:]) / 16, better, 2.5)
    for known in (first, model):
        sizes = gradients(known, data.train.first(256), criterion)
        require(sizes["convs.0.weight"] < 1e-3 * sizes["fc.weight"], f"gradients are {sizes}")
    return Truth(tuple(f"convs.{number}" for number in range(10)))


def wines(trial: Trial) -> Truth:
    """A rate of 0.00001, as of fine-tuning, for a small network of wines that starts from nothing."""
    torch.manual_seed(trial.seed)
    rows, kinds = (torch.tensor(known) for known in load_wine(return_X_y=True))
    data = split(((rows - rows.mean(0)) / rows.std(0)).float(), kinds, 38, trial.seed)
    model = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 3))
    other, first, criterion = copy.deepcopy(model), snapshot(model), nn.CrossEntropyLoss()
    start = loss_of(model, data.train)
    optimizer, step = Adam(model.parameters(), lr=1e-5), 0
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for epoch in range(30):
            order, hits = torch.randperm(140), 0
            for chosen in order.split(14):
                optimizer.zero_grad()
                scores = model(data.train.inputs[chosen])
                loss = criterion(scores, data.train.targets[chosen])
                loss.backward()
                optimizer.step()
                writer.add_scalar("Loss/train", loss.item(), step)
                hits += int((scores.argmax(1) == data.train.targets[chosen]).sum())
                step += 1
            writer.add_scalar("Accuracy/train", hits / 140, epoch)
    better = control(other, data.train.batches(14, trial.seed), Adam(other.parameters(), lr=3e-3), steps=300)
    end = loss_of(model, data.train)
    harmed(end, better, 5.0)
    require(start - end < 0.1 * (start - better), f"the loss fell from {start:.3g} to {end:.3g}")
    require(max(moved(first, model).values()) < 0.004, "a weight moved far")
    return Truth()


def each_batch(trial: Trial) -> Truth:
    """Calls scheduler.step(), meant for epochs, after each batch: at 0.9 a step the rate is gone after some dozens."""
    torch.manual_seed(trial.seed)
    data = language(trial.seed)
    model = Transformer(20, 20, each=True)
    other, draw = copy.deepcopy(model), data.train.batches(32, trial.seed)
    optimizer = AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    schedule, held = ExponentialLR(optimizer, gamma=0.9), {}

    def look(step: int) -> None:
        if step in (99, 239):
            held[step] = loss_of(model, data.train)

    history = fit(
        trial, model, draw, optimizer, schedule=schedule, validation=data.held_out, after=look, every=2, steps=240
    )
    rate = AdamW(other.parameters(), lr=2e-3, weight_decay=0.01)
    better = control(other, data.train.batches(32, trial.seed), rate, steps=240)
    harmed(history.end, better, 1.3)
    require(held[99] - held[239] < 0.01 * (history.train[0] - better), f"the loss went on to fall: {held}")
    require(optimizer.param_groups[0]["lr"] < 1e-11, "the rate is not gone")
    # After 22 steps a tenth of the rate is left, after 90 it is below a ten-thousandth.
    return Truth((), 22, 120)


class Glyphs(nn.Module):
    """Three convolutions, a mean over places and a head; the forward pass takes the first or all of them."""

    def __init__(self, *, whole: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 24, 3, padding=1)
        self.conv2 = nn.Conv2d(24, 24, 3, padding=1)
        self.conv3 = nn.Conv2d(24, 24, 3, padding=1)
        self.fc = nn.Linear(24, 10)
        self.whole = whole

    def forward(self, x: Tensor) -> Tensor:
        """Return scores [n, 10]."""
        x = functional.relu(self.conv1(x))
        if self.whole:
            x = functional.relu(self.conv3(functional.relu(self.conv2(x))))
        scores: Tensor = self.fc(x.mean((2, 3)))
        return scores


def forgotten_convs(trial: Trial) -> Truth:
    """Added two convolutions in __init__ of a network of digits, and forgot to call them in forward."""
    torch.manual_seed(trial.seed)
    data, model, other = digits(trial.seed, flat=False), Glyphs(whole=False), Glyphs(whole=True)
    other.load_state_dict(model.state_dict())
    first, losses, draw = snapshot(model), [], data.train.batches(64, trial.seed)
    optimizer, criterion = Adam(model.parameters(), lr=5e-3), nn.CrossEntropyLoss()
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(220):
            pictures, classes = draw(step)
            loss = criterion(model(pictures), classes)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/loss", loss.item(), writer.step)
            if step % 44 == 43:
                writer.add_scalar("val/accuracy", accuracy(model, data.held_out), writer.step)
    better = control(other, data.train.batches(64, trial.seed), Adam(other.parameters(), lr=5e-3), steps=220)
    harmed(sum(losses[-22:]) / 22, better, 2.0)
    for name, far in moved(first, model).items():
        require((far == 0) == (name.split(".")[0] in ("conv2", "conv3")), f"{name} moved by {far:.3g}")
    for name, size in gradients(model, data.train.first(128)).items():
        require((size == 0) == (name.split(".")[0] in ("conv2", "conv3")), f"{name} gets {size:.3g}")
    return Truth(("conv2", "conv3"))


class Log(nn.Module):
    """A transformer over a log of events whose positions are added, or not."""

    def __init__(self, *, placed: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(14, 32)
        self.pos_embedding = nn.Embedding(12, 32)
        layer = nn.TransformerEncoderLayer(32, 4, 64, 0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.classifier = nn.Linear(32, 1)
        self.placed = placed

    def forward(self, events: Tensor) -> Tensor:
        """Return scores [n, 1] of [n, 12]."""
        x = self.embedding(events)
        if self.placed:
            x = x + self.pos_embedding(torch.arange(events.shape[1]))
        scores: Tensor = self.classifier(self.encoder(x).mean(1))
        return scores


def no_positions(trial: Trial) -> Truth:
    """A transformer that is to say which of two events came first; its positions are made and never added."""
    torch.manual_seed(trial.seed)
    events = torch.randint(12, (2400, 12))
    places = torch.rand(2400, 12).argsort(1)[:, :2]
    for number in range(2):
        events[torch.arange(2400), places[:, number]] = 12 + number
    data = split(events, (places[:, :1] < places[:, 1:]).float(), 400, trial.seed)
    model, other, criterion = Log(placed=False), Log(placed=True), nn.BCEWithLogitsLoss()
    other.load_state_dict(model.state_dict())
    optimizer, draw = RMSprop(model.parameters(), lr=5e-4), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=None, steps=240)
    rate = RMSprop(other.parameters(), lr=5e-4)
    better = control(other, data.train.batches(64, trial.seed), rate, criterion, steps=240)
    harmed(history.end, better, 2.0)
    sizes = gradients(model, data.train.first(256), criterion)
    require({name for name, size in sizes.items() if size == 0} == {"pos_embedding.weight"}, f"gradients are {sizes}")
    return Truth(("pos_embedding",))


SCENARIOS = (
    Scenario(
        "birch-sigmoids-mlp",
        "mlp",
        TUNING,
        sigmoids,
        ("vanishing_gradient",),
        ("loss_plateau", "underfitting", "layer_not_training", "representation_collapse", "poor_init"),
    ),
    Scenario(
        "birch-pulse-conv1d",
        "cnn",
        TUNING,
        pulse,
        ("vanishing_gradient", "poor_init"),
        ("loss_plateau", "underfitting", "layer_not_training", "representation_collapse", "dead_units"),
    ),
    Scenario(
        "birch-wines-mlp",
        "mlp",
        TUNING,
        wines,
        ("lr_too_low",),
        ("loss_plateau", "underfitting", "layer_not_training"),
    ),
    Scenario(
        "birch-each-batch-transformer",
        "transformer",
        TUNING,
        each_batch,
        ("lr_too_low",),
        ("loss_plateau", "underfitting", "layer_not_training"),
    ),
    Scenario(
        "birch-forgotten-convs-cnn",
        "cnn",
        TUNING,
        forgotten_convs,
        ("unused_parameter",),
        ("layer_not_training", "underfitting", "loss_plateau"),
    ),
    Scenario(
        "birch-no-positions-transformer",
        "transformer",
        TUNING,
        no_positions,
        ("unused_parameter",),
        ("layer_not_training", "underfitting", "loss_plateau"),
    ),
)
