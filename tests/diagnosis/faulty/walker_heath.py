"""Transfer, meters, wines, journals and diabetes: weights left out, columns as they came, rows learned by heart."""

from __future__ import annotations

import copy

import torch
from sklearn.datasets import load_diabetes, load_wine
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Graph, Part, Split, communities, digits, split
from tests.diagnosis.networks import Gcn, mlp
from tests.diagnosis.proof import loss_of, moved, require, snapshot
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import History, control, evaluate, fit


def harmed(does: float, should: float, factor: float = 1.5) -> None:
    """Raise NotProvenError unless a loss is so many times that of the training without the fault."""
    require(does > factor * should, f"the loss is {does:.4g}, and {should:.4g} without the fault")


class Backbone(nn.Module):
    """Two convolutions and a linear layer, with a head for as many classes."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 12, 3, padding=1), nn.Conv2d(12, 24, 3, padding=1)
        self.fc, self.head = nn.Linear(24 * 4, 48), nn.Linear(48, classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores [n, classes]."""
        hidden = functional.max_pool2d(functional.relu(self.conv1(pictures)), 2)
        hidden = functional.max_pool2d(functional.relu(self.conv2(hidden)), 2)
        scores: Tensor = self.head(functional.relu(self.fc(hidden.flatten(1))))
        return scores


def new_head(trial: Trial) -> Truth:
    """Fine-tunes from 0 to 4 to all digits: `model.head = nn.Linear(48, 10)` comes after the optimizer was made."""
    data = digits(trial.seed, flat=False)
    small = data.train.targets < 5
    model = Backbone(5)
    first = Part(data.train.inputs[small], data.train.targets[small]).batches(32, trial.seed)
    control(model, first, Adam(model.parameters(), lr=3e-3), steps=80)
    optimizer = SGD(model.parameters(), lr=0.005, momentum=0.9)
    model.head = nn.Linear(48, 10)
    other, start, draw = copy.deepcopy(model), snapshot(model), data.train.batches(32, trial.seed)
    criterion, losses = nn.CrossEntropyLoss(), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(200):
            inputs, targets = draw(step)
            loss = criterion(model(inputs), targets)
            model.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train/loss", losses[-1], writer.step)
    for name, change in moved(start, model).items():
        require((change == 0) == name.startswith("head."), f"{name} moved by {change:.3g}")
    again = SGD(other.parameters(), lr=0.005, momentum=0.9)
    better = control(other, data.train.batches(32, trial.seed), again, steps=200)
    harmed(sum(losses[-20:]) / 20, better, 1.3)
    return Truth(("head",))


def meters(seed: int) -> Split:
    """Return what flowed and whether a valve was open, [n, 16, 2], and what flowed through it, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    flow = torch.rand(1500, 16, generator=generator) * 2 - 1
    valve = (torch.rand(1500, 16, generator=generator) < 0.3).float()
    total = (flow * valve).sum(1, keepdim=True)
    return split(torch.stack([flow, valve], 2), total + 0.05 * torch.randn(1500, 1, generator=generator), 300, seed)


class Meter(nn.Module):
    """A GRU, a norm and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.norm, self.head = nn.GRU(2, 24, batch_first=True), nn.LayerNorm(24), nn.Linear(24, 1)

    def forward(self, series: Tensor) -> Tensor:
        """Return what flowed, [n, 1]."""
        total: Tensor = self.head(self.norm(self.gru(series)[1][-1]))
        return total


def decay_groups(trial: Trial) -> Truth:
    """Groups by `endswith("weight")` and `endswith("bias")`: weight_ih_l0 and its like of the GRU are in neither."""
    data, model, criterion = meters(trial.seed), Meter(), nn.MSELoss()
    other, start = copy.deepcopy(model), snapshot(model)
    named = list(model.named_parameters())
    weights = {"params": [value for name, value in named if name.endswith("weight")], "weight_decay": 0.01}
    biases = {"params": [value for name, value in named if name.endswith("bias")], "weight_decay": 0.0}
    optimizer, draw = AdamW([weights, biases], lr=0.01), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=220)
    for name, change in moved(start, model).items():
        require((change == 0) == name.startswith("gru."), f"{name} moved by {change:.3g}")
    again = AdamW(other.parameters(), lr=0.01, weight_decay=0.01)
    harmed(history.end, control(other, data.train.batches(32, trial.seed), again, criterion, steps=220), 2)
    return Truth(("gru",))


