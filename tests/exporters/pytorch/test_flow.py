"""Which linear layers feed each other directly, as a forward pass tells: through any code, and with no false pair."""

from dataclasses import dataclass

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
        module.register_forward_hook(flow.left)
    return [(names[first], names[second]) for first, second in flow.pairs(model(*arguments))]


def thrown_away(model, hidden):
    functional.relu(hidden)
    return model.second(hidden)


LINEAR = {
    "nothing": lambda model, hidden: model.second(hidden),
    "a result that is thrown away": thrown_away,
    "neighbours": lambda model, hidden: model.second(ALIKE @ hidden),
    "sparse neighbours": lambda model, hidden: model.second(torch.sparse.mm(ALIKE.to_sparse(), hidden)),
    "another bias": lambda model, hidden: model.second(hidden + model.first.bias),
    "dropout": lambda model, hidden: model.second(functional.dropout(hidden, 0.5)),
    "another shape": lambda model, hidden: model.second(hidden.reshape(NODES, 4, 4).transpose(1, 2).flatten(1)),
    "a second call": lambda model, hidden: model.second(model.first(model.second(hidden))),
    "another type": lambda model, hidden: model.second(hidden.double().float()),
}
BENT = {
    "an activation": lambda model, hidden: model.second(functional.relu(hidden)),
    "an activation in place": lambda model, hidden: model.second(functional.relu_(hidden)),
    "a norm": lambda model, hidden: model.second(functional.layer_norm(hidden, (16,))),
    "a square": lambda model, hidden: model.second(hidden * hidden),
    "a mask of its signs": lambda model, hidden: model.second(hidden * (hidden > 0)),
    "its own norm": lambda model, hidden: model.second(hidden / hidden.detach().norm()),
    "a function whose gradient passes": lambda model, hidden: model.second(hidden + (hidden.relu() - hidden).detach()),
    "an order of its own": lambda model, hidden: model.second(hidden[hidden.sum(1).argsort()]),
    "attention": lambda model, hidden: model.second((hidden @ hidden.T).softmax(-1) @ hidden),
    "a way around": lambda model, hidden: model.second(hidden) + hidden.sum(),
    "an output of its own": lambda model, hidden: {"scores": model.second(hidden), "features": [hidden]},
    "a second call that is bent": lambda model, hidden: model.second(model.first(model.second(hidden)).relu()),
    "a second call that goes elsewhere": lambda model, hidden: model.second(hidden) + model.first(hidden[:, :8]).sum(),
}


@pytest.mark.parametrize("between", LINEAR.values(), ids=LINEAR)
def test_what_is_linear_between_them_is_nothing_that_bends(between):
    assert pairs(Two(between), torch.randn(NODES, 8)) == [("first", "second")]


@pytest.mark.parametrize("between", BENT.values(), ids=BENT)
def test_what_bends_and_what_is_used_elsewhere_parts_them(between):
    assert pairs(Two(between), torch.randn(NODES, 8)) == []


class Loop(nn.Module):
    """A recurrent network of linear layers, whose state and next input meet in some way."""

    def __init__(self, meet, bend):
        super().__init__()
        self.i2h, self.h2h, self.h2o = nn.Linear(3, 6), nn.Linear(6, 6), nn.Linear(6, 2)
        self.both = nn.Linear(9, 6)
        self.meet, self.bend = meet, bend

    def forward(self, series):
        state = series.new_zeros(len(series), 6)
        for given in series.unbind(1):
            state = self.bend(self.meet(self, given, state))
        return self.h2o(state)


def side_by_side(model, given, state):
    return model.both(torch.cat([given, state], 1))


def in_a_sum(model, given, state):
    return model.i2h(given) + model.h2h(state)


def test_a_state_that_nothing_bends_on_its_way_to_the_output_is_linear():
    assert pairs(Loop(side_by_side, lambda state: state), torch.randn(NODES, 4, 3)) == [("both", "h2o")]


@pytest.mark.parametrize("meet", [side_by_side, in_a_sum])
@pytest.mark.parametrize("bend", [torch.tanh, lambda state: state * state.sigmoid()], ids=["tanh", "gate"])
def test_a_state_that_is_bent_at_each_step_is_not(meet, bend):
    assert pairs(Loop(meet, bend), torch.randn(NODES, 4, 3)) == []


