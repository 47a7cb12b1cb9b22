"""Under torch.compile: no graph more, no recompilation, and what can't be seen is said."""

import shutil
from collections import Counter
from typing import Any

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

from tb_netviz.pytorch import NetVizWriter
from tests.support.watching import read

pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch's own.

STEPS = 5
BACKENDS = ["aot_eager", *(["inductor"] if shutil.which("c++") else [])]


class Body(nn.Module):
    def __init__(self):
        super().__init__()
        self.wide = nn.Linear(6, 8)
        self.drop = nn.Dropout(0.2)
        self.narrow = nn.Linear(8, 6)

    def forward(self, x):
        return self.narrow(self.drop(self.wide(x)).relu())


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(6, 6)
        self.body = Body()
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.body(self.stem(x)))


@pytest.fixture(autouse=True)
def fresh():
    torch.compiler.reset()
    counters.clear()
    yield
    counters.clear()  # Where something was compiled, functions are not listened to.


def in_a_function(model, **options):
    def function(x):
        return model(x)

    return torch.compile(function, **options)


def wrapped(model, **options):
    return torch.compile(model, **options)


def in_place(model, **options):
    model.compile(**options)
    return model


def a_wrapped_part(model, **options):
    model.body = torch.compile(model.body, **options)
    return model


def a_part_in_place(model, **options):
    model.body.compile(**options)
    return model


WAYS = [wrapped, in_place, in_a_function, a_wrapped_part, a_part_in_place]


def train(way, folder=None, *, late=False, model=None, compiles_step=False, **options):
    """Train; return the weights, what torch.compile counted, and `writer.step` after each forward pass."""
    torch.compiler.reset()
    counters.clear()
    torch.manual_seed(1)
    model = Network() if model is None else model
    forward = way(model, **options)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    step = torch.compile(optimizer.step, backend="aot_eager") if compiles_step else optimizer.step
    writer = NetVizWriter(folder) if folder is not None else None
    seen = []

    def once(number):
        # The second step may compile what the first one could not know: that momentum has a state.
        with torch._dynamo.config.patch(error_on_recompile=number > 1):
            forward(torch.randn(8, 6)).square().mean().backward()
            seen.append(0 if writer is None else writer.step)
            step()
            optimizer.zero_grad()

    if late:
        for number in range(3):
            once(number)
        seen.clear()
    if writer is not None:
        writer.watch(model, optimizer, every=1)
    for number in range(STEPS):
        once(number)
    if writer is not None:
        writer.close()
    stats = Counter(counters["stats"])
    return [*model.state_dict().values()], stats, sum(counters["graph_break"].values()), seen


def assert_columns_explain(folder):
    recording = read(folder)
    assert sorted(recording.tables) == list(range(STEPS))
    for columns in recording.tables[0].values():  # Momentum has no part in the first step.
        assert columns["grad_norm"] == pytest.approx(columns["update_norm"] / 0.1, rel=1e-3)
        assert columns["grad_norm"] > 0
    return recording


def reasons(recording):
    return {omission.subject: omission.reason for omission in recording.description.omissions}


