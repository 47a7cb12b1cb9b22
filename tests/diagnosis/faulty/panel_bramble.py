"""Wines, engines, sugar and tunes: two networks whose beginnings hear nothing, and two that learn by heart."""

from __future__ import annotations

import copy

import torch
from sklearn.datasets import load_diabetes, load_wine
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Part, Split, split
from tests.diagnosis.networks import Transformer
from tests.diagnosis.proof import gradients, loss_of, require
from tests.diagnosis.scenario import REPORTING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


def faded(found: dict[str, float], early: str, late: str, most: float = 1e-3) -> None:
    """Raise NotProvenError unless an early gradient is so much smaller than a late one."""
    require(found[early] < most * found[late], f"{early} gets {found[early]:.3g}, and {late} {found[late]:.3g}")


def turned(validation: dict[int, float]) -> Truth:
    """Return from when on the loss held out rises; until it is a quarter above its least."""
    onset = min(validation, key=lambda step: validation[step])
    least, end = validation[onset], list(validation.values())[-1]
    require(end > 1.3 * least, f"the loss held out is {end:.3g} at the end, and {least:.3g} at its least")
    until = min(step for step, loss in validation.items() if step > onset and loss > 1.25 * least)
    return Truth((), onset, until)


class Cellar(nn.Module):
    """Seven hidden layers, with a function between them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(13, 32)
        self.hidden = nn.ModuleList(nn.Linear(32, 32) for _ in range(6))
        self.out = nn.Linear(32, 3)
        self.squash = torch.sigmoid

    def forward(self, rows: Tensor) -> Tensor:
        """Return scores [n, 3]."""
        told = self.squash(self.first(rows))
        for layer in self.hidden:
            told = self.squash(layer(told))
        scores: Tensor = self.out(told)
        return scores


def cellar(trial: Trial) -> Truth:
    """Three sorts of wine by an MLP with seven hidden layers of sigmoids and SGD: "loss is stuck at 1.09"."""
    torch.manual_seed(trial.seed)
    table = load_wine()
    rows = torch.tensor(table.data, dtype=torch.float32)
    data = split((rows - rows.mean(0)) / rows.std(0), torch.tensor(table.target), 40, trial.seed)
    model, criterion = Cellar(), nn.CrossEntropyLoss()
    other = copy.deepcopy(model)
    other.squash = functional.relu  # type: ignore[assignment]
    optimizer, draw, last = SGD(model.parameters(), lr=0.02, momentum=0.9), data.train.batches(16, trial.seed), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(360):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            scores = model(inputs)
            loss = criterion(scores, targets)
            loss.backward()
            optimizer.step()
            last.append(float(loss.detach()))
            writer.add_scalar("Loss", last[-1], writer.step)
            writer.add_scalar("Accuracy", float((scores.argmax(1) == targets).float().mean()), writer.step)
    for layer in (other.first, *other.hidden):
        nn.init.kaiming_normal_(layer.get_parameter("weight"), nonlinearity="relu")
    optimizer = SGD(other.parameters(), lr=0.02, momentum=0.9)
    better = control(other, data.train.batches(16, trial.seed), optimizer, steps=360)
    end = sum(last[-36:]) / 36
    require(end > 1.0 and better < 0.3, f"the loss ends at {end:.3g}, and with ReLU at {better:.3g}")
    faded(gradients(model, data.train), "first.weight", "out.weight")
    return Truth(("first", *(f"hidden.{number}" for number in range(4))))


class Knocks(nn.Module):
    """Twenty convolutions of a signal, one after the other."""

    def __init__(self, *, norm: bool) -> None:
        super().__init__()
        self.stem = nn.Conv1d(1, 12, 5, padding=2)
        self.convs = nn.ModuleList(nn.Conv1d(12, 12, 5, padding=2) for _ in range(19))
        self.norms = nn.ModuleList(nn.BatchNorm1d(12) if norm else nn.Identity() for _ in range(19))
        self.mask = nn.Conv1d(12, 1, 1)

    def forward(self, signals: Tensor) -> Tensor:
        """Return scores [n, 1, length]."""
        hidden = functional.relu(self.stem(signals))
        for conv, norm in zip(self.convs, self.norms, strict=True):
            hidden = functional.relu(norm(conv(hidden)))
        scores: Tensor = self.mask(hidden)
        return scores


def engine(seed: int, count: int = 500, length: int = 64) -> Split:
    """Return signals of an engine, [n, 1, length], and where it knocked, of the same shape."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(length)
    phase = 6.3 * torch.rand(count, 1, generator=generator)
    start = torch.randint(0, length - 20, (count, 1), generator=generator)
    knocks = ((time >= start) & (time < start + 20)).float()
    signals = (0.2 * time + phase).sin() + knocks * (2.2 * time + phase).sin()
    signals = signals + 0.2 * torch.randn(count, length, generator=generator)
    return split(signals[:, None], knocks[:, None], 100, seed)


