"""Rates that are too low, and losses that swing."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import ExponentialLR

from tests.diagnosis.data import Part, communities, digits, split
from tests.diagnosis.networks import GraphConvolution, Recurrent, cnn, mlp
from tests.diagnosis.proof import accuracy, moved, require, snapshot
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


def copied_rate(trial: Trial) -> Truth:
    """A rate of 1e-5, copied from a recipe for fine-tuning, for a small convolutional network that begins anew."""
    data, model = digits(trial.seed, flat=False), cnn()
    other, before = copy.deepcopy(model), snapshot(model)
    optimizer, draw = AdamW(model.parameters(), lr=1e-5, weight_decay=0.01), data.train.batches(64, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, steps=240, every=2)
    better = control(other, data.train.batches(64, trial.seed), AdamW(other.parameters(), lr=3e-3), steps=240)
    require(better < 0.3 * history.end, f"the loss is {history.end:.3g}, and could be {better:.3g}")
    should, does = accuracy(other, data.held_out), accuracy(model, data.held_out)
    require(does < should - 0.2, f"{does:.3f} is not below {should:.3f}")
    require(max(moved(before, model).values()) < 3e-3, "a weight moved far")
    return Truth()


def waves(seed: int, count: int = 1500) -> Part:
    """Return two sines together over 24 moments, [n, 24, 1], and what comes next, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    pitch = 0.2 + 0.6 * torch.rand(count, 1, 2, generator=generator)
    phase = 6.3 * torch.rand(count, 1, 2, generator=generator)
    series = torch.sin(pitch * torch.arange(25.0)[:, None] + phase).sum(2, keepdim=True)
    return Part(series[:, :24], series[:, 24])


def every_batch(trial: Trial) -> Truth:
    """`scheduler.step()` of an ExponentialLR stands in the loop over batches, not epochs: soon there is no rate."""
    part, criterion = waves(trial.seed), nn.MSELoss()
    data, model = split(part.inputs, part.targets, 300, trial.seed), Recurrent(nn.GRU, 1, inputs=1, hidden=32)
    other = copy.deepcopy(model)
    optimizer, draw = Adam(model.parameters(), lr=2e-3), data.train.batches(40, trial.seed)
    scheduler, losses = ExponentialLR(optimizer, gamma=0.9), []
    after: dict[str, Tensor] = {}
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for _epoch in range(8):
            for step in range(30):
                series, following = draw(step)
                optimizer.zero_grad()
                loss = criterion(model(series), following)
                loss.backward()
                optimizer.step()
                scheduler.step()
                losses.append(loss.item())
                writer.add_scalar("train/loss", losses[-1], writer.step)
            writer.add_scalar("val/loss", evaluate(model, criterion, data.held_out), writer.step)
            writer.add_scalar("lr", scheduler.get_last_lr()[0], writer.step)
            after = after or snapshot(model)
    optimizer = Adam(other.parameters(), lr=2e-3)
    better = control(other, data.train.batches(40, trial.seed), optimizer, criterion, steps=240)
    end = sum(losses[-24:]) / 24
    require(better < 0.5 * end, f"the loss is {end:.3g}, and could be {better:.3g}")
    require(max(moved(after, model).values()) < 2e-3, "a weight moved far after the first epoch")
    return Truth((), 10, 60)


def sorted_rows(trial: Trial) -> Truth:
    """Rows are sorted by their class and not shuffled: each batch holds one digit, and unlearns the one before it."""
    train = digits(trial.seed).train
    order = train.targets.argsort(stable=True)
    rows, classes = train.inputs[order], train.targets[order]
    held_out = digits(trial.seed).held_out
    model, criterion, losses = mlp((64, 48, 48, 10)), nn.CrossEntropyLoss(), []
    other, optimizer = copy.deepcopy(model), SGD(model.parameters(), lr=0.1)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for _epoch in range(7):
            for at in range(0, len(rows), 36):
                optimizer.zero_grad()
                loss = criterion(model(rows[at : at + 36]), classes[at : at + 36])
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
                writer.add_scalar("Loss/train", losses[-1], writer.step)
    optimizer = SGD(other.parameters(), lr=0.1)
    control(other, train.batches(36, trial.seed), optimizer, steps=len(losses))
    should, does = accuracy(other, held_out), accuracy(model, held_out)
    require(does < should - 0.3, f"{does:.3f} is not below {should:.3f}")
    swinging(losses, 40, 0.8)
    return Truth((), 0, 80)


def swinging(losses: list[float], least: int, height: float) -> None:
    """Raise NotProvenError unless the loss turns so often, each time after so great a way up or down."""
    turns, low, high, up = 0, losses[0], losses[0], True
    for loss in losses:
        low, high = min(low, loss), max(high, loss)
        if (high - loss if up else loss - low) > height:
            turns, up, low, high = turns + 1, not up, loss, loss
    require(turns >= least, f"the loss turned {turns} times")


class Stations(nn.Module):
    """Two graph convolutions that say a number for each node."""

    def __init__(self, edges: Tensor) -> None:
        super().__init__()
        self.conv1, self.conv2 = GraphConvolution(edges, 16, 32), GraphConvolution(edges, 32, 32)
        self.head = nn.Linear(32, 1)

    def forward(self, nodes: Tensor) -> Tensor:
        """Return [nodes, 1]."""
        hidden = torch.tanh(self.conv2(torch.tanh(self.conv1(nodes))))
        made: Tensor = self.head(hidden)
        return made


def heavy_ball(trial: Trial) -> Truth:
    """Momentum of 0.997 over a whole graph: the weights roll past the valley, and the loss swings to and fro."""
    graph = communities(trial.seed, count=5, size=40)
    level = torch.randn(5, generator=torch.Generator().manual_seed(trial.seed))[graph.communities]
    load = (graph.features[:, :3].sum(1) + 2 * level)[:, None]
    load = 3 + (load - load.mean()) / load.std()
    model, criterion, losses = Stations(graph.edges), nn.MSELoss(), []
    other, optimizer = copy.deepcopy(model), SGD(model.parameters(), lr=0.05, momentum=0.997)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for _step in range(300):
            optimizer.zero_grad()
            loss = criterion(model(graph.features), load)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("loss", losses[-1], writer.step)
    optimizer = SGD(other.parameters(), lr=0.02, momentum=0.9)
    better = control(other, lambda _step: (graph.features, load), optimizer, criterion, steps=300)
    end = sum(losses[-60:]) / 60
    require(better < 0.75 * end, f"the loss is {end:.3g}, and could be {better:.3g}")
    swinging(losses, 12, 0.2)
    return Truth((), 0, 60)


SCENARIOS = (
    Scenario(
        "juniper-copied-rate-cnn",
        "cnn",
        TUNING,
        copied_rate,
        ("lr_too_low",),
        ("loss_plateau", "underfitting", "layer_not_training"),
    ),
    Scenario(
        "juniper-every-batch-gru",
        "rnn",
        TUNING,
        every_batch,
        ("lr_too_low",),
        ("loss_plateau", "layer_not_training", "underfitting"),
    ),
    Scenario(
        "juniper-sorted-rows-mlp",
        "mlp",
        TUNING,
        sorted_rows,
        ("loss_oscillation",),
        ("loss_spike", "lr_too_high", "exploding_gradient", "dead_units"),
    ),
    Scenario(
        "juniper-heavy-ball-gnn",
        "gnn",
        TUNING,
        heavy_ball,
        ("loss_oscillation", "lr_too_high"),
        ("loss_spike", "saturation", "poor_init"),
    ),
)
