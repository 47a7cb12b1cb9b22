"""Which linear layers feed each other directly, as a forward pass tells: through any code, and with no false pair."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from tb_netviz.pytorch import NetVizWriter
from tb_netviz.pytorch.flow import Flow
from tb_netviz.reading import read_runs

NODES = 5
ALIKE = torch.full((NODES, NODES), 1 / NODES)


class Two(nn.Module):
    """Two linear layers, between which a function of the inputs stands."""

    def __init__(self, between):
        super().__init__()
        self.first, self.second, self.between = nn.Linear(8, 16), nn.Linear(16, 8), between

    def forward(self, inputs):
        return self.between(self, self.first(inputs))


class Recomputed(nn.Module):
    """Runs a model without keeping its graph."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, inputs):
        return checkpoint(self.model, inputs, use_reentrant=True)


def pairs(model, *arguments):
    """Return the names of the pairs of one forward pass."""
    flow, names = Flow(), {id(module): name for name, module in model.named_modules()}
    for module in model.modules():
        module.register_forward_hook(lambda module, _inputs, output: flow.left(module, output))
    return [(names[first], names[second]) for first, second in flow.pairs(model(*arguments))]


def thrown_away(model, hidden):
    functional.relu(hidden)
    return model.second(hidden)


LINEAR = {
    "nothing": lambda model, hidden: model.second(hidden),
    "a result that is thrown away": thrown_away,
    "neighbours": lambda model, hidden: model.second(ALIKE @ hidden),
    "sparse neighbours": lambda model, hidden: model.second(torch.sparse.mm(ALIKE.to_sparse(), hidden)),
    "a scale and a shift": lambda model, hidden: model.second(2 * hidden / 3 + 1),
    "dropout": lambda model, hidden: model.second(functional.dropout(hidden, 0.5)),
    "another shape": lambda model, hidden: model.second(hidden.reshape(NODES, 4, 4).transpose(1, 2).flatten(1)),
    "another type": lambda model, hidden: model.second(hidden.double().float()),
}
BENT = {
    "an activation": lambda model, hidden: model.second(functional.relu(hidden)),
    "an activation in place": lambda model, hidden: model.second(functional.relu_(hidden)),
    "a norm": lambda model, hidden: model.second(functional.layer_norm(hidden, (16,))),
    "a square": lambda model, hidden: model.second(hidden * hidden),
    "attention": lambda model, hidden: model.second((hidden @ hidden.T).softmax(-1) @ hidden),
    "a way around": lambda model, hidden: model.second(hidden) + hidden.sum(),
    "an output of its own": lambda model, hidden: {"scores": model.second(hidden), "features": [hidden]},
    "a second call": lambda model, hidden: model.second(model.first(model.second(hidden))),
}


@pytest.mark.parametrize("between", LINEAR.values(), ids=LINEAR)
def test_what_is_linear_between_them_is_nothing_that_bends(between):
    assert pairs(Two(between), torch.randn(NODES, 8)) == [("first", "second")]


@pytest.mark.parametrize("between", BENT.values(), ids=BENT)
def test_what_bends_and_what_is_used_elsewhere_parts_them(between):
    assert pairs(Two(between), torch.randn(NODES, 8)) == []


def test_convolutions_behind_each_other():
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3)
    )
    assert pairs(model, torch.randn(2, 1, 16, 16)) == [("0", "2")]


def test_without_a_graph_nothing_is_known():
    model, inputs = Two(LINEAR["nothing"]), torch.randn(NODES, 8, requires_grad=True)
    whole = nn.Sequential(Recomputed(model))
    assert pairs(whole, inputs) == []
    with torch.no_grad():
        assert pairs(model, inputs) == []


def test_a_graph_that_is_too_large_is_left_alone(monkeypatch):
    monkeypatch.setattr("tb_netviz.pytorch.flow.MAX_NODES", 3)
    assert pairs(Two(LINEAR["nothing"]), torch.randn(NODES, 8)) == []


def test_the_description_has_them_and_training_is_as_without(tmp_path):
    def train(watched):
        torch.manual_seed(0)
        model = Two(thrown_away)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with NetVizWriter(tmp_path) as writer:
            if watched:
                writer.watch(model, optimizer, every=1)
            for _ in range(3):
                optimizer.zero_grad()
                model(torch.randn(NODES, 8)).square().sum().backward()
                optimizer.step()
        return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])

    assert torch.equal(train(watched=False), train(watched=True))
    (run,) = read_runs(tmp_path)
    (description,) = run.network.descriptions
    modules = description.modules
    assert [(modules[edge.source].name, modules[edge.target].name) for edge in description.edges] == [
        ("first", "second")
    ]
