"""Layers that don't learn: left out of the optimizer, cut off, or never called."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW

from tests.diagnosis.data import Part, communities, digits, majorities
from tests.diagnosis.networks import Gcn, Recurrent, Transformer, cnn, mlp
from tests.diagnosis.proof import gradients, moved, require, snapshot
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import fit


def still(model: nn.Module, before: dict[str, Tensor], layer: str, part: Part) -> Truth:
    """Return the truth that a layer, all of whose parameters had a gradient, did not move; raise if it is none."""
    changes, sizes = moved(before, model), gradients(model, part)
    own = [name for name in changes if name.startswith(f"{layer}.")]
    require(all(changes[name] == 0 for name in own), f"{layer} moved")
    require(all(sizes[name] > 0 for name in own), f"{layer} has no gradient")
    require(any(change > 0 for change in changes.values()), "nothing moved")
    return Truth((layer,))


def cut_off(model: nn.Module, layers: tuple[str, ...], part: Part) -> Truth:
    """Return the truth that layers get no gradient although they ask for one; raise if it is none."""
    sizes = gradients(model, part)
    require(any(sizes.values()), "nothing has a gradient")
    for layer in layers:
        require(not any(sizes[name] for name in sizes if name.startswith(f"{layer}.")), f"{layer} has a gradient")
    return Truth(layers)


def layer_left_out(trial: Trial) -> Truth:
    """The optimizer got all parameters but those of one layer."""
    data = digits(trial.seed)
    model = mlp((64, 48, 48, 10))
    before = snapshot(model)
    kept = [value for name, value in model.named_parameters() if not name.startswith("fc2.")]
    fit(trial, model, data.train.batches(64), SGD(kept, lr=0.05, momentum=0.9))
    return still(model, before, "fc2", data.train)


def group_of_rate_zero(trial: Trial) -> Truth:
    """One group of the optimizer has a learning rate of 0."""
    data = digits(trial.seed, flat=False)
    model = cnn((8, 16))
    before = snapshot(model)
    rest = [value for name, value in model.named_parameters() if not name.startswith("conv1.")]
    optimizer = Adam([{"params": rest, "lr": 2e-3}, {"params": model.conv1.parameters(), "lr": 0.0}])
    fit(trial, model, data.train.batches(48), optimizer, steps=160)
    changes = moved(before, model)
    require(not changes["conv1.weight"], "conv1 moved")
    require(gradients(model, data.train)["conv1.weight"] > 0, "conv1 has no gradient")
    return Truth(("conv1",))


def head_replaced_late(trial: Trial) -> Truth:
    """The head was replaced after the optimizer had been made, which still holds the old one."""
    data = majorities(trial.seed)
    model = Transformer(12, 5)
    optimizer = AdamW(model.parameters(), lr=2e-3)
    model.head = nn.Linear(24, 3)
    before = snapshot(model)
    fit(trial, model, data.train.batches(32), optimizer, steps=160)
    return still(model, before, "head", data.train.first(256))


def convolution_left_out(trial: Trial) -> Truth:
    """The second graph convolution is not among the parameters that the optimizer got."""
    graph = communities(trial.seed)
    model = Gcn(graph, depth=3)
    before = snapshot(model)
    kept = [value for name, value in model.named_parameters() if not name.startswith("convs.1.")]
    fit(trial, model, graph.batches(), Adam(kept, lr=5e-3))
    return still(model, before, "convs.1.linear", Part(graph.features, graph.communities[graph.train]))


def weights_put_back(trial: Trial) -> Truth:
    """From step 100 on the embedding is put back to what it was after each step."""
    data = majorities(trial.seed)
    model = Recurrent(nn.GRU, 3, inputs=12, tokens=12)
    held: dict[str, Tensor] = {}

    def put_back(step: int) -> None:
        if step == 100:
            held.update(snapshot(model))
        if step > 100:
            with torch.no_grad():
                model.embed.weight.copy_(held["embed.weight"])

    fit(trial, model, data.train.batches(32), Adam(model.parameters(), lr=3e-3), after=put_back)
    return Truth(still(model, held, "embed", data.train.first(256)).layers, 100)


class TwoHeaded(nn.Module):
    """A classifier with a second head that is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.body = mlp((64, 48, 48))
        self.head, self.spare = nn.Linear(48, 10), nn.Linear(48, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return scores."""
        scores: Tensor = self.head(self.body(inputs).relu())
        return scores


def head_never_called(trial: Trial) -> Truth:
    """A second head is made and never called."""
    data = digits(trial.seed)
    model = TwoHeaded()
    fit(trial, model, data.train.batches(64))
    return cut_off(model, ("spare",), data.train)


class Detached(nn.Module):
    """A CNN that detaches what its convolutions give."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.fc, self.head = nn.Linear(256, 48), nn.Linear(48, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return scores."""
        features = self.conv2(self.conv1(inputs).relu()).relu().flatten(1).detach()
        scores: Tensor = self.head(self.fc(features).relu())
        return scores


def convolutions_detached(trial: Trial) -> Truth:
    """The features are detached before the head by mistake."""
    data = digits(trial.seed, flat=False)
    model = Detached()
    fit(trial, model, data.train.batches(48), steps=160)
    return cut_off(model, ("conv1", "conv2"), data.train.first(256))


class Unheard(Transformer):
    """A transformer whose embedding is looked up without gradients."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores."""
        with torch.no_grad():
            hidden = self.embed(tokens) + self.place(torch.arange(tokens.shape[1]))
            hidden = self.blocks[0](hidden)
        scores: Tensor = self.head(self.norm(self.blocks[1](hidden)).mean(1))
        return scores


def block_without_gradient(trial: Trial) -> Truth:
    """Embedding and first block run under no_grad by mistake."""
    data = majorities(trial.seed)
    model = Unheard(12, 3)
    fit(trial, model, data.train.batches(32), steps=160)
    parts = [name for name, _ in model.blocks[0].named_modules() if name in {"norm1", "norm2", "up", "down"}]
    layers = (
        "embed",
        "place",
        "blocks.0.attention.qkv",
        "blocks.0.attention.out",
        *[f"blocks.0.{one}" for one in parts],
    )
    return cut_off(model, layers, data.train.first(256))


class FirstTwice(Gcn):
    """A graph network that calls its second convolution twice and its third never."""

    def forward(self, nodes: Tensor) -> Tensor:
        """Return scores."""
        for at in (0, 1, 1):
            nodes = self.acts[at](self.convs[at](nodes))
        scores: Tensor = self.head(nodes)[self.nodes[self.training]]
        return scores


def convolution_never_called(trial: Trial) -> Truth:
    """A wrong index calls one convolution twice and another never."""
    graph = communities(trial.seed)
    model = FirstTwice(graph, depth=3)
    fit(trial, model, graph.batches(), Adam(model.parameters(), lr=5e-3))
    return cut_off(model, ("convs.2.linear",), Part(graph.features, graph.communities[graph.train]))


_STILL, _UNUSED = ("layer_not_training",), ("unused_parameter",)

SCENARIOS = (
    Scenario("still-left-out-mlp", "mlp", TUNING, layer_left_out, _STILL),
    Scenario("still-rate-zero-cnn", "cnn", TUNING, group_of_rate_zero, _STILL),
    Scenario("still-late-head-transformer", "transformer", TUNING, head_replaced_late, _STILL),
    Scenario("still-left-out-gcn", "gnn", TUNING, convolution_left_out, _STILL),
    Scenario("still-put-back-gru", "rnn", TUNING, weights_put_back, _STILL),
    Scenario("unused-head-mlp", "mlp", TUNING, head_never_called, _UNUSED),
    Scenario("unused-detached-cnn", "cnn", TUNING, convolutions_detached, _UNUSED),
    Scenario("unused-no-grad-transformer", "transformer", TUNING, block_without_gradient, _UNUSED),
    Scenario("unused-index-gcn", "gnn", TUNING, convolution_never_called, _UNUSED),
)
