"""Weights that begin wrong because they were made by hand, by a function's default, or for another activation."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW

from tests.diagnosis.data import Part, communities, majorities, split
from tests.diagnosis.faulty.rates import worse
from tests.diagnosis.networks import Block, Gcn, Transformer, mlp
from tests.diagnosis.proof import loss_of, outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


class Scratch(nn.Module):
    """A linear layer as one writes it oneself to learn how it is done."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(inputs, outputs)), nn.Parameter(torch.zeros(outputs))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return [..., outputs]."""
        return inputs @ self.weight + self.bias


class FromScratch(Block):
    """A transformer block of such layers."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.attention.qkv, self.attention.out = Scratch(width, 3 * width), Scratch(width, width)  # type: ignore[assignment]
        self.up, self.down = Scratch(width, 2 * width), Scratch(2 * width, width)  # type: ignore[assignment]


def from_scratch(trial: Trial) -> Truth:
    """A transformer from scratch: its weights are `torch.randn`, and not divided by the root of their inputs."""
    data = majorities(trial.seed)
    model = Transformer(12, 3, block=FromScratch)
    model.head = Scratch(24, 3)  # type: ignore[assignment]
    layers = tuple(name for name, layer in model.named_modules() if isinstance(layer, Scratch))
    other = copy.deepcopy(model)
    for layer in other.modules():
        if isinstance(layer, Scratch):
            layer.weight.data /= math.sqrt(len(layer.weight))
    start = loss_of(model, data.train)
    require(start > 1.8 * math.log(3), f"the loss is {start:.3g} at the start")
    shares = outputs(model, "blocks.0.attention.softmax", data.train.first(64).inputs).max(-1).values.mean()
    require(float(shares) > 0.8, f"the largest share of attention is {float(shares):.2f}")
    history = fit(trial, model, data.train.batches(16), AdamW(model.parameters(), lr=1e-3), every=3, steps=150)
    worse(history.end, control(other, data.train.batches(16), AdamW(other.parameters(), lr=1e-3), steps=150), 1.3)
    return Truth(layers)


def uniform_by_default(trial: Trial) -> Truth:
    """`nn.init.uniform_` without bounds, which are then 0 and 1: all weights of a graph network are positive."""
    graph = communities(trial.seed)
    model = Gcn(graph, depth=3, width=32)
    other = copy.deepcopy(model)
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Linear)}
    for layer in layers.values():
        nn.init.uniform_(layer.weight)
    part = Part(graph.features, graph.communities[graph.train])
    scores = model(part.inputs)
    require(float(nn.functional.cross_entropy(scores, part.targets)) > 3 * math.log(4), "the loss is as it should be")
    history = fit(trial, model, graph.batches(), Adam(model.parameters(), lr=5e-3), every=2, steps=240)
    worse(history.end, control(other, graph.batches(), Adam(other.parameters(), lr=5e-3)), 3.0)
    return Truth(tuple(layers))


class Sine(nn.Module):
    """A sine of thirty times what it is given."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return numbers between −1 and 1."""
        return torch.sin(30 * inputs)


def sines_without_their_start(trial: Trial) -> Truth:
    """A network of sines that is to hold a sound, with weights as torch begins them, thirtyfold: all is noise."""
    generator = torch.Generator().manual_seed(trial.seed)
    times = 2 * torch.rand(1200, 1, generator=generator) - 1
    tones = torch.rand(5, generator=generator) * 25 + 5
    heights = torch.sin(times * tones + 6 * torch.rand(5, generator=generator)).sum(1, keepdim=True) / math.sqrt(2.5)
    data, model, criterion = split(times, heights, 300, trial.seed), mlp((1, 48, 48, 48, 1), Sine), nn.MSELoss()
    other = copy.deepcopy(model)
    for layer in (other.fc2, other.fc3, other.head):
        bound = math.sqrt(6 / 48) / 30
        nn.init.uniform_(layer.weight, -bound, bound)
    wide = float(outputs(model, "fc3", data.train.inputs).std()), float(outputs(other, "fc3", data.train.inputs).std())
    require(wide[0] > 3 * wide[1], f"what goes into the third sine has deviations {wide}")
    optimizer = Adam(model.parameters(), lr=1e-3)
    fit(trial, model, data.train.batches(64), optimizer, criterion, validation=data.held_out, steps=240)
    control(other, data.train.batches(64), Adam(other.parameters(), lr=1e-3), criterion)
    worse(loss_of(model, data.held_out, criterion), loss_of(other, data.held_out, criterion), 3.0)
    return Truth(("fc2", "fc3"))


_START = ("poor_init",)
_SINES = ("exploding_gradient", "loss_plateau", "underfitting")

SCENARIOS = (
    Scenario("start-scratch-transformer", "transformer", TUNING, from_scratch, _START, ("saturation",)),
    Scenario("start-positive-gcn", "gnn", TUNING, uniform_by_default, _START, ("redundant_units",)),
    Scenario("start-sines-mlp", "mlp", TUNING, sines_without_their_start, _START, _SINES),
)
