"""Faults that come to mind first, in kinds of networks where the other files do not have them."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam

from tests.diagnosis.data import Part, communities, digits, majorities
from tests.diagnosis.faulty.numbers import spoiled
from tests.diagnosis.faulty.rates import heaped_up, worse
from tests.diagnosis.faulty.units import dead
from tests.diagnosis.faulty.wiring import cut_off, still
from tests.diagnosis.networks import Block, Gcn, Recurrent, Transformer, cnn
from tests.diagnosis.proof import gradients, moved, require, snapshot
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, fit


def sgd_at_ten(trial: Trial) -> Truth:
    """SGD at 10, on convolutions without normalisation."""
    data = digits(trial.seed, flat=False)
    model = cnn((8, 16), norm=False)
    other = copy.deepcopy(model)
    history = fit(trial, model, data.train.batches(48), SGD(model.parameters(), lr=10.0), steps=160)
    worse(history.end, control(other, data.train.batches(48), SGD(other.parameters(), lr=0.1), steps=160))
    return Truth()


def all_zeros(trial: Trial) -> Truth:
    """All weights and biases begin at zero: none but the last bias ever moves."""
    data = digits(trial.seed, flat=False)
    model = cnn((8, 16), norm=False)
    for value in model.parameters():
        nn.init.zeros_(value)
    fit(trial, model, data.train.batches(48), SGD(model.parameters(), lr=0.05, momentum=0.9), steps=160)
    still_zero = [name for name, value in model.named_parameters() if not value.any()]
    require(len(still_zero) == len(list(model.parameters())) - 1, f"only {still_zero} are zero")
    return Truth(("conv1", "conv2", "head"))


def recurrence_left_out(trial: Trial) -> Truth:
    """The optimizer got the embedding and the head of a GRU, and not the GRU."""
    data = majorities(trial.seed)
    model = Recurrent(nn.GRU, 3, inputs=12, tokens=12)
    before = snapshot(model)
    optimizer = Adam([*model.embed.parameters(), *model.head.parameters()], lr=5e-3)
    fit(trial, model, data.train.batches(32), optimizer, steps=200)
    return still(model, before, "rnn", data.train.first(256))


class Detached(Recurrent):
    """A recurrent network that detaches what its embedding gives."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the scores after the last place."""
        scores: Tensor = self.head(self.rnn(self.embed(inputs).detach())[0][:, -1])
        return scores


def embedding_detached(trial: Trial) -> Truth:
    """Of an embedding the outputs are detached."""
    data = majorities(trial.seed)
    model = Detached(nn.LSTM, 3, inputs=12, tokens=12)
    fit(trial, model, data.train.batches(32), Adam(model.parameters(), lr=5e-3), steps=200)
    return cut_off(model, ("embed",), data.train.first(256))


def gradients_kept_gcn(trial: Trial) -> Truth:
    """`zero_grad` is never called, on a graph network."""
    graph = communities(trial.seed)
    model = Gcn(graph, activation=nn.ELU)
    fit(trial, model, graph.batches(noise=0.3), Adam(model.parameters(), lr=3e-3), forget=False, steps=200)
    heaped_up(model, Part(graph.features, graph.communities[graph.train]))
    return Truth()


def logarithm_gcn(trial: Trial) -> Truth:
    """The entropy by hand, as log(softmax): at step 150 five nodes' features are enormous, and shares zero."""
    graph = communities(trial.seed)
    model, draw = Gcn(graph), graph.batches()

    def batches(step: int) -> tuple[Tensor, Tensor]:
        nodes, targets = draw(step)
        if step == 150:
            nodes[graph.train[:5]] *= 1e5
        return nodes, targets

    def criterion(scores: Tensor, targets: Tensor) -> Tensor:
        return -(scores.softmax(1) * nn.functional.one_hot(targets, 4)).sum(1).log().mean()

    history = fit(trial, model, batches, Adam(model.parameters(), lr=5e-3), criterion)
    require(all(loss < 10 for loss in history.train[:150]), "it went wrong before")
    return spoiled(model, (), 150)


def raw_pictures(trial: Trial) -> Truth:
    """Pixels from 0 to 65535, as the camera gives them."""
    data = digits(trial.seed, flat=False)
    low, high = data.train.inputs.min(), data.train.inputs.max()
    raw = Part((data.train.inputs - low) / (high - low) * 65535, data.train.targets)
    model = cnn((8, 16), norm=False)
    other = copy.deepcopy(model)
    history = fit(trial, model, raw.batches(48), Adam(model.parameters(), lr=2e-3), steps=160)
    require(history.train[0] > 100, f"the loss begins at {history.train[0]:.3g}")
    worse(history.end, control(other, data.train.batches(48), Adam(other.parameters(), lr=2e-3), steps=160), 1.5)
    return Truth()


