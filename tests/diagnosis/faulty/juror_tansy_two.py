"""Layers with nothing between them, and rare classes that nobody hears of: spirals, sensors, frauds and tags."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, RMSprop

from tests.diagnosis.data import Part, split
from tests.diagnosis.networks import Transformer, mlp
from tests.diagnosis.proof import double, loss_of, require, widened
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


class Net(nn.Module):
    """Three linear layers, with a dropout between; `relu` says whether what was made is applied as well."""

    def __init__(self, *, relu: bool) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(2, 64), nn.Linear(64, 64), nn.Linear(64, 3)
        self.dropout, self.relu = nn.Dropout(0.05), relu

    def forward(self, points: Tensor) -> Tensor:
        """Return scores [n, 3]."""
        hidden = self.fc1(points)
        if self.relu:
            hidden = functional.relu(hidden)
        hidden = self.fc2(self.dropout(hidden))
        if self.relu:
            hidden = functional.relu(hidden)
        scores: Tensor = self.fc3(hidden)
        return scores


def spirals(trial: Trial) -> Truth:
    """Three spirals in the plane, by linear layers whose forward pass calls no activation."""
    torch.manual_seed(100 + trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    arms = torch.randint(3, (1500,), generator=generator)
    radius = torch.rand(1500, generator=generator)
    angle = 4 * radius + arms * (2 * math.pi / 3) + 0.15 * torch.randn(1500, generator=generator)
    points = 2 * radius[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
    data, model, right = split(points, arms, 300, trial.seed), Net(relu=False), Net(relu=True)
    right.load_state_dict(model.state_dict())
    criterion, losses = nn.CrossEntropyLoss(), []
    optimizer, draw = AdamW(model.parameters(), lr=5e-3), data.train.batches(64, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(300):
            inputs, targets = draw(step)
            optimizer.zero_grad()
            scores = model(inputs)
            loss = criterion(scores, targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("loss/train", losses[-1], writer.step)
            writer.add_scalar("acc/train", float((scores.argmax(1) == targets).float().mean()), writer.step)
            if step % 25 == 24:
                writer.add_scalar("loss/val", evaluate(model, criterion, data.held_out), writer.step)
    straight(model, points)
    better = control(right, data.train.batches(64, trial.seed), AdamW(right.parameters(), lr=5e-3), steps=300)
    end = sum(losses[-30:]) / 30
    require(end > 2 * better, f"the loss is {end:.3g}, and could be {better:.3g}")
    return Truth(("fc1", "fc2", "fc3"))


def straight(model: nn.Module, inputs: Tensor) -> None:
    """Raise NotProvenError unless a network is affine: what it makes of a mean is the mean of what it makes."""
    precise, generator = double(model).eval(), torch.Generator().manual_seed(1)
    one, two = (inputs[torch.randint(len(inputs), (64,), generator=generator)].double() for _ in range(2))
    with torch.no_grad():
        apart = precise(0.5 * (one + two)) - 0.5 * (precise(one) + precise(two))
        require(float(apart.abs().max()) < 1e-9 * float(precise(one).abs().max()), "it is not affine")


class Neighbours(nn.Module):
    """Adds a linear layer of a node to another of its neighbours' mean, over one graph."""

    def __init__(self, edges: Tensor, inputs: int, outputs: int) -> None:
        super().__init__()
        self.register_buffer("edges", edges / edges.sum(1, keepdim=True), persistent=False)
        self.own, self.near = nn.Linear(inputs, outputs), nn.Linear(inputs, outputs, bias=False)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return [n, nodes, outputs]."""
        made: Tensor = self.own(nodes) + self.near(self.edges @ nodes)
        return made


class Sensors(nn.Module):
    """Three graph convolutions; says of each sensor how far it is off its neighbours."""

    def __init__(self, edges: Tensor, *, relu: bool) -> None:
        super().__init__()
        self.conv1, self.conv2 = Neighbours(edges, 3, 24), Neighbours(edges, 24, 24)
        self.conv3, self.relu = Neighbours(edges, 24, 1), relu

    def forward(self, nodes: Tensor) -> Tensor:
        """Return [n, nodes, 1]."""
        for conv in (self.conv1, self.conv2):
            nodes = conv(nodes)
            if self.relu:
                nodes = functional.relu(nodes)
        told: Tensor = self.conv3(nodes)
        return told


def sensors(trial: Trial) -> Truth:
    """How far a sensor's reading is off what its neighbours say, either way: graph convolutions put in a row."""
    torch.manual_seed(100 + trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    upper = (torch.rand(40, 40, generator=generator) < 0.12).float().triu(1)
    edges = upper + upper.T
    edges[torch.arange(40), (torch.arange(40) + 1) % 40] = 1
    readings = torch.randn(700, 40, 3, generator=generator)
    off = (readings - (edges / edges.sum(1, keepdim=True)) @ readings)[..., :2].abs().sum(2, keepdim=True)
    data, criterion = split(readings, (off - off.mean()) / off.std(), 100, trial.seed), nn.MSELoss()
    model, right = Sensors(edges, relu=False), Sensors(edges, relu=True)
    right.load_state_dict(model.state_dict())
    optimizer, draw = RMSprop(model.parameters(), lr=2e-3), data.train.batches(8, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=240)
    straight(model, readings)
    better = control(right, data.train.batches(8, trial.seed), RMSprop(right.parameters(), lr=2e-3), criterion)
    require(history.end > 3 * better, f"the loss is {history.end:.3g}, and could be {better:.3g}")
    names = [name for name, _ in model.named_modules() if name]
    return Truth(tuple(names))


def recalls(model: nn.Module, part: Part, classes: int) -> list[float]:
    """Return by class the share of its members that a classifier finds."""
    precise = double(model).eval()
    with torch.no_grad():
        given = precise(widened(part.inputs)).argmax(1)
    return [float((given[part.targets == one] == one).double().mean()) for one in range(classes)]


def frauds(trial: Trial) -> Truth:
    """Payments, of which one in forty is a fraud: the accuracy is 97 % within a few steps, and no fraud is found."""
    torch.manual_seed(100 + trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    rows, kind = torch.randn(5000, 12, generator=generator), torch.rand(5000, generator=generator) < 0.025
    rows[kind] += 0.7 * torch.tensor([1.0, -1.0, 1.0, 0.8, -0.8, 0.6, *[0.0] * 6])
    data, model = split(rows, kind.long(), 1500, trial.seed), mlp((12, 32, 16, 2))
    other, criterion = copy.deepcopy(model), nn.CrossEntropyLoss()
    optimizer, draw = SGD(model.parameters(), lr=0.05, momentum=0.9), data.train.batches(64, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(240):
            inputs, targets = draw(step)
            scores = model(inputs)
            loss = criterion(scores, targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("train_loss", loss.item(), writer.step)
            writer.add_scalar("train_accuracy", float((scores.argmax(1) == targets).float().mean()), writer.step)
    weights = torch.tensor([1.0, 39.0])
    rate = SGD(other.parameters(), lr=0.01, momentum=0.9)
    control(other, data.train.batches(64, trial.seed), rate, nn.CrossEntropyLoss(weights), steps=240)
    ignored(recalls(model, data.held_out, 2), recalls(other, data.held_out, 2), 0.68)
    return Truth()


def ignored(found: list[float], weighed: list[float], least: float) -> None:
    """Raise NotProvenError unless the rare classes are missed, and weights bring the mean recall to `least`."""
    require(max(found[1:]) < 0.15, f"of the rare {found[1:]} are found")
    mean = sum(weighed) / len(weighed)
    require(mean > least and min(weighed[1:]) > 0.4, f"with weights {weighed} are found")


def tags(trial: Trial) -> Truth:
    """Names of two kinds in sentences, three words in a hundred: a transformer that calls every word none."""
    torch.manual_seed(100 + trial.seed)
    generator = torch.Generator().manual_seed(trial.seed)
    words = torch.randint(30, (1600, 20), generator=generator)
    before = functional.pad(words[:, :-1], (1, 0), value=29)
    chance = torch.rand(1600, 20, generator=generator)
    kind = (before == 0).long() + 2 * (before == 1).long()
    kind = kind * (chance < 0.42)
    data, model = split(words, kind, 300, trial.seed), Transformer(30, 3, length=20, each=True)
    other = copy.deepcopy(model)
    optimizer, draw = Adam(model.parameters(), lr=2e-3), data.train.batches(24, trial.seed)
    fit(trial, model, draw, optimizer, validation=data.held_out, every=None, steps=220)
    weights = torch.tensor([1.0, 40.0, 40.0])
    rate = Adam(other.parameters(), lr=2e-3)

    def criterion(scores: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(scores, targets, weights.to(scores))

    control(other, data.train.batches(24, trial.seed), rate, criterion, steps=220)
    ignored(recalls(model, data.held_out, 3), recalls(other, data.held_out, 3), 0.8)
    worse, better = (loss_of(one, data.held_out, criterion) for one in (model, other))
    require(worse > 2 * better, f"the weighted loss is {worse:.3g}, and could be {better:.3g}")
    return Truth()


SCENARIOS = (
    Scenario("tansy-spirals-mlp", "mlp", TUNING, spirals, ("missing_nonlinearity",), ("underfitting", "loss_plateau")),
    Scenario("tansy-sensors-gnn", "gnn", TUNING, sensors, ("missing_nonlinearity",), ("underfitting", "loss_plateau")),
    Scenario("tansy-frauds-mlp", "mlp", TUNING, frauds, ("class_imbalance",), ("loss_plateau",)),
    Scenario("tansy-tags-transformer", "transformer", TUNING, tags, ("class_imbalance",), ("loss_plateau",)),
)