@pytest.mark.parametrize("meet", [in_a_sum, lambda model, _given, state: model.h2h(state)], ids=["fed", "free"])
def test_a_linear_recurrence_is_one_on_purpose(meet):
    assert pairs(Loop(meet, lambda state: state), torch.randn(NODES, 4, 3)) == []


class Mixed(Two):
    """Multiplies what the first layer makes with what it got."""

    def forward(self, inputs):
        return self.second(self.first(inputs) @ torch.ones(16, 8) @ inputs.T @ torch.ones(NODES, 16))


def test_a_product_with_what_the_layer_got_is_not_linear_in_that():
    assert pairs(Mixed(LINEAR["nothing"]), torch.randn(NODES, 8)) == []


class Marked(torch.autograd.Function):
    """Sets a name of its own on its graph's node."""

    @staticmethod
    def forward(ctx, inputs):
        ctx.name = "site"
        return inputs.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def test_a_function_of_ones_own_may_have_any_name():
    assert pairs(Two(lambda model, hidden: model.second(Marked.apply(hidden))), torch.randn(NODES, 8)) == []


@dataclass
class Answer:
    """An output in an attribute."""

    scores: torch.Tensor
    features: torch.Tensor


def test_outputs_are_found_in_attributes_and_in_what_holds_itself():
    def answer(model, hidden):
        return [Answer(model.second(hidden), hidden)]

    def circle(model, hidden):
        held = {"scores": model.second(hidden)}
        held["self"] = held
        return held

    assert pairs(Two(answer), torch.randn(NODES, 8)) == []
    assert pairs(Two(circle), torch.randn(NODES, 8)) == [("first", "second")]


def test_a_pass_that_failed_is_let_go_of_and_its_retry_is_heard(tmp_path):
    passes = []

    def between(model, hidden):
        passes.append(model)
        if len(passes) == 1:
            raise MemoryError
        return model.second(hidden)

    model = Two(between)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        with pytest.raises(MemoryError):
            model(torch.randn(NODES, 8))
        model(torch.randn(NODES, 8)).sum().backward()
        optimizer.step()
    (run,) = read_runs(tmp_path)
    assert len(run.network.descriptions[0].edges) == 1


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


class Summed(nn.Module):
    """A graph convolution: what a node is, and what its neighbours are."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.own, self.near = nn.Linear(inputs, outputs), nn.Linear(inputs, outputs, bias=False)

    def forward(self, nodes):
        return self.own(nodes) + self.near(ALIKE @ nodes)


class Convolved(nn.Module):
    """Two of them, with something between, and perhaps something behind."""

    def __init__(self, between, behind):
        super().__init__()
        self.first, self.second, self.between, self.behind = Summed(3, 8), Summed(8, 2), between, behind

    def forward(self, nodes):
        return self.behind(self.second(self.between(self.first(nodes))))


def as_is(values):
    return values


@pytest.mark.parametrize(
    ("between", "behind", "expected"),
    [
        (as_is, as_is, 4),
        (torch.relu, as_is, 0),
        (as_is, torch.sigmoid, 0),  # Not the whole of it is linear, and layers that are added up are left alone.
        (lambda values: values * values, as_is, 0),
        (lambda values: values @ values.transpose(1, 2) @ torch.ones(NODES, 8), as_is, 0),
    ],
)
def test_sums_of_layers_are_told_where_nothing_in_the_whole_model_bends(between, behind, expected):
    found = pairs(Convolved(between, behind), torch.randn(4, NODES, 3))
    assert len(found) == expected
    assert all(first.startswith("first.") and second.startswith("second.") for first, second in found)


class Again(Convolved):
    """One that goes round, as linear systems over time do on purpose."""

    def forward(self, nodes):
        state = self.first(nodes)
        for _ in range(3):
            state = self.first(self.second(state) @ torch.ones(2, 3))
        return self.second(state)


def test_a_recurrence_may_be_linear_on_purpose():
    assert pairs(Again(as_is, as_is), torch.randn(4, NODES, 3)) == []
