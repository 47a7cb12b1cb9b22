"""Healthy trainings: a rate of one, links by functions, layers in a row, and cells and beats that are rare."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adadelta, Adam, AdamW

from tests.diagnosis.data import Graph, Part, communities, patients, split
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import accuracy, calm, double, generalises, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import History, control, evaluate, fit


class Listener(nn.Module):
    """A GRU over a signal [n, length, 1], whose states are averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.norm = nn.GRU(1, 32, batch_first=True), nn.LayerNorm(32)
        self.head = nn.Linear(32, 3)

    def forward(self, signal: Tensor) -> Tensor:
        """Return scores [n, 3]."""
        scores: Tensor = self.head(self.norm(self.gru(signal)[0].mean(1)))
        return scores


def rate_of_one(trial: Trial) -> None:
    """Sines, saws and squares in noise by Adadelta with lr=1.0, as in the examples, twelve at a time: a noisy loss."""
    torch.manual_seed(100 + trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    phase = torch.rand(1500, 1, generator=generator) + torch.arange(24) * (
        0.08 + 0.08 * torch.rand(1500, 1, generator=generator)
    )
    kinds = torch.randint(3, (1500,), generator=generator)
    sine = (2 * math.pi * phase).sin()
    forms = torch.stack([1.4 * sine, 3.4 * (phase.frac() - 0.5), sine.sign()], 1)
    signal = forms[torch.arange(1500), kinds] + 0.25 * torch.randn(1500, 24, generator=generator)
    data, model, criterion = split(signal[..., None], kinds, 300, trial.seed), Listener(), nn.CrossEntropyLoss()
    low, history = copy.deepcopy(model), History([], {})
    optimizer, draw = Adadelta(model.parameters(), lr=1.0), data.train.batches(12, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(400):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 10.0)
            optimizer.step()
            history.train.append(loss.item())
            writer.add_scalar("Train Loss", history.train[-1], writer.step)
            if step % 40 == 39:
                history.validation[step] = evaluate(model, criterion, data.held_out)
                writer.add_scalar("Test Loss", history.validation[step], writer.step)
    share = accuracy(model, data.held_out)
    require(share > 0.85, f"the accuracy is {share:.3f}")
    better = control(low, data.train.batches(12, trial.seed), Adadelta(low.parameters(), lr=0.1), steps=400)
    require(history.end < better, f"the loss is {history.end:.3g}, and at a tenth of the rate {better:.3g}")
    losses = list(history.validation.values())
    require(losses[-1] < min(losses) + 0.1 * math.log(3), f"the loss held out rose: {losses}")


class Citations(nn.Module):
    """Two graph convolutions and a head whose activations and dropout are functions."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.register_buffer("edges", graph.edges, persistent=False)
        self.lin1, self.lin2, self.out = nn.Linear(16, 32), nn.Linear(32, 32), nn.Linear(32, 4)
        self.nodes = (graph.held_out, graph.train)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return scores of the nodes to train on, or in evaluation of those held out."""
        hidden = functional.elu(self.edges @ self.lin1(nodes))
        hidden = functional.dropout(hidden, 0.2, self.training)
        hidden = functional.elu(self.edges @ self.lin2(hidden))
        scores: Tensor = self.out(hidden)[self.nodes[self.training]]
        return scores


def citations(trial: Trial) -> None:
    """Communities in a graph, by a network whose ELUs are called as functions between its linear layers."""
    torch.manual_seed(100 + trial.seed)
    graph = communities(trial.seed, size=50)
    model, criterion = Citations(graph), nn.CrossEntropyLoss()
    optimizer, draw = Adam(model.parameters(), lr=5e-3, weight_decay=5e-4), graph.batches(trial.seed, noise=0.3)
    history = fit(trial, model, draw, optimizer, criterion, validation=graph.validation, every=1, steps=120)
    share = accuracy(model, graph.validation)
    require(share > 0.93, f"the accuracy is {share:.3f}")
    generalises(history)
    calm(history)


def separable(inputs: int, outputs: int, between: type[nn.Module]) -> nn.Sequential:
    """Return a convolution of each channel, one over channels, a normalisation and a ReLU, as in Xception."""
    return nn.Sequential(
        nn.Conv1d(inputs, inputs, 5, padding=2, groups=inputs, bias=False),
        between(),
        nn.Conv1d(inputs, outputs, 1, bias=False),
        nn.BatchNorm1d(outputs),
        nn.ReLU(),
    )


class Steps(nn.Module):
    """A convolution, two that are separable, and a mean, over [n, 3, length]."""

    def __init__(self, between: type[nn.Module] = nn.Identity) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv1d(3, 16, 5, padding=2), nn.BatchNorm1d(16), nn.ReLU())
        self.block1, self.block2 = separable(16, 32, between), separable(32, 32, between)
        self.pool, self.head = nn.MaxPool1d(2), nn.Linear(32, 1)

    def forward(self, signal: Tensor) -> Tensor:
        """Return [n, 1]."""
        told: Tensor = self.head(self.block2(self.pool(self.block1(self.stem(signal)))).mean(2))
        return told