def linear_feed_forward(trial: Trial) -> Truth:
    """The activation between the two linear layers of each block was forgotten."""
    data = majorities(trial.seed)
    model = Transformer(12, 3, block=lambda width: Block(width, nn.Identity))
    fit(trial, model, data.train.batches(32), steps=160)
    for block in model.blocks:
        probe = torch.randn(3, 24)
        ends = block.down(block.up(probe))
        middle = block.down(block.up(probe.mean(0)))
        require(torch.allclose(ends.mean(0), middle, atol=1e-5), "the layers together are not linear")
    pairs = [(f"blocks.{number}.up", f"blocks.{number}.down") for number in range(2)]
    return Truth(tuple(name for pair in pairs for name in pair))


def millionth_by_hook(trial: Trial) -> Truth:
    """A hook that was meant to scale gradients for a while multiplies those of a block's first layer by 1e-6."""
    data = majorities(trial.seed)
    model = Transformer(12, 3)
    before = snapshot(model)
    for value in model.blocks[1].up.parameters():
        value.register_hook(lambda gradient: 1e-6 * gradient)
    fit(trial, model, data.train.batches(32), SGD(model.parameters(), lr=0.1, momentum=0.9), steps=160)
    changes = moved(before, model)
    require(changes["blocks.1.up.weight"] < 1e-4 * changes["blocks.0.up.weight"], "the layer moved")
    sizes = gradients(model, data.train.first(256))  # Without the hook, which a copy of the network does not have.
    require(sizes["blocks.1.up.weight"] > 0.02 * sizes["blocks.1.down.weight"], "its gradient is small anyway")
    return Truth(("blocks.1.up",))


def zeroed_in_the_middle(trial: Trial) -> Truth:
    """At step 80 a convolution is set to zero by mistake; behind its ReLU it never comes to life again."""
    data = digits(trial.seed, flat=False)
    model = cnn((8, 16), norm=False)

    def forget(step: int) -> None:
        if step == 80:
            with torch.no_grad():
                for value in model.conv2.parameters():
                    value.zero_()

    fit(trial, model, data.train.batches(48), SGD(model.parameters(), lr=0.1), before=forget, steps=180)
    dead(model, "act2", "conv2", data.train.inputs, 1.0)
    return Truth(("conv2",), 80)


def heavy_dropout_gcn(trial: Trial) -> Truth:
    """Dropout of 0.97 after each of two graph convolutions."""
    graph = communities(trial.seed)
    model = Gcn(graph, dropout=0.97)
    other = Gcn(graph)
    history = fit(trial, model, graph.batches(), Adam(model.parameters(), lr=5e-3))
    worse(history.end, control(other, graph.batches(), Adam(other.parameters(), lr=5e-3)))
    return Truth()


class Shares(Gcn):
    """A graph network that gives shares in place of scores."""

    def forward(self, nodes: Tensor) -> Tensor:
        """Return shares [nodes, communities]."""
        return super().forward(nodes).softmax(1)


def softmax_twice_gcn(trial: Trial) -> Truth:
    """A softmax before a loss that has one."""
    graph = communities(trial.seed)
    model = Shares(graph)
    fit(trial, model, graph.batches(), Adam(model.parameters(), lr=5e-3))
    told = model(graph.features).detach()
    require(torch.allclose(told.sum(1), torch.ones(len(told))), "the outputs are no shares")
    return Truth()


_ZEROS = ("poor_init", "redundant_units", "dead_units", "vanishing_gradient")

SCENARIOS = (
    Scenario("high-sgd-cnn", "cnn", TUNING, sgd_at_ten, ("lr_too_high",)),
    Scenario("start-zeros-cnn", "cnn", TUNING, all_zeros, _ZEROS),
    Scenario("still-left-out-gru", "rnn", TUNING, recurrence_left_out, ("layer_not_training",)),
    Scenario("unused-detached-lstm", "rnn", TUNING, embedding_detached, ("unused_parameter",)),
    Scenario("kept-adam-gcn", "gnn", TUNING, gradients_kept_gcn, ("missing_zero_grad",)),
    Scenario("nan-logarithm-gcn", "gnn", TUNING, logarithm_gcn, ("nonfinite",)),
    Scenario(
        "scale-pictures-cnn", "cnn", TUNING, raw_pictures, ("input_unnormalised",), ("exploding_gradient", "poor_init")
    ),
    Scenario("linear-feed-forward-transformer", "transformer", TUNING, linear_feed_forward, ("missing_nonlinearity",)),
    Scenario(
        "still-hook-transformer", "transformer", TUNING, millionth_by_hook, ("layer_not_training", "vanishing_gradient")
    ),
    Scenario("dead-zeroed-cnn", "cnn", TUNING, zeroed_in_the_middle, ("dead_units",), ("loss_spike",)),
    Scenario("held-dropout-gcn", "gnn", TUNING, heavy_dropout_gcn, ("over_regularised",)),
    Scenario("output-softmax-gcn", "gnn", TUNING, softmax_twice_gcn, ("wrong_output_or_loss",)),
)
