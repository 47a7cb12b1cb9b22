"""Evaluations by another subject, vocabulary or dropout; learning rates of fine-tuning, of Adam, and of a schedule."""

from __future__ import annotations

import copy
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import ExponentialLR

from tests.diagnosis.data import Part, communities, language, majorities
from tests.diagnosis.faulty.pilot_daisy import much_worse
from tests.diagnosis.networks import Gcn, Transformer
from tests.diagnosis.proof import accuracy, double, loss_of, require, snapshot
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


def walker(seed: int, subject: int, count: int = 24) -> Part:
    """Return windows of one person's accelerometer, [n, 3, 32], and which of four things is done, [n]."""
    person = torch.Generator().manual_seed(10_000 * seed + subject)
    mount, gain = 3 * torch.randn(3, 1, generator=person), 0.5 + 1.5 * torch.rand(3, 1, generator=person)
    doing = torch.randint(4, (count,), generator=person)
    swing = (torch.arange(32) * (0.2 + 0.2 * doing[:, None]) + 6.3 * torch.rand(count, 1, generator=person)).sin()
    axes = torch.tensor([1.0, 0.6, 0.3])[:, None] * swing[:, None] + 0.4 * torch.randn(count, 3, 32, generator=person)
    return Part(mount + gain * (axes + 0.5 * doing[:, None, None]), doing)


