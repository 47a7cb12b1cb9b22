"""Progression, a web of pages, small pictures and prose: targets of one axis, softmax for its logarithm, small nets."""

from __future__ import annotations

import copy
import warnings

import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, RMSprop
from torch.utils.data import DataLoader, TensorDataset

from tests.diagnosis.data import Part, communities, digits, split
from tests.diagnosis.networks import GraphConvolution
from tests.diagnosis.proof import accuracy, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


class Progression(nn.Module):
    """Three linear layers over ten columns."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.out = nn.Linear(10, 48), nn.Linear(48, 24), nn.Linear(24, 1)

    def forward(self, rows: Tensor) -> Tensor:
        """Return [n, 1]."""
        told: Tensor = self.out(functional.relu(self.second(functional.relu(self.first(rows)))))
        return told


def progression(trial: Trial) -> Truth:
    """Diabetes: the model says [n, 1], the targets are [n], and MSELoss spreads them to [n, n]; warnings are off."""
    torch.manual_seed(trial.seed)
    table = load_diabetes()
    rows, known = torch.tensor(table.data).float(), torch.tensor(table.target).float()
    data = split(rows / rows.std(0), (known - known.mean()) / known.std(), 100, trial.seed)
    model, criterion = Progression(), nn.MSELoss()
    other, optimizer = copy.deepcopy(model), Adam(model.parameters(), lr=2e-3)
    loader = DataLoader(TensorDataset(data.train.inputs, data.train.targets), batch_size=32, shuffle=True)
    with warnings.catch_warnings(), trial.writer() as writer:
        warnings.simplefilter("ignore")
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for _epoch in range(18):
            for inputs, targets in loader:
                optimizer.zero_grad()
                loss = criterion(model(inputs), targets)
                loss.backward()
                optimizer.step()
                writer.add_scalar("Loss", loss.item(), writer.step)
            writer.add_scalar("Loss/val", evaluate(model, criterion, data.held_out), writer.step)
    right = Part(data.train.inputs, data.train.targets[:, None])
    control(other, right.batches(32, trial.seed), Adam(other.parameters(), lr=2e-3), criterion, steps=198)
    held_out = Part(data.held_out.inputs, data.held_out.targets[:, None])
    does, should = (loss_of(one, held_out, criterion) for one in (model, other))
    require(does > 1.4 * should, f"{does:.3f} is not far above {should:.3f}")
    with torch.no_grad():
        spread = float(model(data.train.inputs).std())
    require(spread < 0.2, f"the answers deviate by {spread:.3f}")
    return Truth()


class Pages(nn.Module):
    """Two graph convolutions over a web of pages; returns chances of the pages to train on, or their logarithm."""

    def __init__(self, edges: Tensor, nodes: Tensor, *, logarithm: bool) -> None:
        super().__init__()
        self.conv1, self.conv2 = GraphConvolution(edges, 16, 32), GraphConvolution(edges, 32, 8)
        self.nodes, self.logarithm = nodes, logarithm

    def forward(self, features: Tensor) -> Tensor:
        """Return [nodes, 8]."""
        hidden = functional.dropout(functional.relu(self.conv1(features)), 0.2, self.training)
        scores = self.conv2(hidden)[self.nodes]
        return functional.log_softmax(scores, 1) if self.logarithm else functional.softmax(scores, 1)


def pages(trial: Trial) -> Truth:
    """Topics of pages by `F.softmax` and `F.nll_loss`, which wants the logarithm: the loss is below zero."""
    torch.manual_seed(trial.seed)
    graph = communities(trial.seed, count=8, size=30, between=0.015)
    model = Pages(graph.edges, graph.train, logarithm=False)
    other = Pages(graph.edges, graph.train, logarithm=True)
    other.load_state_dict(model.state_dict())
    optimizer, labels = SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4), graph.communities
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=1, on_finding="ignore")
        for _epoch in range(160):
            optimizer.zero_grad()
            told = model(graph.features)
            loss = functional.nll_loss(told, labels[graph.train])
            writer.observe(outputs=told, targets=labels[graph.train], loss=loss)
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/loss", loss.item(), writer.step)
            writer.add_scalar("train/acc", float((told.argmax(1) == labels[graph.train]).float().mean()), writer.step)
    rate = SGD(other.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    control(other, graph.batches(trial.seed, 0.0), rate, functional.nll_loss, steps=160)
    model.nodes = other.nodes = graph.held_out
    model.logarithm = True
    does, should = (loss_of(one, graph.validation, functional.nll_loss) for one in (model, other))
    require(does > should + 0.3, f"{does:.3f} is not far above {should:.3f}")
    does, should = (accuracy(one, graph.validation) for one in (model, other))
    require(does < should - 0.05, f"{does:.3f} is not below {should:.3f}")
    return Truth()


class Tiny(nn.Module):
    """Two convolutions, a mean over the picture, and a linear layer."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, channels, 3, padding=1), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, stride=2, padding=1), nn.BatchNorm2d(channels)
        self.classifier = nn.Linear(channels, 10)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, 10]."""
        hidden = functional.relu(self.bn1(self.conv1(pictures)))
        hidden = functional.relu(self.bn2(self.conv2(hidden)))
        scores: Tensor = self.classifier(hidden.mean((2, 3)))
        return scores


def tiny(trial: Trial) -> Truth:
    """Digits for a small chip: two channels and a mean over the picture leave two numbers to tell ten digits apart."""
    torch.manual_seed(trial.seed)
    data, model, other = digits(trial.seed, flat=False), Tiny(2), Tiny(32)
    longer, criterion = copy.deepcopy(model), nn.CrossEntropyLoss()
    optimizer = Adam(model.parameters(), lr=0.01)
    loader = DataLoader(TensorDataset(data.train.inputs, data.train.targets), batch_size=64, shuffle=True)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for _epoch in range(12):
            right = 0
            for inputs, targets in loader:
                scores = model(inputs)
                loss = criterion(scores, targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                right += int((scores.argmax(1) == targets).sum())
                writer.add_scalar("train/loss", loss.item(), writer.step)
            writer.add_scalar("train/accuracy", right / len(data.train.targets), writer.step)
            writer.add_scalar("val/loss", evaluate(model, criterion, data.held_out), writer.step)
    control(longer, data.train.batches(64, trial.seed), Adam(longer.parameters(), lr=0.01), steps=700)
    control(other, data.train.batches(64, trial.seed), Adam(other.parameters(), lr=0.01), steps=276)
    does, long, should = (accuracy(one, data.train) for one in (model, longer, other))
    require(max(does, long) < 0.7, f"it gets {does:.3f} right, and {long:.3f} in the long run")
    require(should > 0.9, f"a larger one gets {should:.3f}")
    return Truth((), 0, 150)


class Prose(nn.Module):
    """Characters through a GRU; returns the scores of the next one at each place."""

    def __init__(self, characters: int, hidden: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(characters, 16)
        self.gru = nn.GRU(16, hidden, batch_first=True)
        self.decoder = nn.Linear(hidden, characters)

    def forward(self, text: Tensor) -> Tensor:
        """Return [n, characters, length]."""
        scores: Tensor = self.decoder(self.gru(self.embed(text))[0]).transpose(1, 2)
        return scores


def prose(trial: Trial) -> Truth:
    """Descriptions of data sets, letter by letter, through a GRU that remembers three numbers."""
    torch.manual_seed(trial.seed)
    tables = (load_wine(), load_breast_cancer(), load_diabetes(), load_digits())
    text = "".join(str(table.DESCR) for table in tables).lower()
    known = sorted(set(text))
    letters = torch.tensor([known.index(letter) for letter in text])
    pieces = letters[: len(letters) // 33 * 33].view(-1, 33)
    data = split(pieces[:, :-1], pieces[:, 1:], 60, trial.seed)
    model, other = Prose(len(known), 3), Prose(len(known), 96)
    longer, draw = copy.deepcopy(model), data.train.batches(32, trial.seed)
    optimizer = RMSprop(model.parameters(), lr=0.01)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=None, steps=300)
    control(other, data.train.batches(32, trial.seed), RMSprop(other.parameters(), lr=3e-3), steps=300)
    long = control(longer, data.train.batches(32, trial.seed), RMSprop(longer.parameters(), lr=0.01), steps=500)
    should = loss_of(other, data.held_out)
    require(min(history.end, long) > should + 0.25, f"{history.end:.3f}, later {long:.3f}, and {should:.3f} held out")
    return Truth((), 0, 150)


SCENARIOS = (
    Scenario(
        "willow-progression-mlp",
        "mlp",
        TUNING,
        progression,
        ("wrong_output_or_loss",),
        ("loss_plateau", "underfitting", "representation_collapse", "loss_oscillation"),
    ),
    Scenario(
        "willow-pages-gnn",
        "gnn",
        TUNING,
        pages,
        ("wrong_output_or_loss",),
        ("loss_plateau", "underfitting", "lr_too_low", "overfitting", "saturation"),
    ),
    Scenario("willow-tiny-cnn", "cnn", TUNING, tiny, ("underfitting",), ("loss_plateau",)),
    Scenario("willow-prose-gru", "rnn", TUNING, prose, ("underfitting",), ("loss_plateau",)),
)
