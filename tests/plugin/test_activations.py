"""Activations over the whole way: event file, loader, reader, statistics, frame; against float64 on their outputs."""

import numpy as np
import pytest

from tb_netviz_plugin.schema.columns import ACTIVATION_COLUMNS
from tb_netviz_plugin.schema.description import Activation, Response
from tb_netviz_plugin.schema.statistics import STATISTICS, Rows
from tests.support.outputs import absent_output, flat, output_row
from tests.support.runs import (
    HOSTILE_NAMES,
    START,
    RunFile,
    count_bins,
    dense_layers,
    describe,
    fold,
    observe,
    random_gradients,
)

OF_ACTIVATIONS = [one for one in STATISTICS if one.rows is Rows.ACTIVATIONS]
NUMBER, NOT_RECORDED, NO_GRADIENT, NONFINITE = range(4)
LATER = START + 1000
TOLERANCE = 3e-6
RESOLUTION = 5e-4


def activation(name, module, kind="ReLU", **settings):
    return Activation(name, module, kind, Response.RECTIFIER, units=5, unit="feature", shape=(32, 5), **settings)


LAYERS = dense_layers(1) | {"act": {}, "tanh": {}} | {"head": {"weight": (2, 2)}}
TYPES = {"act": "ReLU", "tanh": "Tanh"}
ACTIVATIONS = (
    activation("act", 1, source=0),
    activation("tanh", 2, "Tanh"),
    activation("head.relu", 3, "relu", source=3),
)


def expected(kind, outputs, gradient):
    """Every statistic of one activation at one step, from its values."""
    return {
        "activation_mean": outputs.mean(),
        "activation_std": outputs.std(),
        "activation_max_abs": np.abs(outputs).max(),
        "activation_zero_fraction": (outputs == 0).mean(),
        "activation_saturation": flat(kind, outputs).mean(),
        "activation_nonfinite": 0.0,
        "output_gradient_norm": np.linalg.norm(gradient),
    }


class Outputs:
    """Random outputs of ACTIVATIONS, written as a run, with what is expected of them."""

    def __init__(self, log_dir, *, steps=12, window=1, description=None, start=START, seed=0, first=0):
        rng = np.random.default_rng(seed)
        self.description = description or describe(LAYERS, types=TYPES, activations=ACTIVATIONS)
        weights = random_gradients(self.description, rng)
        columns = observe(weights, weights, weights)
        self.expected, self.outputs, observed = [], [], []
        with RunFile(log_dir, start=start) as file:
            file.describe(self.description, first)
            for step in range(first, first + steps):
                outputs, gradients = zip(*[self._draw(row, rng) for row in self.description.activations], strict=True)
                kinds = [row.kind for row in self.description.activations]
                measured = list(zip(kinds, outputs, gradients, strict=True))
                observed.append(np.stack([output_row(*one) for one in measured]))
                self.expected.append([expected(*one) for one in measured])
                self.outputs.append(outputs)
                if len(observed) == window:
                    planes = observed[0] if window == 1 else fold(observed, ACTIVATION_COLUMNS)
                    counts = count_bins(outputs) if step % 2 == 0 else None
                    file.record(
                        self.description,
                        step,
                        columns,
                        span=window,
                        observations=window,
                        outputs=planes,
                        output_counts=counts,
                    )
                    observed = []

    def _draw(self, row, rng):
        inputs = 10.0 ** rng.uniform(-3, 1) * rng.standard_normal((17, 5)) + rng.normal()
        outputs = np.tanh(inputs) if row.kind == "Tanh" else np.maximum(inputs, 0)
        return outputs, rng.standard_normal(outputs.shape)

    def values(self, statistic):
        return np.array([[row[statistic] for row in step] for step in self.expected]).T


@pytest.mark.parametrize("statistic", [one.id for one in OF_ACTIVATIONS])
def test_activations_have_the_statistics_of_their_values(tmp_path, open_logdir, statistic):
    outputs = Outputs(tmp_path / "run")
    header, arrays = open_logdir(tmp_path).frame("series", run="run", statistic=statistic, rows="activations")
    assert (header["rows"], header["row"]) == ("activations", [0, 1, 2])
    np.testing.assert_array_equal(arrays["steps"], np.arange(12))
    assert not arrays["states"].any()
    values, means = outputs.values(statistic), np.abs(outputs.values("activation_mean"))
    # The difference of two float32 sums: what is far smaller than they are is lost in rounding.
    lost = {"activation_std": RESOLUTION * means, "activation_mean": TOLERANCE * outputs.values("activation_std")}
    assert np.all(np.abs(arrays["values"] - values) <= 1e-6 * np.abs(values) + lost.get(statistic, 0))


