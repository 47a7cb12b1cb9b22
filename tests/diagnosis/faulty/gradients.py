"""Gradients that vanish, explode, or are no numbers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import SGD

from tests.diagnosis.data import Part, communities, digits, first_tokens, majorities
from tests.diagnosis.networks import Block, Gcn, Residual, Transformer, cnn, deep
from tests.diagnosis.proof import gradients, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import fit

FALL = 1e-4
"""How much smaller the gradient of a starved layer is at least than that of the last."""


def starved(model: nn.Module, part: Part, fall: float = FALL) -> tuple[str, ...]:
    """Return the layers with weights whose gradient is that much smaller than the last one's; raise without any."""
    weights = [(name, size) for name, size in gradients(model, part).items() if name.endswith(".weight")]
    small = tuple(name.removesuffix(".weight") for name, size in weights if size < fall * weights[-1][1])
    require(small and weights[0][1] < fall * weights[-1][1], f"the gradient does not fall: {weights}")
    return small


def deep_sigmoid(trial: Trial) -> Truth:
    """Each sigmoid shrinks the gradient at least fourfold."""
    data = digits(trial.seed)
    model = deep(12, 32, nn.Sigmoid)
    fit(trial, model, data.train.batches(64), SGD(model.parameters(), lr=0.1, momentum=0.9))
    return Truth(starved(model, data.train))


def deep_small_tanh(trial: Trial) -> Truth:
    """Fifteen layers of tanh whose weights are half as large as they had to be."""
    data = digits(trial.seed)
    model = deep(15, 32, nn.Tanh)
    for layer in model:
        if isinstance(layer, nn.Linear) and layer.in_features == 32:
            nn.init.normal_(layer.weight, std=0.4 * 32**-0.5)
    narrow = starved(model, data.train)
    fit(trial, model, data.train.batches(64), SGD(model.parameters(), lr=0.05))
    return Truth(narrow)


def sigmoid_cnn(trial: Trial) -> Truth:
    """Eight convolutions with sigmoids and no normalisation."""
    data = digits(trial.seed, flat=False)
    model = cnn((6,) * 8, nn.Sigmoid, norm=False)
    fit(trial, model, data.train.batches(32), SGD(model.parameters(), lr=0.1, momentum=0.9), steps=200)
    return Truth(starved(model, data.train.first(256)))


def sigmoid_gcn(trial: Trial) -> Truth:
    """Ten graph convolutions with sigmoids."""
    graph = communities(trial.seed)
    model = Gcn(graph, depth=10, activation=nn.Sigmoid)
    fit(trial, model, graph.batches(), SGD(model.parameters(), lr=0.1, momentum=0.9))
    return Truth(starved(model, Part(graph.features, graph.communities[graph.train])))


