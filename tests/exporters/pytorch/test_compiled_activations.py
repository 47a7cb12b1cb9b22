"""Activations of modules inside graphs that torch.compile made: measured by an operator, in the same graphs."""

import copy
import io
import math
import pickle
import shutil
from collections import Counter

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters
from torch.utils.checkpoint import checkpoint

from tb_netviz.pytorch import NetVizWriter
from tests.support.watching import read

pytestmark = [  # All of torch's own.
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),
    pytest.mark.filterwarnings("ignore:While compiling, we found certain side effects"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

UNITS, BATCH, STEPS = 8, 32, 4
DEAD, RARE = {2, 5}, 3
BACKENDS = ["aot_eager", *(["inductor"] if shutil.which("c++") else [])]


@pytest.fixture(autouse=True)
def fresh():
    torch.compiler.reset()
    counters.clear()
    yield
    counters.clear()  # Where something was compiled, functions are not listened to.


class Block(nn.Module):
    def __init__(self, act=nn.ReLU):
        super().__init__()
        self.layer, self.norm, self.act = nn.Linear(UNITS, UNITS), nn.LayerNorm(UNITS), act()

    def forward(self, x):
        return self.act(self.norm(self.layer(x)))


class Dense(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.act = nn.Linear(UNITS, UNITS), nn.ReLU()

    def forward(self, x):
        return self.act(self.layer(x))


def blocks(act=nn.ReLU):
    return nn.Sequential(Block(act), Block(act), nn.Linear(UNITS, 2))


def whole(model, **options):
    return torch.compile(model, **options)


def in_place(model, **options):
    model.compile(**options)
    return model


def in_a_function(model, **options):
    def function(x):
        return model(x)

    return torch.compile(function, **options)


def block_by_block(model, **options):
    for block in (model[0], model[1]):
        block.compile(**options)
    return model


def eager(model, **_options):
    return model


WAYS = [whole, in_place, in_a_function, block_by_block]


def train(model, way=whole, folder=None, *, shape=(BATCH, UNITS), passes=1, backend="aot_eager"):
    """Train on noise, and let nothing be compiled after the first step; return the weights and what was counted."""
    torch.compiler.reset()
    counters.clear()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    writer = NetVizWriter(folder) if folder is not None else None
    if writer is not None:
        writer.watch(model, optimizer, every=1, histograms=False)
    forward = way(model, backend=backend, fullgraph=True)
    torch.manual_seed(1)
    for step in range(STEPS):
        with torch._dynamo.config.patch(error_on_recompile=step > 0):
            for _ in range(passes):
                forward(torch.randn(*shape)).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    if writer is not None:
        writer.close()
    return [*model.state_dict().values()], counted()


def counted():
    return Counter(counters["stats"])["unique_graphs"], sum(counters["graph_break"].values())


def seeded(make):
    torch.manual_seed(0)
    return make()


def sources(recording):
    """Return, by activation, the module whose weights make its units."""
    modules = recording.description.modules
    return {
        row.name: None if row.source is None else modules[row.source].name for row in recording.description.activations
    }


def assert_same(one, other, relative=1e-5):
    """Compare two tables but for what compiled code doesn't tell: gradients of outputs."""
    assert one.keys() == other.keys()
    for name, columns in one.items():
        for column, value in columns.items():
            if column != "act_grad_norm":
                expected = pytest.approx(other[name][column], rel=relative, abs=1e-5, nan_ok=True)
                assert value == expected, (name, column)


class Network(nn.Sequential):
    """Unlike that of torch's own containers, its code is compiled by itself, and so are its hooks."""

    def __init__(self):
        super().__init__(*blocks())

    def forward(self, x):
        for module in self:
            x = module(x)
        return x


@pytest.mark.parametrize("way", WAYS)
def test_no_graph_more_no_recompilation_and_the_same_weights(tmp_path, way):
    bare, before = train(seeded(Network), way)
    watched, after = train(seeded(Network), way, tmp_path)
    assert before == after
    assert all(torch.equal(one, two) for one, two in zip(bare, watched, strict=True))
    recording = read(tmp_path)
    found = sources(recording)
    assert {name: found[name] for name in ("0.act", "1.act")} == {"0.act": "0.layer", "1.act": "1.layer"}
    assert sorted(recording.activations) == list(range(STEPS))


UNIT_COLUMNS = ("fired", "mean", "std", "largest", "saturated")


@pytest.mark.parametrize("backend", BACKENDS)
def test_layers_that_share_compiled_code_have_each_the_numbers_of_eager_code(tmp_path, backend):
    train(seeded(blocks), eager, tmp_path / "eager")
    train(seeded(blocks), block_by_block, tmp_path / "compiled", backend=backend)
    expected, found = read(tmp_path / "eager"), read(tmp_path / "compiled")
    assert found.unit_steps.keys() == expected.unit_steps.keys()
    for step, table in found.activations.items():
        for name in ("0.act", "1.act"):
            assert_same({name: table[name]}, {name: expected.activations[step][name]})
            assert math.isnan(table[name]["act_grad_norm"])
    for step, units in found.units.items():
        for name in ("0.act", "1.act"):
            assert found.unit_steps[step][name]["counted"] == expected.unit_steps[step][name]["counted"] > 0
            for one, other in zip(units[name], expected.units[step][name], strict=True):
                assert [one[column] for column in UNIT_COLUMNS] == pytest.approx(
                    [other[column] for column in UNIT_COLUMNS], rel=1e-4, abs=1e-5
                )
                assert math.isnan(one["gradient"])


@pytest.mark.parametrize("way", [whole, block_by_block])
def test_dead_and_rare_units_are_recalled_exactly(tmp_path, way):
    """Of each unit the largest value over all samples is the one that an unwatched copy puts out."""
    model = seeded(lambda: nn.Sequential(Dense(), Dense(), nn.Linear(UNITS, 2)))
    with torch.no_grad():
        model[1].layer.bias[list(DEAD)] = -1e3
        model[1].layer.bias[RARE] = -0.9
    twin, largest = copy.deepcopy(model), []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1, histograms=False)
        forward = way(model, backend="aot_eager", fullgraph=True)
        for _ in range(20):
            inputs = torch.randn(100, UNITS)
            forward(inputs).sum().backward()
            optimizer.step()
            largest.append(twin.double()[1](twin[0](inputs.double())).amax(0))
    recording = read(tmp_path)
    records = [table["1.act"] for table in recording.units.values()]
    assert sum(table["1.act"]["samples"] for table in recording.unit_steps.values()) == 20 * 100
    found = [max(record[unit]["largest"] for record in records) for unit in range(UNITS)]
    assert found == pytest.approx(torch.stack(largest).amax(0).tolist(), rel=1e-5)
    assert {unit for unit, value in enumerate(found) if value <= 0} == DEAD
    assert all(record[unit]["fired"] == 0 for record in records for unit in DEAD)
    fired = [max(record[unit]["fired"] for record in records) for unit in range(UNITS)]
    assert fired[RARE] < 0.1 < min(fired[unit] for unit in {*range(UNITS)} - DEAD - {RARE})


class Breaking(nn.Module):
    """What makes the units of its activations, and what runs them, stand in different graphs."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = (nn.Linear(UNITS, UNITS) for _ in range(3))
        self.norm = nn.LayerNorm(UNITS)
        self.one, self.two, self.three = nn.ReLU(), nn.ReLU(), nn.ReLU()

    def forward(self, x):
        x = self.one(self.first(x))
        x = self.second(x)
        torch._dynamo.graph_break()
        x = self.two(x)
        x = self.norm(self.third(x))
        torch._dynamo.graph_break()
        return self.three(x)


def with_breaks(model, **_options):
    return torch.compile(model, backend="aot_eager")


def layers_only(model, **_options):
    for name in ("first", "second", "third"):
        setattr(model, name, torch.compile(getattr(model, name), backend="aot_eager", fullgraph=True))
    return torch.compiler.disable(model)


@pytest.mark.parametrize("way", [with_breaks, layers_only])
def test_what_makes_units_is_known_across_graphs(tmp_path, way):
    bare, before = train(seeded(Breaking), way)
    watched, after = train(seeded(Breaking), way, tmp_path)
    assert before == after
    assert all(torch.equal(one, two) for one, two in zip(bare, watched, strict=True))
    found = sources(read(tmp_path))
    assert (found["one"], found["two"], found["three"]) == ("first", "second", "third")


class Shared(nn.Module):
    """One module activates twice in a pass."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.act = nn.Linear(UNITS, UNITS), nn.Linear(UNITS, UNITS), nn.ReLU()

    def forward(self, x):
        return self.act(self.second(self.act(self.first(x))))


def test_calls_in_a_pass_are_kept_apart_and_passes_of_a_step_add_up(tmp_path):
    train(seeded(Shared), eager, tmp_path / "eager", passes=2)
    train(seeded(Shared), whole, tmp_path / "compiled", passes=2)
    expected, found = read(tmp_path / "eager"), read(tmp_path / "compiled")
    assert sources(found) == {"act": "first", "act#2": "second"}
    for step, table in found.activations.items():
        assert_same(table, {name: expected.activations[step][name] for name in table})


def test_convolutions_have_channels_and_the_modules_between_belong_to_them(tmp_path):
    def make():
        return nn.Sequential(
            nn.Conv1d(3, 5, 3), nn.BatchNorm1d(5), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(30, 2)
        )

    bare, before = train(seeded(make), shape=(BATCH, 3, 8))
    watched, after = train(seeded(make), whole, tmp_path, shape=(BATCH, 3, 8))
    assert before == after
    assert all(torch.equal(one, two) for one, two in zip(bare, watched, strict=True))
    (row,) = read(tmp_path).description.activations
    assert (row.unit, row.units, row.shape) == ("channel", 5, (BATCH, 5, 6))
    assert sources(read(tmp_path)) == {"2": "0"}


def test_evaluation_is_not_counted_and_a_second_batch_size_is_compiled_as_ever(tmp_path):
    def run(folder=None):
        torch.compiler.reset()
        counters.clear()
        model = seeded(blocks)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        writer = NetVizWriter(folder) if folder is not None else None
        if writer is not None:
            writer.watch(model, optimizer, every=1, histograms=False)
        forward = torch.compile(model, backend="aot_eager", fullgraph=True)
        for batch in (BATCH, BATCH, BATCH // 2, BATCH // 4):
            forward(torch.randn(batch, UNITS)).square().mean().backward()
            optimizer.step()
            model.eval()
            with torch.inference_mode():
                forward(torch.randn(BATCH, UNITS))
            model.train()
        if writer is not None:
            writer.close()
        return counted()

    assert run() == run(tmp_path)
    table = read(tmp_path).activations
    values = [table[step]["0.act"]["act_values"] for step in range(4)]
    assert values == [max(4, batch // 8) * UNITS for batch in (BATCH, BATCH, BATCH // 2, BATCH // 4)]


class Checkpointed(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.inner, self.last = Dense(), Dense(), Dense()

    def forward(self, x):
        return self.last(checkpoint(self.inner, self.stem(x), use_reentrant=False))


@pytest.mark.parametrize("backend", BACKENDS[-1:])
def test_what_is_recomputed_is_counted_once(tmp_path, backend):
    bare, before = train(seeded(Checkpointed), backend=backend)
    watched, after = train(seeded(Checkpointed), whole, tmp_path / "compiled", backend=backend)
    assert before == after
    assert all(torch.allclose(one, two, rtol=1e-5) for one, two in zip(bare, watched, strict=True))
    train(seeded(Checkpointed), eager, tmp_path / "eager")
    expected, found = read(tmp_path / "eager"), read(tmp_path / "compiled")
    assert sources(found) == {"stem.act": "stem.layer", "inner.act": None, "last.act": "last.layer"}
    for step, table in found.activations.items():
        assert_same(table, {name: expected.activations[step][name] for name in table}, 1e-4)


class Mapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.inner = Dense(), Dense()

    def forward(self, x):
        return torch.vmap(self.inner)(self.stem(x))


def functional(model, **options):
    parameters = dict(model.named_parameters())
    return torch.compile(lambda x: torch.func.functional_call(model, parameters, (x,)), **options)


@pytest.mark.parametrize(
    ("make", "way", "known"),
    [(Mapped, whole, {"stem.act"}), (Checkpointed, functional, {"stem.act", "inner.act", "last.act"})],
    ids=["vmap", "functional_call"],
)
def test_transformations(tmp_path, make, way, known):
    bare, before = train(seeded(make), way)
    watched, after = train(seeded(make), way, tmp_path)
    assert before == after
    assert all(torch.equal(one, two) for one, two in zip(bare, watched, strict=True))
    assert sources(read(tmp_path)).keys() == known


def graph_of(model):
    """Return what a model is compiled to: the operations, in order."""
    graphs = []

    def backend(graph, _inputs):
        graphs.append([str(node.target) for node in graph.graph.nodes if node.op == "call_function"])
        return graph

    torch.compiler.reset()
    torch.compile(model, backend=backend, fullgraph=True)(torch.randn(BATCH, UNITS))
    (operations,) = graphs
    return operations


def test_without_activations_the_graph_is_that_of_the_bare_model(tmp_path):
    model = seeded(blocks)
    bare = graph_of(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, activations=False)
        assert graph_of(model) == bare
    with NetVizWriter(tmp_path / "with") as writer:
        writer.watch(model)
        assert graph_of(model).count("netviz.hear.default") == 3  # The beginning of the pass, and two activations.


def test_copies_export_and_traces_are_those_of_the_bare_model(tmp_path):
    model, inputs = seeded(blocks), torch.randn(BATCH, UNITS)
    expected, bare = model(inputs), graph_of(seeded(blocks))
    operations = str(torch.jit.trace(model, (inputs,)).inlined_graph).count("aten::")
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model)
        assert graph_of(copy.deepcopy(model)) == bare
        assert graph_of(pickle.loads(pickle.dumps(model))) == bare
        saved = io.BytesIO()
        torch.save(model, saved)
        saved.seek(0)
        assert graph_of(torch.load(saved, weights_only=False)) == bare
        for strict in (False, True):
            exported = torch.export.export(model, (inputs,), strict=strict)
            assert "netviz" not in str(exported.graph)
            assert torch.equal(exported.module()(inputs), expected)
        traced = torch.jit.trace(model, (inputs,))
        assert "netviz" not in str(traced.inlined_graph)
        assert str(traced.inlined_graph).count("aten::") == operations
        assert torch.equal(traced(inputs), expected)


def test_what_is_replayed_as_a_cuda_graph_is_left_alone(tmp_path):
    from torch._inductor import config

    model = seeded(blocks)
    bare = graph_of(model)
    with NetVizWriter(tmp_path) as writer, config.patch({"triton.cudagraphs": True}):
        writer.watch(model)
        assert graph_of(model) == bare


def test_after_detach_the_compiled_model_runs_on_without_the_operator(tmp_path):
    model, inputs = seeded(blocks), torch.randn(BATCH, UNITS)
    expected = model(inputs)
    forward = torch.compile(model, backend="aot_eager", fullgraph=True)
    with NetVizWriter(tmp_path) as writer:
        watch = writer.watch(model)
        assert torch.equal(forward(inputs), expected)
        watch.detach()
        assert torch.equal(forward(inputs), expected)
        writer.watch(model, every=1)
        assert torch.equal(forward(inputs), expected)


def test_two_models_in_one_graph(tmp_path):
    one, two = seeded(blocks), seeded(lambda: nn.Sequential(Dense(), nn.Linear(UNITS, 2)))
    optimizer = torch.optim.SGD([*one.parameters(), *two.parameters()], lr=0.01)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(one, optimizer, every=1, name="one", histograms=False)
        writer.watch(two, optimizer, every=1, name="two", histograms=False)
        together = torch.compile(lambda x: one(x) + two(x) + two(-x), backend="aot_eager", fullgraph=True)
        for _ in range(STEPS):
            together(torch.randn(BATCH, UNITS)).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    assert counted() == (1, 0)
    assert sources(read(tmp_path, "one")) == {"0.act": "0.layer", "1.act": "1.layer"}
    recording = read(tmp_path, "two")
    assert sources(recording) == {"0.act": "0.layer"}
    assert recording.activations[1]["0.act"]["act_values"] == 2 * BATCH // 8 * UNITS


def test_what_is_not_heard_is_said(tmp_path):
    train(seeded(blocks), block_by_block, tmp_path)
    told = {omission.subject: omission.reason for omission in read(tmp_path).description.omissions}
    assert "at most those of modules such as nn.ReLU" in told["0"]
    assert "F.relu" in told["functions"]
