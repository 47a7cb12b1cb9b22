"""Gradients that fade or burst, rates of the wrong size at some time or in some place, and gradients that are kept."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import CyclicLR, LambdaLR

from tests.diagnosis.data import Part, communities, digits, first_tokens, majorities, patients
from tests.diagnosis.faulty.gradients import burst, starved
from tests.diagnosis.faulty.losses import flat, jumps
from tests.diagnosis.faulty.rates import heaped_up, worse
from tests.diagnosis.networks import Gcn, Recurrent, Residual, Transformer, cnn, mlp
from tests.diagnosis.proof import finite, gradients, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import History, control, fit


def read_after_padding(trial: Trial) -> Truth:
    """The state behind 44 places of padding is read: words in front of it have no influence, and no gradient."""
    data = majorities(trial.seed)
    padded = Part(nn.functional.pad(data.train.inputs + 1, (0, 44)), data.train.targets)
    model = Recurrent(nn.RNN, 3, inputs=12, tokens=13)
    model.embed = nn.Embedding(13, 12, padding_idx=0)
    history = fit(trial, model, padded.batches(32), Adam(model.parameters(), lr=1e-3), steps=180)
    sizes = gradients(model, padded.first(256))
    require(sizes["embed.weight"] < 1e-5 * sizes["head.weight"], f"the gradient arrives: {sizes}")
    require(sizes["rnn.weight_ih_l0"] < 1e-5 * sizes["head.weight"], f"the gradient arrives: {sizes}")
    shares = torch.bincount(padded.targets).double() / len(padded.targets)
    flat(history, float(-(shares * shares.log()).sum()))
    return Truth(("embed", "rnn"))


def divided_twice(trial: Trial) -> Truth:
    """Edges are divided by the degree, and then the sum over them is again: each of six layers whispers."""
    graph = communities(trial.seed)
    model = Gcn(graph, depth=6, activation=nn.Tanh)
    friends = (graph.edges > 0).float()
    for conv in model.convs:
        conv.edges = friends / friends.sum(1, keepdim=True) ** 2
    fit(trial, model, graph.batches(), SGD(model.parameters(), lr=0.1, momentum=0.9), every=2, steps=300)
    return Truth(starved(model, Part(graph.features, graph.communities[graph.train])))


class Identical(nn.Module):
    """A recurrent network of ReLUs whose recurrent weights begin as the identity."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.RNN(4, 24, batch_first=True, nonlinearity="relu"), nn.Linear(24, 4)
        nn.init.eye_(self.rnn.weight_hh_l0)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the scores after the last place."""
        scores: Tensor = self.head(self.rnn(inputs)[0][:, -1])
        return scores


def longer_sequences(trial: Trial) -> Truth:
    """Training begins with sequences of 6; from step 120 on they have 50, over which the gradient bursts."""
    short, long = (first_tokens(trial.seed, length=length).train for length in (6, 50))
    model = Identical()
    before, after = short.batches(32), long.batches(32)

    sizes: list[float] = []

    def look(step: int) -> None:
        if step in (120, 239):
            sizes.extend(sum(gradients(model, part.first(128)).values()) for part in (short, long))

    def batches(step: int) -> tuple[Tensor, Tensor]:
        return (after if step >= 120 else before)(step)

    fit(trial, model, batches, Adam(model.parameters(), lr=1e-3), before=look, steps=240)
    finite(model)
    require(min(sizes[1], sizes[3]) > 300 * sizes[0], f"gradients of short and long sequences are {sizes}")
    return Truth(("rnn", "head"), 120)


def deep_pictures(gain: float, depth: int = 7) -> nn.Sequential:
    """Return residual convolutions without normalisation."""

    def conv(inputs: int) -> nn.Conv2d:
        layer = nn.Conv2d(inputs, 8, 3, padding=1)
        nn.init.kaiming_normal_(layer.weight)
        return layer

    blocks = [Residual(nn.Sequential(conv(8), nn.ReLU(), conv(8)), scale=gain) for _ in range(depth)]
    return nn.Sequential(conv(1), *blocks, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 10))


def norms_taken_out(trial: Trial) -> Truth:
    """Someone took the norms out of a residual network, and the rate down to a ten-millionth to keep it finite."""
    data = digits(trial.seed, flat=False)
    model = deep_pictures(2.0)
    burst(model, deep_pictures(0.3), data.train.first(96))
    fit(trial, model, data.train.batches(16), SGD(model.parameters(), lr=1e-8), every=2, steps=150)
    return Truth(tuple(name for name, layer in model.named_modules() if isinstance(layer, (nn.Conv2d, nn.Linear))))


def summed_and_clipped(trial: Trial) -> Truth:
    """The loss is the sum over a batch, and its gradient clipped to 0.1 as in the paper, which had the mean."""
    data = digits(trial.seed, flat=False)
    model, criterion = cnn((8, 16), norm=False), nn.CrossEntropyLoss(reduction="sum")
    other = copy.deepcopy(model)
    draws = data.train.batches(48), data.train.batches(48)
    history = fit(trial, model, draws[0], SGD(model.parameters(), lr=2e-3), criterion, clip=0.1, steps=160)
    better = control(other, draws[1], SGD(other.parameters(), lr=2e-3), criterion, clip=50.0, steps=160)
    sizes = gradients(model, data.train.first(48), criterion)
    total = sum(value.numel() * sizes[name] ** 2 for name, value in model.named_parameters()) ** 0.5
    require(total > 1, f"the norm of the gradient is {total:.3g}, ten times which is not clipped")
    worse(history.end, better, 1.3)
    return Truth()


def forgotten_once_an_epoch(trial: Trial) -> Truth:
    """`zero_grad` stands in the loop over epochs, and not in that over batches, of which there are forty."""
    data = majorities(trial.seed)
    model = Recurrent(nn.LSTM, 3, inputs=12, tokens=12)
    optimizer = SGD(model.parameters(), lr=0.02)

    def begin(step: int) -> None:
        if step % 40 == 0:
            optimizer.zero_grad()

    fit(trial, model, data.train.batches(32), optimizer, forget=False, before=begin, steps=240)
    heaped_up(model, data.train.first(512))
    return Truth()


def head_at_eight(trial: Trial) -> Truth:
    """Two groups of parameters: the body at 0.05, and the head, which was to get 0.08, at 8."""
    data = patients(trial.seed)
    model, criterion = mlp((30, 32, 32, 1), nn.Tanh), nn.BCEWithLogitsLoss()
    other = copy.deepcopy(model)
    groups = [
        {"params": [value for name, value in model.named_parameters() if not name.startswith("head")]},
        {"params": model.head.parameters(), "lr": 8.0},
    ]
    optimizer = SGD(groups, lr=0.05, momentum=0.9)
    history = fit(trial, model, data.train.batches(32), optimizer, criterion, validation=data.held_out)
    better = control(other, data.train.batches(32), SGD(other.parameters(), lr=0.05, momentum=0.9), criterion)
    worse(history.end, better)
    return Truth(("head",))


def unfrozen_at_the_same_rate(trial: Trial) -> Truth:
    """Of convolutions that know pictures the head is trained first; at step 100 all are, at the rate of the head."""
    data = digits(trial.seed, flat=False)
    model = cnn((8, 16), nn.Tanh, norm=False)
    control(model, data.train.batches(48), Adam(model.parameters(), lr=3e-3), steps=80)
    body = [value for name, value in model.named_parameters() if not name.startswith("head")]
    for value in body:
        value.requires_grad_(False)
    model.head.reset_parameters()
    optimizer = SGD(model.head.parameters(), lr=1.0, momentum=0.9)

    def unfreeze(step: int) -> None:
        if step == 100:
            for value in body:
                value.requires_grad_(True)
            optimizer.add_param_group({"params": body})

    history = fit(trial, model, data.train.batches(48), optimizer, before=unfreeze, steps=220)
    worse(history.end, float(np.mean(history.train[70:100])), 3.0)
    return Truth((), 100)


def endless_warm_up(trial: Trial) -> Truth:
    """A warm-up of 200,000 steps, which were meant to be samples, before a training of 150."""
    data = majorities(trial.seed)
    model = Transformer(12, 3)
    other = copy.deepcopy(model)
    optimizer = AdamW(model.parameters(), lr=2e-3)
    rise = LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 200_000))
    history = fit(trial, model, data.train.batches(32), optimizer, schedule=rise, every=2, steps=150)
    worse(history.end, control(other, data.train.batches(32), AdamW(other.parameters(), lr=2e-3), steps=150), 1.5)
    return Truth((), 0, 75)


def tidal(history: History, period: int) -> None:
    """Raise NotProvenError unless the loss goes up and down by a factor of two in each of the later periods."""
    for start in range(len(history.train) // period // 2 * period, len(history.train) - period + 1, period):
        means = np.convolve(history.train[start : start + period], np.ones(8) / 8, "valid")
        require(means.max() > 2 * means.min(), f"from {start} on it goes from {means.min():.3g} to {means.max():.3g}")


def cycles_too_high(trial: Trial) -> Truth:
    """A rate in cycles whose top is far too high: what is learned in the valleys is lost on each top."""
    data = majorities(trial.seed)
    model = Transformer(12, 3)
    optimizer = SGD(model.parameters(), lr=0.05)
    cycles = CyclicLR(optimizer, base_lr=0.05, max_lr=4.0, step_size_up=25, cycle_momentum=False)
    history = fit(trial, model, data.train.batches(32), optimizer, schedule=cycles, clip=1.0, every=2, steps=300)
    tidal(history, 50)
    return Truth((), 10, 75)


class Sums(nn.Module):
    """Adds up over neighbours twice, and then over all of a graph; gets features beside edges, [n, 12, 4 + 12]."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(4, 24), nn.Linear(24, 24), nn.Linear(24, 3)

    def forward(self, graphs: Tensor) -> Tensor:
        """Return scores [n, 3]."""
        nodes, edges = graphs[..., :4], graphs[..., 4:]
        nodes = self.first(edges @ nodes).relu()
        nodes = self.second(edges @ nodes).relu()
        scores: Tensor = self.head(nodes.mean(1))
        return scores