class Dammed(Block):
    """A transformer block that lacks its residual connections and norms, and squashes what it lets through."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        del self.norm1, self.norm2

    def forward(self, inputs: Tensor) -> Tensor:
        """Return what the two linear layers make of what attention makes."""
        hidden = self.attention(inputs)
        passed: Tensor = torch.sigmoid(self.down(self.act(self.up(hidden))))
        return passed


def transformer_without_residuals(trial: Trial) -> Truth:
    """Four blocks without residual connections nor normalisation."""
    data = majorities(trial.seed)
    model = Transformer(12, 3, depth=5, block=Dammed)
    fit(trial, model, data.train.batches(32), SGD(model.parameters(), lr=0.05), steps=200)
    return Truth(starved(model, data.train.first(256)))


def stacked_rnn(trial: Trial) -> Truth:
    """Recurrent layers one upon another that are joined by sigmoids of small weights."""
    data = first_tokens(trial.seed, length=6)
    model = StackedRnn()
    fit(trial, model, data.train.batches(32), SGD(model.parameters(), lr=0.1), steps=250)
    precise = gradients(model, data.train.first(256))
    sizes = [precise[f"cells.{at}.weight_ih_l0"] for at in range(5)]
    require(sizes[0] < 1e-3 * sizes[-1], f"the gradient does not fall: {sizes}")
    return Truth(tuple(f"cells.{at}" for at in range(4) if sizes[at] < 1e-2 * sizes[-1]))


class StackedRnn(nn.Module):
    """Five recurrent layers with a sigmoid after each."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.ModuleList(nn.RNN(4 if not at else 16, 16, batch_first=True) for at in range(5))
        self.acts = nn.ModuleList(nn.Sigmoid() for _ in range(5))
        self.head = nn.Linear(16, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the scores after the last place."""
        for cell, act in zip(self.cells, self.acts, strict=True):
            inputs = act(0.5 * cell(inputs)[0])
        scores: Tensor = self.head(inputs[:, -1])
        return scores


def burst(model: nn.Module, healthy: nn.Module, part: Part, factor: float = 300.0) -> None:
    """Raise NotProvenError unless the gradient is far larger than that of the same network without the fault."""
    sizes, others = gradients(model, part), gradients(healthy, part)
    ratio = max(sizes.values()) / max(others.values())
    require(ratio > factor, f"the gradient is only {ratio:.3g} times that of the healthy network")


def exploding_rnn(trial: Trial) -> Truth:
    """Recurrent weights 1.6 times as large as orthogonal ones, over forty places, with a ReLU."""
    data = first_tokens(trial.seed, length=40)
    model, healthy = RecurrentReLU(1.6), RecurrentReLU(1.0)
    burst(model, healthy, data.train.first(256))
    fit(trial, model, data.train.batches(32), SGD(model.parameters(), lr=1e-7), steps=200)
    return Truth(("rnn",))


class RecurrentReLU(nn.Module):
    """A recurrent network with ReLUs whose recurrent weights are orthogonal, times a factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.rnn, self.head = nn.RNN(4, 24, batch_first=True, nonlinearity="relu"), nn.Linear(24, 4)
        nn.init.orthogonal_(self.rnn.weight_hh_l0, gain=factor)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the scores after the last place."""
        scores: Tensor = self.head(self.rnn(inputs)[0][:, -1])
        return scores


def residuals(scale: float, depth: int = 12) -> nn.Sequential:
    """Return residual blocks without normalisation."""
    blocks = [
        Residual(nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32)), scale=scale) for _ in range(depth)
    ]
    return nn.Sequential(nn.Linear(64, 32), *blocks, nn.Linear(32, 10))


def exploding_residuals(trial: Trial) -> Truth:
    """Twelve residual blocks without normalisation, whose parts are multiplied by 8."""
    data = digits(trial.seed)
    model = residuals(8.0)
    burst(model, residuals(0.5), data.train)
    fit(trial, model, data.train.batches(64), SGD(model.parameters(), lr=1e-9))
    return Truth(tuple(name for name, layer in model.named_modules() if isinstance(layer, nn.Linear)))


def exploding_sums(trial: Trial) -> Truth:
    """A graph network that adds up over neighbours instead of averaging, six layers deep, from step 0."""
    graph = communities(trial.seed)
    model, healthy = Gcn(graph, depth=6), Gcn(graph, depth=6)
    for conv in model.convs:
        conv.edges = (graph.edges > 0).float()
    part = Part(graph.features, graph.communities[graph.train])
    burst(model, healthy, part)
    fit(trial, model, graph.batches(), SGD(model.parameters(), lr=1e-6))
    return Truth(tuple(f"convs.{at}.linear" for at in range(6)))


class Unnormed(Block):
    """A block without normalisation whose additions are three times too large."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        del self.norm1, self.norm2

    def forward(self, inputs: Tensor) -> Tensor:
        """Return inputs with what the parts add."""
        hidden = inputs + 3 * self.attention(inputs)
        added: Tensor = hidden + 12 * self.down(self.act(self.up(hidden)))
        return added


def exploding_transformer(trial: Trial) -> Truth:
    """Six blocks without normalisation, before a head without one."""
    data = majorities(trial.seed)
    model, healthy = (Transformer(12, 3, depth=6, block=block) for block in (Unnormed, Block))
    for one in (model, healthy):
        one.register_module("norm", nn.Identity())
    burst(model, healthy, data.train.first(256), 100.0)
    fit(trial, model, data.train.batches(32), SGD(model.parameters(), lr=1e-7), steps=160)
    return Truth(tuple(dict.fromkeys(name.rpartition(".")[0] for name, _ in model.named_parameters())))


_VANISHING, _EXPLODING = ("vanishing_gradient",), ("exploding_gradient", "poor_init")

SCENARIOS = (
    Scenario("vanishing-sigmoid-mlp", "mlp", TUNING, deep_sigmoid, _VANISHING),
    Scenario("vanishing-tanh-mlp", "mlp", TUNING, deep_small_tanh, ("vanishing_gradient", "poor_init")),
    Scenario("vanishing-sigmoid-cnn", "cnn", TUNING, sigmoid_cnn, _VANISHING),
    Scenario("vanishing-sigmoid-gcn", "gnn", TUNING, sigmoid_gcn, _VANISHING),
    Scenario("vanishing-transformer", "transformer", TUNING, transformer_without_residuals, _VANISHING),
    Scenario("vanishing-rnn", "rnn", TUNING, stacked_rnn, _VANISHING),
    Scenario("exploding-rnn", "rnn", TUNING, exploding_rnn, _EXPLODING),
    Scenario("exploding-residual-mlp", "mlp", TUNING, exploding_residuals, _EXPLODING),
    Scenario("exploding-sums-gcn", "gnn", TUNING, exploding_sums, _EXPLODING),
    Scenario("exploding-transformer", "transformer", TUNING, exploding_transformer, _EXPLODING),
)