def test_rows_can_be_chosen(tmp_path, open_logdir):
    outputs = Outputs(tmp_path / "run")
    app = open_logdir(tmp_path)
    header, arrays = app.frame("series", run="run", statistic="activation_max_abs", rows="activations", row=[2, 0, 0])
    assert header["row"] == [2, 0, 0]
    np.testing.assert_allclose(arrays["values"], outputs.values("activation_max_abs")[[2, 0, 0]], rtol=1e-6)


@pytest.mark.parametrize("statistic", [one.id for one in OF_ACTIVATIONS if one.bounded])
def test_bands_enclose_every_step_of_a_window(tmp_path, open_logdir, statistic):
    outputs = Outputs(tmp_path / "run", window=4)
    _, arrays = open_logdir(tmp_path).frame("series", run="run", statistic=statistic, band="true")
    windows = outputs.values(statistic).reshape(3, 3, 4)
    assert np.all(arrays["low"] <= windows.min(axis=2) * (1 + TOLERANCE))
    assert np.all(arrays["high"] * (1 + TOLERANCE) >= windows.max(axis=2))


def test_a_window_has_the_moments_of_all_its_values(tmp_path, open_logdir):
    outputs = Outputs(tmp_path / "run", window=4)
    app = open_logdir(tmp_path)
    whole = [
        [np.stack([step[row] for step in outputs.outputs[first : first + 4]]) for first in (0, 4, 8)]
        for row in range(3)
    ]
    for statistic, moment in (("activation_mean", np.mean), ("activation_std", np.std)):
        _, arrays = app.frame("series", run="run", statistic=statistic)
        values = np.array([[moment(window) for window in row] for row in whole])
        np.testing.assert_allclose(arrays["values"], values, rtol=1e-4)


def test_values_that_are_not_finite_are_said_to_be(tmp_path, open_logdir):
    description = describe(LAYERS, types=TYPES, activations=ACTIVATIONS)
    weights = random_gradients(description, np.random.default_rng(0))
    columns = observe(weights, weights, weights)
    well, ill = np.ones((4, 5)), np.array([[np.nan, np.inf, 1.0, 2.0]])
    rows = np.stack([output_row("ReLU", well), output_row("Tanh", ill), absent_output()])
    with RunFile(tmp_path / "run") as file:
        file.describe(description)
        file.record(description, 0, columns, outputs=rows)
        file.record(description, 1, columns)
    app = open_logdir(tmp_path)
    _, arrays = app.frame("series", run="run", statistic="activation_std")
    np.testing.assert_array_equal(arrays["states"][:, 0], [NUMBER, NONFINITE, NOT_RECORDED])
    np.testing.assert_array_equal(arrays["states"][:, 1], [NOT_RECORDED] * 3)
    assert arrays["values"][0, 0] < RESOLUTION
    _, arrays = app.frame("series", run="run", statistic="activation_nonfinite")
    np.testing.assert_array_equal(arrays["values"][:2, 0], [0.0, 0.5])
    _, arrays = app.frame("series", run="run", statistic="output_gradient_norm")
    np.testing.assert_array_equal(arrays["states"][:, 0], [NOT_RECORDED, NONFINITE, NOT_RECORDED])


def test_a_run_lists_its_activations(tmp_path, open_logdir):
    Outputs(tmp_path / "run", steps=1)
    run = open_logdir(tmp_path).json("run", run="run")
    assert run["activations"][0] == {
        "name": "act",
        "label": "blocks.0 · ReLU",
        "layer": 0,
        "module": "act",
        "model": "",
        "kind": "ReLU",
        "function": False,
        "response": "rectifier",
        "units": 5,
        "unit": "feature",
        "shape": [32, 5],
        "place": "",
    }
    others = [(row["label"], row["layer"], row["function"]) for row in run["activations"][1:]]
    assert others == [("tanh · Tanh", None, False), ("head · relu", 1, True)]
    assert set(run["statistics"]) == {one.id for one in STATISTICS}
    assert (run["has_activation_bins"], run["has_units"]) == (True, True)