def small_graphs(seed: int, count: int = 1000) -> Part:
    """Return graphs of twelve nodes, features beside edges, and how densely they are joined, of three ways."""
    generator = torch.Generator().manual_seed(seed)
    ways = torch.randint(3, (count,), generator=generator)
    upper = torch.rand(count, 12, 12, generator=generator) < (0.15 + 0.2 * ways)[:, None, None]
    edges = upper.triu(1).float()
    features = torch.rand(count, 12, 4, generator=generator)
    return Part(torch.cat([features, edges + edges.mT + torch.eye(12)], 2), ways)


def edges_counted_twice(trial: Trial) -> Truth:
    """The edges of the graphs of one batch, at step 140, were read fifty times over."""
    data, model = small_graphs(trial.seed), Sums()
    draw = data.batches(32)

    def batches(step: int) -> tuple[Tensor, Tensor]:
        graphs, ways = draw(step)
        if step == 140:
            graphs[..., 4:] *= 50
        return graphs, ways

    history = fit(trial, model, batches, Adam(model.parameters(), lr=3e-3), clip=1.0, steps=260)
    return jumps(history, 140)


_VANISHING, _EXPLODING = ("vanishing_gradient",), ("exploding_gradient",)

SCENARIOS = (
    Scenario("vanishing-padding-rnn", "rnn", TUNING, read_after_padding, _VANISHING, ("loss_plateau",)),
    Scenario("vanishing-divided-gcn", "gnn", TUNING, divided_twice, _VANISHING),
    Scenario("exploding-longer-rnn", "rnn", TUNING, longer_sequences, _EXPLODING, ("loss_spike",)),
    Scenario("exploding-normless-cnn", "cnn", TUNING, norms_taken_out, ("exploding_gradient", "poor_init")),
    Scenario("clipped-summed-cnn", "cnn", TUNING, summed_and_clipped, ("clip_saturated",)),
    Scenario("kept-epoch-lstm", "rnn", TUNING, forgotten_once_an_epoch, ("missing_zero_grad",)),
    Scenario("high-head-mlp", "mlp", TUNING, head_at_eight, ("lr_too_high",)),
    Scenario("high-unfrozen-cnn", "cnn", TUNING, unfrozen_at_the_same_rate, ("lr_too_high",), ("loss_spike",)),
    Scenario("low-warm-up-transformer", "transformer", TUNING, endless_warm_up, ("lr_too_low",)),
    Scenario(
        "swings-cycles-transformer",
        "transformer",
        TUNING,
        cycles_too_high,
        ("loss_oscillation", "lr_too_high"),
        ("loss_spike",),
    ),
    Scenario("jumps-edges-gnn", "gnn", TUNING, edges_counted_twice, ("loss_spike",)),
)
