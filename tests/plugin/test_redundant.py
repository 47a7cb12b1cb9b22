"""Which units are redundant, from records of networks where it is known."""

from collections.abc import Callable

import numpy as np
import pytest

from tb_netviz_plugin.schema.description import Activation, Response
from tests.support.outputs import unit_rows
from tests.support.runs import UNIT_NAMES, RunFile, describe

TWIN, MEAN, FIRED = (UNIT_NAMES.index(name) for name in ("twin", "mean", "fired"))
KIND = {Response.NONE: "Linear", Response.RECTIFIER: "ReLU", Response.BOUNDED: "Tanh", Response.SMOOTH: "GELU"}
FUNCTION: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "Linear": lambda x: x,
    "ReLU": lambda x: np.maximum(x, 0),
    "Tanh": np.tanh,
    "GELU": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
}
SAMPLES = 800


class Layer:
    """A layer of 8 units and the activations behind it: 2 and 5 equal unit 1, 3 is its opposite, 6 that of 4."""

    TWINS = (0.0, 0.0, 2.0, -2.0, 0.0, 2.0, -5.0, 0.0)

    def __init__(self, *responses):
        self.responses = responses
        kinds = [KIND[response] for response in responses]
        modules = {"fc": {"weight": (8, 4), "bias": (8,)}} | {kind: {} for kind in kinds if kind != "Linear"}
        activations = [
            Activation(
                kind, list(modules).index("fc" if kind == "Linear" else kind), kind, response, 8, "feature", (9, 8), 0
            )
            for kind, response in zip(kinds, responses, strict=True)
        ]
        self.description = describe(modules, activations=activations)
        self.rng = np.random.default_rng(0)

    def record(self, change=lambda _activation, _rows: None, twins=TWINS):
        """Return the columns of all units over new samples, after `change` to those of each activation."""
        inputs = 0.3 + self.rng.standard_normal((SAMPLES, 8))
        inputs[:, [2, 5]], inputs[:, 3], inputs[:, 6] = inputs[:, [1]], -inputs[:, 1], -inputs[:, 4]
        blocks = []
        for response in self.responses:
            kind = KIND[response]
            rows = unit_rows(kind, FUNCTION[kind](inputs))
            rows[:, TWIN] = twins
            change(kind, rows)
            blocks.append(rows)
        return np.concatenate(blocks)