def knocking(trial: Trial) -> Truth:
    """Where an engine knocks: twenty plain convolutions with ReLU as they are made, no BatchNorm and no skips."""
    torch.manual_seed(trial.seed)
    data, criterion = engine(trial.seed), nn.BCEWithLogitsLoss()
    model, other = Knocks(norm=False), Knocks(norm=True)
    before = gradients(model, data.train.first(100), criterion)
    optimizer, draw = SGD(model.parameters(), lr=0.1, momentum=0.9), data.train.batches(16, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, steps=160, validation=data.held_out, every=2)
    better_optimizer = SGD(other.parameters(), lr=0.1, momentum=0.9)
    better = control(other, data.train.batches(16, trial.seed), better_optimizer, criterion, steps=160)
    require(history.end > 2 * better, f"the loss ends at {history.end:.3g}, and with BatchNorm at {better:.3g}")
    for found in (before, gradients(model, data.train.first(100), criterion)):
        faded(found, "stem.weight", "mask.weight")
    return Truth(("stem", *(f"convs.{number}" for number in range(12))))


def sugar(trial: Trial) -> Truth:
    """Diabetes: 70 rows, an MLP of 256 twice, 300 steps of Adam, and nothing against learning by heart."""
    torch.manual_seed(trial.seed)
    table = load_diabetes(scaled=False)
    rows, ill = (torch.tensor(part, dtype=torch.float32) for part in (table.data, table.target))
    data = split((rows - rows.mean(0)) / rows.std(0), ((ill - ill.mean()) / ill.std())[:, None], 372, trial.seed)
    model = nn.Sequential(nn.Linear(10, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 1))
    other, criterion = copy.deepcopy(model), nn.MSELoss()
    optimizer, validation = Adam(model.parameters(), lr=1e-3), {}
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for epoch in range(60):
            order = torch.randperm(70)
            for chosen in order.split(14):
                optimizer.zero_grad()
                loss = criterion(model(data.train.inputs[chosen]), data.train.targets[chosen])
                loss.backward()
                optimizer.step()
                writer.add_scalar("train/loss", loss.item(), writer.step)
            validation[5 * epoch + 4] = evaluate(model, criterion, data.held_out)
            writer.add_scalar("val/loss", validation[5 * epoch + 4], writer.step)
    control(other, data.train.batches(14, trial.seed), AdamW(other.parameters(), lr=3e-4, weight_decay=10.0), criterion)
    learnt, held = (loss_of(model, part, criterion) for part in (data.train, data.held_out))
    should = loss_of(other, data.held_out, criterion)
    require(held > 4 * learnt, f"{held:.3g} held out, {learnt:.3g} in training")
    require(held > 1.15 * should, f"{held:.3g} held out, and with weight decay {should:.3g}")
    return turned(validation)


def tunes(seed: int, count: int) -> Part:
    """Return tunes of 24 notes, [n, 24], that move in small steps and come home each eighth; and what follows each."""
    generator = torch.Generator().manual_seed(seed)
    notes = [torch.randint(15, (count,), generator=generator)]
    for at in range(1, 25):
        step = torch.multinomial(torch.tensor([1.0, 3, 2, 3, 1]), count, replacement=True, generator=generator) - 2
        home = torch.where(notes[-1] > 7, 7, 0)
        notes.append(home if at % 8 == 0 else (notes[-1] + step).clamp(0, 14))
    tokens = torch.stack(notes, 1)
    return Part(tokens[:, :-1], tokens[:, 1:])


def composer(trial: Trial) -> Truth:
    """A transformer that writes tunes, trained on 30 of them over and over, without dropout."""
    torch.manual_seed(trial.seed)
    few, many, held_out = (tunes(3 * trial.seed + at, count) for at, count in enumerate((30, 1500, 200)))
    model = Transformer(15, 15, width=40, depth=2, length=24, each=True)
    other, criterion = copy.deepcopy(model), nn.CrossEntropyLoss()
    optimizer, validation, draw = AdamW(model.parameters(), lr=3e-3), {}, few.batches(10, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(260):
            inputs, targets = draw(step)
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            writer.add_scalar("loss/train", loss.item(), writer.step)
            if step % 10 == 9:
                validation[step] = evaluate(model, criterion, held_out)
                writer.add_scalar("loss/valid", validation[step], writer.step)
    control(other, many.batches(10, trial.seed), AdamW(other.parameters(), lr=3e-3), steps=260)
    learnt, held, should = loss_of(model, few), loss_of(model, held_out), loss_of(other, held_out)
    require(held > 2 * learnt, f"{held:.3g} held out, {learnt:.3g} in training")
    require(held > 1.3 * should, f"{held:.3g} held out, and with more tunes {should:.3g}")
    return turned(validation)


DEEP = ("loss_plateau", "layer_not_training", "poor_init", "underfitting", "redundant_units", "lr_too_low")
SCENARIOS = (
    Scenario("bramble-cellar-mlp", "mlp", REPORTING, cellar, ("vanishing_gradient",), (*DEEP, "saturation")),
    Scenario("bramble-knocking-cnn", "cnn", REPORTING, knocking, ("vanishing_gradient",), (*DEEP, "dead_units")),
    Scenario("bramble-sugar-mlp", "mlp", REPORTING, sugar, ("overfitting",)),
    Scenario("bramble-composer-transformer", "transformer", REPORTING, composer, ("overfitting",)),
)