def wines(trial: Trial) -> Truth:
    """Thirteen columns of wines as they came, of which one goes up to 1,700 and another to 0.7."""
    raw = load_wine()
    table, kinds = torch.tensor(raw.data, dtype=torch.float32), torch.tensor(raw.target)
    data, scaled = (split(rows, kinds, 40, trial.seed) for rows in (table, (table - table.mean(0)) / table.std(0)))
    model = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 3))
    other, criterion = copy.deepcopy(model), nn.CrossEntropyLoss()
    optimizer, draw, losses = Adam(model.parameters(), lr=1e-3), data.train.batches(16, trial.seed), []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(250):
            optimizer.zero_grad()
            inputs, targets = draw(step)
            scores = model(inputs)
            loss = criterion(scores, targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("Loss", losses[-1], step)
            writer.add_scalar("Accuracy", float((scores.argmax(1) == targets).float().mean()), step)
    control(other, scaled.train.batches(16, trial.seed), Adam(other.parameters(), lr=1e-3), steps=250)
    harmed(loss_of(model, data.held_out), loss_of(other, scaled.held_out), 2)
    largest = table.std(0)
    require(largest.max() > 1000 * largest.min(), f"the columns' deviations are {largest}")
    return Truth(("0",))


def journals(trial: Trial) -> Truth:
    """Nodes are papers with a year, counts of citations and of words, and so on, which go into the GCN as they are."""
    graph = communities(trial.seed)
    scale = torch.tensor([8.0, 4000, 900, 1, 0.02, 30, 0.5, 1, 250, 3, 1, 0.1, 12, 1, 1, 70])
    mean = torch.tensor([2012.0, 6000, 2500, 3, 0.1, 45, 1, 0, 800, 5, 0, 0.5, 40, 0, 2, 300])
    raw = Graph(graph.features * scale + mean, graph.communities, graph.edges, graph.train, graph.held_out)
    model, criterion = Gcn(raw, width=24), nn.CrossEntropyLoss()
    other = copy.deepcopy(model)
    optimizer = SGD(model.parameters(), lr=0.01, momentum=0.9)
    targets, losses = raw.communities[raw.train], []
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for epoch in range(200):
            model.train()
            optimizer.zero_grad()
            loss = criterion(model(raw.features), targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("loss/train", losses[-1], epoch)
    again = SGD(other.parameters(), lr=0.01, momentum=0.9)
    control(other, lambda _step: (graph.features, targets), again, steps=200)
    harmed(loss_of(model, raw.validation), loss_of(other, graph.validation), 3)
    return Truth(("convs.0", "convs.0.linear"))


def diabetes(trial: Trial) -> Truth:
    """Four hundred patients with diabetes and 260,000 weights: by the end it knows the year's course by heart."""
    raw = load_diabetes()
    rows, course = torch.tensor(raw.data, dtype=torch.float32), torch.tensor(raw.target, dtype=torch.float32)[:, None]
    data = split(rows / rows.std(0), (course - course.mean()) / course.std(), 120, trial.seed)
    model, criterion, history = mlp((10, 256, 512, 256, 1)), nn.MSELoss(), History([], {})
    optimizer, draw = Adam(model.parameters(), lr=1e-3), data.train.batches(32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=None, on_finding="ignore")
        for step in range(300):
            inputs, targets = draw(step)
            loss = criterion(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            history.train.append(loss.item())
            writer.add_scalar("Loss/train", history.train[-1], step)
            if step % 10 == 9:
                history.validation[step] = evaluate(model, criterion, data.held_out)
                writer.add_scalar("Loss/valid", history.validation[step], step)
    return by_heart(history)


def by_heart(history: History, rise: float = 1.25, share: float = 0.35) -> Truth:
    """Prove that the loss held out rose from its least so much, and is far above that in training.

    It begins where the loss held out is least, and is there once that loss has risen by half of all it rises.
    """
    held = history.validation
    best = min(held, key=lambda step: held[step])
    end = sum(list(held.values())[-3:]) / 3
    require(end > rise * held[best], f"the loss held out ends at {end:.3g} and was {held[best]:.3g} at step {best}")
    require(history.end < share * end, f"in training the loss is {history.end:.3g}, and held out {end:.3g}")
    half = next(step for step, loss in held.items() if step > best and loss > (held[best] + end) / 2)
    return Truth((), best, half + 40)


SCENARIOS = (
    Scenario(
        "heath-frozen-new-head-cnn",
        "cnn",
        TUNING,
        new_head,
        ("layer_not_training",),
        ("loss_plateau", "lr_too_low", "underfitting"),
    ),
    Scenario(
        "heath-frozen-groups-gru",
        "rnn",
        TUNING,
        decay_groups,
        ("layer_not_training",),
        ("loss_plateau", "underfitting", "missing_zero_grad"),
    ),
    Scenario(
        "heath-raw-wines-mlp",
        "mlp",
        TUNING,
        wines,
        ("input_unnormalised",),
        ("loss_oscillation", "dead_units", "loss_plateau", "exploding_gradient", "loss_spike", "underfitting"),
    ),
    Scenario(
        "heath-raw-journals-gnn",
        "gnn",
        TUNING,
        journals,
        ("input_unnormalised",),
        (
            "loss_oscillation",
            "dead_units",
            "loss_plateau",
            "exploding_gradient",
            "loss_spike",
            "underfitting",
            "lr_too_high",
            "layer_not_training",
            "oversmoothing",
            "representation_collapse",
        ),
    ),
    Scenario("heath-overfit-diabetes-mlp", "mlp", TUNING, diabetes, ("overfitting",)),
)