@pytest.fixture
def redundant(tmp_path, open_logdir):
    """Writes records of a layer and returns what is redundant."""

    def found(layer, records, samples=SAMPLES, answer="redundant"):
        with RunFile(tmp_path / "run") as file:
            file.describe(layer.description)
            for number, rows in enumerate(records):
                counts = [samples * bool(np.isfinite(block).any()) for block in np.split(rows, len(layer.responses))]
                file.units(layer.description, 10 * (number + 1), rows, np.array([[10.0, 1, n, n // 4] for n in counts]))
        return open_logdir(tmp_path).json("redundant", run="run")[answer]

    return found


def only(found):
    """Return (activation, groups, opposite) of the only layer."""
    (entry,) = found
    assert entry["layer"] == "fc"
    return entry["activation"], entry["groups"], entry["opposite"]


@pytest.mark.parametrize("response", [Response.NONE, Response.BOUNDED])
def test_equal_and_opposite_units_of_odd_functions_are_redundant(redundant, response):
    layer = Layer(response)
    assert only(redundant(layer, [layer.record(), layer.record()])) == (0, [[1, 2, 5]], [[1, 3], [4, 6]])


@pytest.mark.parametrize("response", [Response.RECTIFIER, Response.SMOOTH])
def test_of_other_functions_only_equal_ones_are(redundant, response):
    layer = Layer(response)
    assert only(redundant(layer, [layer.record(), layer.record()])) == (0, [[1, 2, 5]], [])


def test_a_layer_stands_once_and_has_to_be_redundant_behind_each_activation(redundant):
    layer = Layer(Response.NONE, Response.RECTIFIER, Response.BOUNDED)
    assert only(redundant(layer, [layer.record(), layer.record()])) == (2, [[1, 2, 5]], [])


def test_one_record_is_not_enough(redundant):
    layer = Layer(Response.RECTIFIER)
    assert redundant(layer, [layer.record()]) == []


def test_a_record_without_samples_in_between_does_not_count(redundant):
    layer = Layer(Response.RECTIFIER)
    records = [layer.record(), np.full((8, len(UNIT_NAMES)), np.nan), layer.record()]
    assert only(redundant(layer, records))[1] == [[1, 2, 5]]


def test_weights_have_to_be_twins_at_both_records(redundant):
    layer = Layer(Response.RECTIFIER)
    others = (0.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0)
    assert only(redundant(layer, [layer.record(twins=others), layer.record()]))[1] == [[1, 5]]


@pytest.mark.parametrize("twin", [np.nan, np.inf, -np.inf, 9.0, 1e30, 3.0])
def test_a_twin_that_can_not_be_is_none(redundant, twin):
    layer = Layer(Response.RECTIFIER)
    twins = (0.0, 0.0, twin, 0.0, 0.0, 2.0, 0.0, 0.0)
    assert only(redundant(layer, [layer.record(twins=twins) for _ in range(2)]))[1] == [[1, 5]]


@pytest.mark.parametrize("column", ["mean", "std", "fired", "largest"])
@pytest.mark.parametrize(("factor", "alike"), [(1.0005, True), (1.002, False), (np.nan, False)])
def test_units_that_behave_differently_are_not_alike(redundant, column, factor, alike):
    def change(_kind, rows):
        rows[5, UNIT_NAMES.index(column)] *= factor

    layer = Layer(Response.RECTIFIER)
    expected = [[1, 2, 5]] if alike else [[1, 2]]
    assert only(redundant(layer, [layer.record(change), layer.record()]))[1] == expected
    assert np.isfinite(factor) or not alike


@pytest.mark.parametrize("column", ["mean", "std"])
def test_opposite_units_have_opposite_means_and_the_same_deviation(redundant, column):
    def change(_kind, rows):
        rows[3, UNIT_NAMES.index(column)] *= 1.01

    layer = Layer(Response.BOUNDED)
    assert only(redundant(layer, [layer.record(), layer.record(change)]))[2] == [[4, 6]]


def test_a_mean_next_to_zero_is_measured_by_the_deviation(redundant):
    means = iter([1e-7, -2e-7])

    def change(_kind, rows):
        rows[[1, 2, 5], MEAN] = 0.0
        rows[5, MEAN] = next(means)

    layer = Layer(Response.NONE)
    assert only(redundant(layer, [layer.record(change), layer.record(change)]))[1] == [[1, 2, 5]]


def test_the_dead_and_the_silent_are_not_redundant(redundant):
    def change(_kind, rows):
        rows[[1, 2, 5]] = 0.0
        rows[[2, 5], TWIN] = 2.0

    layer = Layer(Response.RECTIFIER)
    assert redundant(layer, [layer.record(change)] * 2) == []  # Dead.
    assert redundant(layer, [layer.record(change)] * 2, samples=40) == []  # Silent.


def test_units_that_are_always_zero_are_no_opposites(redundant):
    def change(_kind, rows):
        rows[[1, 3]] = 0.0
        rows[3, TWIN] = -2.0

    layer = Layer(Response.BOUNDED)
    assert only(redundant(layer, [layer.record(change)] * 2))[2] == [[4, 6]]


@pytest.mark.parametrize("ran_before", [False, True])
def test_an_activation_that_runs_now_and_then_has_its_say(redundant, ran_before):
    layer = Layer(Response.NONE, Response.RECTIFIER, Response.BOUNDED)

    def change(kind, rows):
        if kind == "ReLU":
            rows[:] = np.nan

    earlier = [layer.record(), layer.record()] if ran_before else []
    found = redundant(layer, [*earlier, layer.record(change), layer.record(change)])
    assert [only(found)] == [(2, [[1, 2, 5]], [])] if ran_before else found == []


def test_an_activation_that_is_gone_has_no_say(tmp_path, open_logdir):
    before, after = Layer(Response.NONE, Response.RECTIFIER), Layer(Response.NONE, Response.BOUNDED)
    with RunFile(tmp_path / "run") as file:
        for number, layer in enumerate([before, before, after, after]):
            file.describe(layer.description)
            file.units(layer.description, 10 * (number + 1), layer.record(), np.array([[10.0, 1, 800, 200]] * 2))
    (entry,) = open_logdir(tmp_path).json("redundant", run="run")["redundant"]
    assert entry["opposite"] == [[1, 3], [4, 6]]


def test_without_units_there_is_nothing(tmp_path, open_logdir):
    with RunFile(tmp_path / "run") as file:
        file.describe(describe({"fc": {"weight": (8, 4)}}))
    app = open_logdir(tmp_path)
    assert app.json("redundant", run="run") == {"redundant": [], "not_compared": []}
    assert app.error("redundant", run="run", activation=0)[:2] == (400, "bad_argument")


def test_it_says_beside_which_unit_and_how_differently_over_how_many_samples(redundant):
    def change(_kind, rows):
        rows[5, UNIT_NAMES.index("largest")] *= 1.0005
        rows[5, FIRED] *= 1.0002

    layer = Layer(Response.RECTIFIER)
    records = [layer.record(), layer.record(change)]
    (entry,) = redundant(layer, records)
    assert entry["samples"] == 2 * (SAMPLES // 4)
    assert [(one["unit"], one["twin"], one["opposite"]) for one in entry["units"]] == [(2, 1, False), (5, 1, False)]
    largest = records[1][[1, 5], UNIT_NAMES.index("largest")].astype(np.float64)
    assert entry["units"][0]["difference"] == 0
    assert entry["units"][1]["difference"] == pytest.approx(1 - largest[0] / largest[1], rel=1e-3)


def test_an_opposite_unit_is_told_so(redundant):
    layer = Layer(Response.BOUNDED)
    (entry,) = redundant(layer, [layer.record(), layer.record()])
    assert [(one["unit"], one["twin"]) for one in entry["units"] if one["opposite"]] == [(3, 1), (6, 4)]
    assert all(one["difference"] <= 1e-3 for one in entry["units"])


def test_a_layer_that_was_not_compared_says_why(redundant):
    layer = Layer(Response.RECTIFIER)
    assert redundant(layer, [layer.record(), layer.record()], answer="not_compared") == []
    (entry,) = redundant(layer, [layer.record()], answer="not_compared")
    assert entry == {"activation": 0, "layer": "fc", "reason": "there are fewer than two records of its units"}
    unknown = [layer.record(twins=np.full(8, np.nan)) for _ in range(2)]
    (entry,) = redundant(layer, unknown, answer="not_compared")
    assert entry["reason"] == "its incoming weights were not compared"