@pytest.mark.parametrize("fullgraph", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_no_graph_more_and_no_recompilation(tmp_path, way, fullgraph):
    bare, stats, breaks, _ = train(way, backend="aot_eager", fullgraph=fullgraph)
    watched, more_stats, more_breaks, seen = train(way, tmp_path, backend="aot_eager", fullgraph=fullgraph)
    assert stats["unique_graphs"] == more_stats["unique_graphs"] == 1
    assert stats["calls_captured"] == more_stats["calls_captured"]
    assert (breaks, more_breaks) == (0, 0)
    assert seen == list(range(STEPS))
    assert all(torch.equal(one, two) for one, two in zip(bare, watched, strict=True))
    assert_columns_explain(tmp_path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("backend", BACKENDS)
def test_with_code_that_is_generated(tmp_path, backend):
    _, stats, breaks, seen = train(wrapped, tmp_path, backend=backend, fullgraph=True)
    assert (stats["unique_graphs"], breaks, seen) == (1, 0, list(range(STEPS)))
    assert_columns_explain(tmp_path)


def test_a_model_with_graph_breaks_of_its_own(tmp_path):
    class Breaking(Network):
        def forward(self, x):
            x = self.stem(x)
            torch._dynamo.graph_break()
            return self.head(self.body(x))

    torch.manual_seed(2)
    _, stats, breaks, _ = train(wrapped, model=Breaking(), backend="aot_eager")
    _, more_stats, more_breaks, seen = train(wrapped, tmp_path, model=Breaking(), backend="aot_eager")
    assert stats["unique_graphs"] == more_stats["unique_graphs"] == 2
    assert breaks == more_breaks == 1
    assert seen == list(range(STEPS))
    assert_columns_explain(tmp_path)


@pytest.mark.parametrize("way", [wrapped, in_a_function, a_part_in_place])
def test_evaluation_between_compiled_steps(tmp_path, way):
    def count(folder=None):
        torch.compiler.reset()
        counters.clear()
        torch.manual_seed(3)
        model = Network()
        forward = way(model, backend="aot_eager", fullgraph=True)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        writer = NetVizWriter(folder) if folder is not None else None
        if writer is not None:
            writer.watch(model, optimizer, every=1)
        for number in range(STEPS):
            with torch._dynamo.config.patch(error_on_recompile=number > 0):
                model.train()
                forward(torch.randn(8, 6)).square().mean().backward()
                assert writer is None or writer.step == number
                optimizer.step()
                optimizer.zero_grad()
                model.eval()
                with torch.no_grad():
                    forward(torch.randn(8, 6))
                assert writer is None or writer.step == number
        if writer is not None:
            writer.close()
        return [*model.state_dict().values()], Counter(counters["stats"])

    bare, stats = count()
    watched, more_stats = count(tmp_path)
    assert stats == more_stats
    assert all(torch.equal(one, two) for one, two in zip(bare, watched, strict=True))
    assert_columns_explain(tmp_path)


@pytest.mark.parametrize("way", WAYS)
def test_what_runs_compiled_is_said_to_be_unknown(tmp_path, way):
    train(way, tmp_path, backend="aot_eager")
    told = reasons(read(tmp_path))
    part = "body" if way in (a_wrapped_part, a_part_in_place) else "Network"
    assert "compiled" in told[part]
    if part == "Network":
        assert told["graph"] == "no forward pass of the model was seen outside compiled code"
    modules = {module.name: module for module in read(tmp_path).description.modules}
    assert modules["body.wide"].output_shape == ()
    assert modules["stem"].output_shape == ((8, 6) if part == "body" else ())


@pytest.mark.parametrize("way", [wrapped, in_place, a_wrapped_part, a_part_in_place])
def test_watching_after_the_first_compiled_call(tmp_path, way):
    _, stats, breaks, seen = train(way, tmp_path, late=True, backend="aot_eager", fullgraph=True)
    assert (stats["unique_graphs"], breaks, seen) == (1, 0, list(range(STEPS)))
    assert sorted(read(tmp_path).tables) == list(range(STEPS))
    assert "compiled" in str(reasons(read(tmp_path)))


def test_watching_a_model_whose_calls_are_inside_compiled_code_already(tmp_path):
    with pytest.warns(UserWarning, match=r"no forward pass of Network was seen.*Call `watch` before") as caught:
        _, stats, breaks, seen = train(in_a_function, tmp_path, late=True, backend="aot_eager", fullgraph=True)
    assert len(caught) == 1
    assert (stats["unique_graphs"], breaks) == (1, 0)
    assert seen == [0, *range(STEPS - 1)]  # It moves on with the optimizer.
    recording = read(tmp_path)
    assert sorted(recording.tables) == list(range(STEPS))
    assert "compiled" in reasons(recording)["Network"]


def test_a_model_that_is_not_called_is_not_said_to_be_compiled(tmp_path):
    train(wrapped, backend="aot_eager")  # Something was compiled, but not this.
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model.eval(), optimizer, every=1)
        for _ in range(3):
            model(torch.randn(3, 2)).sum().backward()
            optimizer.step()
    assert sorted(read(tmp_path).tables) == [0, 1, 2]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.filterwarnings("ignore:Profiler record function", "ignore::DeprecationWarning")
def test_a_compiled_optimizer_step(tmp_path, late):
    def eager(model):
        return model

    bare, stats, _, _ = train(eager, compiles_step=True, late=late)
    watched, more_stats, _, seen = train(eager, tmp_path, compiles_step=True, late=late)
    assert stats["unique_graphs"] == more_stats["unique_graphs"]
    assert all(torch.equal(one, two) for one, two in zip(bare, watched, strict=True))
    assert seen == list(range(STEPS))
    assert sorted(read(tmp_path).tables) == list(range(STEPS))
    assert read(tmp_path).tables[STEPS - 1]["stem.weight"]["update_norm"] > 0


class Plain(torch.optim.Optimizer):
    """Unlike torch's own, its step can be compiled as a whole."""

    def __init__(self, parameters):
        super().__init__(parameters, {"lr": 0.1})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.sub_(parameter.grad, alpha=group["lr"])


@pytest.mark.filterwarnings("ignore:Profiler record function", "ignore::DeprecationWarning")
def test_an_optimizer_step_that_is_one_graph_is_left_alone_and_that_is_said(tmp_path):
    model = nn.Linear(6, 2)
    optimizer = Plain(model.parameters())
    step = torch.compile(optimizer.step, backend="aot_eager", fullgraph=True)
    before = model.weight.detach().clone()

    def train():
        for _ in range(3):
            model(torch.randn(8, 6)).square().mean().backward()
            step()
            optimizer.zero_grad()

    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        with pytest.warns(UserWarning, match="step is compiled as a whole graph"):
            train()
    assert not torch.equal(before, model.weight)
    assert counters["stats"]["unique_graphs"] == 1
    assert not read(tmp_path).tables
