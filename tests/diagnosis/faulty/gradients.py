"""Gradients that vanish, explode, or are no numbers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import SGD

from tests.diagnosis.data import Part, communities, digits, first_tokens, majorities
from tests.diagnosis.networks import Block, Gcn, Transformer, cnn, deep
from tests.diagnosis.proof import gradients, require
from tests.diagnosis.scenario import REPORTING, TUNING, Scenario, Trial, Truth
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


SCENARIOS = (
    Scenario("vanishing-sigmoid-mlp", "mlp", TUNING, deep_sigmoid, ("vanishing_gradient",)),
    Scenario("vanishing-tanh-mlp", "mlp", REPORTING, deep_small_tanh, ("vanishing_gradient", "poor_init")),
    Scenario("vanishing-sigmoid-cnn", "cnn", REPORTING, sigmoid_cnn, ("vanishing_gradient",)),
    Scenario("vanishing-sigmoid-gcn", "gnn", TUNING, sigmoid_gcn, ("vanishing_gradient",)),
    Scenario("vanishing-transformer", "transformer", TUNING, transformer_without_residuals, ("vanishing_gradient",)),
    Scenario("vanishing-rnn", "rnn", REPORTING, stacked_rnn, ("vanishing_gradient",)),
)