def test_a_run_without_activations_says_so(tmp_path, open_logdir):
    with RunFile(tmp_path / "run") as file:
        file.describe(describe(dense_layers(2)))
    app = open_logdir(tmp_path)
    run = app.json("run", run="run")
    assert run["activations"] == []
    assert (run["has_activation_bins"], run["has_units"]) == (False, False)
    assert not {one.id for one in OF_ACTIVATIONS} & set(run["statistics"])
    _, arrays = app.frame("series", run="run", statistic="activation_mean", band="true")
    assert arrays["values"].shape == (0, 0)


def test_labels_tell_calls_of_one_module_apart(tmp_path, open_logdir):
    twice = (activation("act", 1, source=0), activation("act#2", 1, source=0))
    Outputs(tmp_path / "run", steps=1, description=describe(LAYERS, types=TYPES, activations=twice))
    labels = [row["label"] for row in open_logdir(tmp_path).json("run", run="run")["activations"]]
    assert labels == ["blocks.0 · ReLU (act)", "blocks.0 · ReLU (act#2)"]


def test_bins_count_the_magnitudes_of_an_activation(tmp_path, open_logdir):
    outputs = Outputs(tmp_path / "run", steps=5)
    app = open_logdir(tmp_path)
    _, arrays = app.frame("bins", run="run", activation=1)
    np.testing.assert_array_equal(arrays["steps"], [0, 2, 4])
    np.testing.assert_array_equal(arrays["counts"], [count_bins([outputs.outputs[step][1]])[0] for step in (0, 2, 4)])
    assert app.error("bins", run="run", activation=3)[0] == 404
    assert app.error("bins", run="run", activation=1, layer=0)[:2] == (400, "bad_argument")
    assert app.error("bins", run="run")[:2] == (400, "bad_argument")


def test_activations_of_several_models_share_an_axis(tmp_path, open_logdir):
    for number, model in enumerate(("generator", "critic")):
        description = describe(LAYERS, types=TYPES, activations=ACTIVATIONS, model=model)
        Outputs(tmp_path / "gan", steps=4 + number, description=description, start=START + 100 * number)
    app = open_logdir(tmp_path)
    rows = app.json("run", run="gan")["activations"]
    assert [row["name"] for row in rows[2:4]] == ["generator/head.relu", "critic/act"]
    assert [row["label"] for row in rows[2:4]] == ["generator/head · relu", "critic/blocks.0 · ReLU"]
    assert [row["layer"] for row in rows] == [0, None, 1, 2, None, 3]
    _, arrays = app.frame("series", run="gan", statistic="activation_mean")
    assert arrays["states"].tolist() == [[0, 0, 0, 0, 1]] * 3 + [[0] * 5] * 3


def test_an_activation_whose_units_change_is_another_one(tmp_path, open_logdir):
    Outputs(tmp_path / "run", steps=3)
    wider = (*ACTIVATIONS[:2], Activation("new", 3, "GELU", Response.SMOOTH, 5), ACTIVATIONS[2])
    changed = describe(
        LAYERS, types=TYPES, activations=[*wider[:1], Activation("tanh", 2, "Tanh", units=7), *wider[2:]]
    )
    Outputs(tmp_path / "run", steps=3, first=2, description=changed, start=LATER)
    app = open_logdir(tmp_path)
    found = [(row["name"], row["units"]) for row in app.json("run", run="run")["activations"]]
    assert found == [("act", 5), ("tanh", 5), ("tanh", 7), ("new", 5), ("head.relu", 5)]
    _, arrays = app.frame("series", run="run", statistic="activation_mean")
    np.testing.assert_array_equal(arrays["steps"], range(5))
    both, first, second = [0] * 5, [0, 0, 1, 1, 1], [1, 1, 0, 0, 0]
    assert arrays["states"].tolist() == [both, first, second, second, both]


def test_hostile_names_arrive_as_they_are(tmp_path, open_logdir):
    rows = tuple(activation(name, 1, name, source=0, place=name) for name in HOSTILE_NAMES)
    Outputs(tmp_path / "run", steps=1, description=describe(LAYERS, activations=rows))
    run = open_logdir(tmp_path).json("run", run="run")
    assert [row["name"] for row in run["activations"]] == list(HOSTILE_NAMES)
    assert [row["place"] for row in run["activations"]] == list(HOSTILE_NAMES)