def one_person_a_batch(trial: Trial) -> Truth:
    """A batch is a file of one person: BatchNorm takes away how each wears the sensor, and in evaluation it doesn't."""
    torch.manual_seed(trial.seed)
    parts: dict[str, nn.Module] = {"conv1": nn.Conv1d(3, 16, 5, padding=2), "norm1": nn.BatchNorm1d(16)}
    parts |= {"act1": nn.ReLU(), "conv2": nn.Conv1d(16, 24, 5, padding=2), "norm2": nn.BatchNorm1d(24)}
    parts |= {"act2": nn.ReLU(), "pool": nn.AdaptiveAvgPool1d(1), "flat": nn.Flatten(), "head": nn.Linear(24, 4)}
    model = nn.Sequential(OrderedDict([("norm0", nn.BatchNorm1d(3)), *parts.items()]))
    criterion, optimizer = nn.CrossEntropyLoss(), Adam(model.parameters(), lr=5e-3)
    strangers, apart = [walker(trial.seed, subject) for subject in range(500, 515)], -1
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(240):
            windows = walker(trial.seed, step % 60)
            loss = criterion(model(windows.inputs), windows.targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/loss", loss.item(), writer.step)
            if step % 20 == 19:
                held_out = sum(evaluate(model, criterion, one) for one in strangers) / 15
                writer.add_scalar("val/loss", held_out, writer.step)
                right = sum(accuracy(model, one) for one in strangers) / 15
                writer.add_scalar("val/accuracy", right, writer.step)
                apart = step if apart < 0 and held_out > 1.5 * loss.item() else apart
    precise = double(model).train()
    for people in (strangers, [walker(trial.seed, subject) for subject in range(60)]):
        right, batch_wise = (
            sum(float((made(one.inputs.double()).argmax(1) == one.targets).double().mean()) for one in people)
            for made in (double(model).eval(), precise)
        )
        require(batch_wise > right + 0.15 * len(people), f"{batch_wise:.3f} by statistics of a batch, or {right:.3f}")
    return Truth((), 0, max(apart, 40) + 20)


def other_vocabulary(trial: Trial) -> Truth:
    """`{w: i for i, w in enumerate(set(words))}` once for each file: in the held-out one, words have other numbers."""
    torch.manual_seed(trial.seed)
    data = language(trial.seed, length=20)
    numbers = torch.randperm(20, generator=torch.Generator().manual_seed(trial.seed + 50))
    held_out = Part(numbers[data.held_out.inputs], numbers[data.held_out.targets])

    def criterion(scores: Tensor, words: Tensor) -> Tensor:
        return functional.cross_entropy(scores.transpose(1, 2), words)

    model = Sentence()
    history = fit(
        trial,
        model,
        data.train.batches(32, trial.seed),
        AdamW(model.parameters(), lr=5e-3),
        criterion,
        steps=200,
        validation=held_out,
        every=None,
    )
    right = loss_of(model, data.held_out, criterion)
    require(right < 1.15 * history.end, f"{right:.3f} with the right words, and in training {history.end:.3f}")
    much_worse(loss_of(model, held_out, criterion), right, 2)
    apart = next(step for step, loss in history.validation.items() if loss > 1.5 * history.train[step])
    return Truth((), 0, max(apart, 40) + 20)


class Sentence(nn.Module):
    """An LSTM over words that scores each following word."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.lstm = nn.Embedding(20, 16), nn.LSTM(16, 40, batch_first=True)
        self.decoder = nn.Linear(40, 20)

    def forward(self, words: Tensor) -> Tensor:
        """Return scores [n, length, words]."""
        scores: Tensor = self.decoder(self.lstm(self.embedding(words))[0])
        return scores


class Thinned(nn.Module):
    """Dropout written by hand: zeros in training, and what is left is or isn't made larger for it."""

    def __init__(self, share: float, *, made_larger: bool) -> None:
        super().__init__()
        self.keep, self.factor = 1 - share, 1 / (1 - share) if made_larger else 1.0

    def forward(self, values: Tensor) -> Tensor:
        """Return the values, thinned in training alone."""
        return values * (torch.rand_like(values) < self.keep) * self.factor if self.training else values


class Molecules(nn.Module):
    """Three rounds of messages over atoms [n, 10, 16], features beside bonds; says a property [n, 1]."""

    def __init__(self, *, made_larger: bool) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = nn.Linear(12, 32), nn.Linear(64, 32), nn.Linear(64, 32)
        self.drop, self.readout = Thinned(0.5, made_larger=made_larger), nn.Linear(32, 1)

    def forward(self, atoms: Tensor) -> Tensor:
        """Return [n, 1]."""
        hidden, bonds = atoms[..., :6], atoms[..., 6:]
        for conv in (self.conv1, self.conv2, self.conv3):
            hidden = self.drop(functional.relu(conv(torch.cat([hidden, bonds @ hidden / 3], 2))))
        told: Tensor = self.readout(hidden.mean(1))
        return told


def molecules(seed: int, count: int) -> Part:
    """Return graphs of ten atoms of six kinds, and a mean over atoms of what each has beside it."""
    generator = torch.Generator().manual_seed(seed)
    kinds = functional.one_hot(torch.randint(6, (count, 10), generator=generator), 6).float()
    upper = (torch.rand(count, 10, 10, generator=generator) < 0.3).float().triu(1)
    bonds = upper + upper.transpose(1, 2)
    weights = torch.tensor([1.0, 0.5, -1.0, 2.0, 0.0, 0.3])
    own = kinds @ weights.roll(2) + 0.5 * (bonds @ (kinds @ weights)[..., None])[..., 0].relu()
    return Part(torch.cat([kinds, bonds], 2), 4 + 2 * own.mean(1, keepdim=True))


def dropout_by_hand(trial: Trial) -> Truth:
    """Dropout by hand, `x * mask` with no division by what is kept: without the mask, a layer gives twice as much."""
    criterion, ends = nn.L1Loss(), []
    data, held_out = molecules(trial.seed, 2000), molecules(trial.seed + 900, 400)
    for made_larger in (True, False):
        torch.manual_seed(trial.seed)
        model, draw = Molecules(made_larger=made_larger), data.batches(64, trial.seed)
        optimizer = Adam(model.parameters(), lr=3e-3)
        if made_larger:
            control(model, draw, optimizer, criterion, steps=200)
        else:
            history = fit(trial, model, draw, optimizer, criterion, steps=200, validation=held_out, every=2)
        ends.append(loss_of(model, held_out, criterion))
    much_worse(ends[1], ends[0], 2)
    much_worse(ends[1], history.end, 2)
    apart = next(step for step, loss in history.validation.items() if loss > 1.5 * history.train[step])
    return Truth((), 0, max(apart, 40) + 20)


def rate_of_finetuning(trial: Trial) -> Truth:
    """AdamW at 2e-5, as for BERT, with a transformer that starts from nothing: it would take ten thousand steps."""
    torch.manual_seed(trial.seed)
    data = majorities(trial.seed, length=24)
    model = Transformer(12, 3, length=24)
    before, other = snapshot(model), copy.deepcopy(model)
    criterion, optimizer = nn.CrossEntropyLoss(), AdamW(model.parameters(), lr=2e-5, weight_decay=0.01)
    draw, losses = data.train.batches(16, trial.seed), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(160):
            tokens, labels = draw(step)
            scores = model(tokens)
            loss = criterion(scores, labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
            writer.add_scalar("train/loss", losses[-1], writer.step)
            writer.add_scalar("train/acc", float((scores.argmax(1) == labels).float().mean()), writer.step)
    drift = max(
        float((value.detach() - before[name]).norm() / before[name].norm())
        for name, value in model.named_parameters()
        if "weight" in name
    )
    require(drift < 0.1, f"a weight has moved by {drift:.3g} of its size")
    better = control(other, data.train.batches(16, trial.seed), AdamW(other.parameters(), lr=2e-3), steps=160)
    much_worse(sum(losses[-16:]) / 16, better)
    return Truth()


def adams_rate(trial: Trial) -> Truth:
    """Adam was replaced by plain SGD in a graph network, and its 1e-3 was kept: it would have to be a hundredfold."""
    torch.manual_seed(trial.seed)
    graph = communities(trial.seed)
    model = Gcn(graph, width=24)
    before, other = snapshot(model), copy.deepcopy(model)
    draw = graph.batches(trial.seed)
    optimizer = SGD(model.parameters(), lr=1e-3)
    history = fit(trial, model, draw, optimizer, validation=graph.validation, steps=300, every=None)
    better = control(other, graph.batches(trial.seed), SGD(other.parameters(), lr=0.3), steps=300)
    much_worse(history.end, better, 2)
    does, should = (accuracy(one, graph.validation) for one in (model, other))
    require(does < should - 0.1, f"{does:.3f} is not below {should:.3f}")
    norms = [float((value.detach() - before[name]).norm()) for name, value in model.named_parameters()]
    sizes = [float(value.norm()) for value in before.values()]
    require(sum(norms) < 0.1 * sum(sizes), f"weights have moved by {sum(norms):.3g} of {sum(sizes):.3g}")
    return Truth()


class Outliner(nn.Module):
    """Goes down to half the size and back, and says for each pixel whether it is inside."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2 = nn.Conv2d(1, 12, 3, padding=1), nn.Conv2d(12, 16, 3, stride=2, padding=1)
        self.middle, self.up = nn.Conv2d(16, 16, 3, padding=1), nn.ConvTranspose2d(16, 12, 2, stride=2)
        self.last = nn.Conv2d(24, 1, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 1, 16, 16]."""
        wide = functional.leaky_relu(self.down1(pictures))
        deep = functional.leaky_relu(self.middle(functional.leaky_relu(self.down2(wide))))
        scores: Tensor = self.last(torch.cat([wide, functional.leaky_relu(self.up(deep))], 1))
        return scores


def cells(seed: int) -> Part:
    """Return noisy pictures of one round cell, [n, 1, 16, 16], and its mask."""
    generator = torch.Generator().manual_seed(seed)
    centre, radius = 4 + 8 * torch.rand(600, 2, 1, 1, generator=generator), torch.rand(600, 1, 1, generator=generator)
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    inside = (((rows - centre[:, 0]) ** 2 + (columns - centre[:, 1]) ** 2).sqrt() < 2.5 + 2 * radius).float()
    return Part((inside - 0.3 + 0.9 * torch.randn(600, 16, 16, generator=generator))[:, None], inside[:, None])


def schedule_by_batch(trial: Trial) -> Truth:
    """`scheduler.step()` is in the loop over batches, with the 0.9 meant for epochs: soon the rate is nothing."""
    torch.manual_seed(trial.seed)
    data, model, criterion = cells(trial.seed), Outliner(), nn.BCEWithLogitsLoss()
    other, optimizer = copy.deepcopy(model), Adam(model.parameters(), lr=1e-3)
    schedule, held = ExponentialLR(optimizer, 0.9), {}

    def keep(step: int) -> None:
        if step == 90:
            held.update(snapshot(model))

    draw = data.batches(16, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, steps=220, schedule=schedule, every=2, after=keep)
    better = control(other, data.batches(16, trial.seed), Adam(other.parameters(), lr=1e-3), criterion, steps=220)
    much_worse(history.end, better)
    drift = max(float((value.detach() - held[name]).norm()) for name, value in model.named_parameters())
    require(drift < 1e-3, f"a weight moved by {drift:.3g} after step 90")
    return Truth((), 15, 90)


STUCK = ("loss_plateau", "underfitting", "layer_not_training")
SCENARIOS = (
    Scenario(
        "daisy-modes-person-cnn",
        "cnn",
        TUNING,
        one_person_a_batch,
        ("train_eval_mismatch",),
        ("overfitting", "input_unnormalised"),
    ),
    Scenario(
        "daisy-modes-vocabulary-lstm", "rnn", TUNING, other_vocabulary, ("train_eval_mismatch",), ("overfitting",)
    ),
    Scenario(
        "daisy-modes-molecules-gnn",
        "gnn",
        TUNING,
        dropout_by_hand,
        ("train_eval_mismatch",),
        ("overfitting", "over_regularised"),
    ),
    Scenario("daisy-slow-finetuning-transformer", "transformer", TUNING, rate_of_finetuning, ("lr_too_low",), STUCK),
    Scenario("daisy-slow-sgd-gnn", "gnn", TUNING, adams_rate, ("lr_too_low",), STUCK),
    Scenario("daisy-slow-schedule-cnn", "cnn", TUNING, schedule_by_batch, ("lr_too_low",), STUCK),
)