def separated(trial: Trial) -> None:
    """How fast somebody walks, by separable convolutions: two of them in a row have nothing between, as is meant."""
    torch.manual_seed(100 + trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    speed, start = torch.rand(1600, 1, generator=generator), torch.rand(1600, 3, 1, generator=generator)
    phase = 2 * math.pi * (start + (0.04 + 0.12 * speed)[..., None] * torch.arange(40))
    signal = phase.sin() + 0.4 * (2 * phase).cos() + 0.3 * torch.randn(1600, 3, 40, generator=generator)
    data = split(signal, (speed - 0.5) * math.sqrt(12), 300, trial.seed)
    model, bent, criterion = Steps(), Steps(nn.ReLU), nn.SmoothL1Loss()
    bent.load_state_dict(model.state_dict())
    optimizer, draw = AdamW(model.parameters(), lr=5e-3), data.train.batches(64, trial.seed)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 240)
    history = fit(
        trial, model, draw, optimizer, criterion, schedule=schedule, validation=data.held_out, every=2, steps=240
    )
    control(bent, data.train.batches(64, trial.seed), AdamW(bent.parameters(), lr=5e-3), criterion)
    does, other = (loss_of(one, data.held_out, criterion) for one in (model, bent))
    flat = float(criterion(torch.zeros_like(data.held_out.targets), data.held_out.targets))
    require(
        does < 0.1 * flat and does < other + 0.015 * flat,
        f"the loss is {does:.3g}, with an activation between {other:.3g}",
    )
    generalises(history)
    calm(history)


def biopsies(trial: Trial) -> None:
    """Cancers, of which there are 37 in a hundred: an MLP with one output, and the accuracy beside the loss."""
    torch.manual_seed(100 + trial.seed)
    data, model = patients(trial.seed), mlp((30, 24, 1), dropout=0.1)
    criterion, history = nn.BCEWithLogitsLoss(), History([], {})
    optimizer, draw = Adam(model.parameters(), lr=2e-3, weight_decay=1e-4), data.train.batches(32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(150):
            inputs, targets = draw(step)
            scores = model(inputs)
            loss = criterion(scores, targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            history.train.append(loss.item())
            writer.add_scalar("train/bce", history.train[-1], writer.step)
            writer.add_scalar("train/acc", float(((scores > 0) == (targets > 0)).float().mean()), writer.step)
            if step % 15 == 14:
                history.validation[step] = evaluate(model, criterion, data.held_out)
                writer.add_scalar("val/bce", history.validation[step], writer.step)
    no, yes = found(model, data.held_out)
    require(min(no, yes) > 0.9, f"{no:.3f} and {yes:.3f} of the classes are found")
    generalises(history)
    calm(history)


def found(model: nn.Module, part: Part) -> tuple[float, float]:
    """Return the shares of the negative and of the positive that a network of one score finds."""
    with torch.no_grad():
        scores = double(model).eval()(part.inputs.double())
    positive = part.targets > 0
    return float((scores[~positive] <= 0).double().mean()), float((scores[positive] > 0).double().mean())


class Beats(nn.Module):
    """A bidirectional LSTM over a heart's beats [n, length, 1], pooled over the largest."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(1, 16, batch_first=True, bidirectional=True), nn.Linear(32, 1)
        nn.init.constant_(self.head.bias, -3.0)

    def forward(self, beats: Tensor) -> Tensor:
        """Return scores [n, 1]."""
        scores: Tensor = self.head(self.lstm(beats)[0].amax(1))
        return scores


def early_beats(trial: Trial) -> None:
    """One record in twenty has an early, broad beat: no weights, and yet nearly all are found, for they are clear."""
    torch.manual_seed(100 + trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    time, offset = torch.arange(32), torch.randint(8, (3000, 1), generator=generator)
    beats = ((time + offset) % 8 == 0).float() * 2 + 0.2 * torch.randn(3000, 32, generator=generator)
    early = torch.rand(3000, generator=generator) < 0.05
    place = torch.randint(4, 26, (3000, 1), generator=generator)
    beats += early[:, None] * 1.8 * (-((time - place).float() / 1.5).square()).exp()
    data = split((beats[..., None] - beats.mean()) / beats.std(), early.float()[:, None], 1000, trial.seed)
    model, criterion = Beats(), nn.BCEWithLogitsLoss()
    other = copy.deepcopy(model)
    optimizer, draw = Adam(model.parameters(), lr=5e-3), data.train.batches(128, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=None, steps=240)
    weighed = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(19.0))
    control(other, data.train.batches(128, trial.seed), Adam(other.parameters(), lr=5e-3), weighed)
    (no, yes), (known, rare) = found(model, data.held_out), found(other, data.held_out)
    require(yes > 0.85 and no > 0.98, f"{no:.3f} and {yes:.3f} of the classes are found")
    require(no + yes > known + rare - 0.06, f"weights find {known:.3f} and {rare:.3f}")
    generalises(history)
    calm(history, 0.5)


SCENARIOS = (
    Scenario("tansy-rate-of-one-gru", "rnn", TUNING, rate_of_one),
    Scenario("tansy-citations-gnn", "gnn", TUNING, citations),
    Scenario("tansy-separated-cnn", "cnn", TUNING, separated),
    Scenario("tansy-biopsies-mlp", "mlp", TUNING, biopsies),
    Scenario("tansy-early-beats-lstm", "rnn", TUNING, early_beats),
)
