"""Series over the whole way: event file, loader, reader, merging, frame; against float64 arithmetic on the gradients.

The expected values are computed from whole layers' concatenated gradients, not by merging parameters.
"""

import numpy as np
import pytest

from tb_netviz_plugin.schema.statistics import STATISTICS, Rows
from tests.support.runs import (
    RunFile,
    count_bins,
    dense_layers,
    describe,
    fold,
    observe,
    random_gradients,
    write_run,
)

OF_PARAMETERS = [one for one in STATISTICS if one.rows is Rows.PARAMETERS]
NUMBER, NOT_RECORDED, NO_GRADIENT, NONFINITE = range(4)
TINY = 1e-6


def flat(tensors):
    return np.concatenate([tensor.ravel() for tensor in tensors]).astype(np.float64)


def expected_statistics(gradients, weights, updates, last):
    """Every statistic of one layer at one step, from its elements."""
    g, w, u, before = flat(gradients), flat(weights), flat(updates), flat(last)
    return {
        "gradient_norm": np.linalg.norm(g),
        "gradient_mean_abs": np.abs(g).mean(),
        "gradient_max_abs": np.abs(g).max(),
        "gradient_zero_fraction": (g == 0).mean(),
        "gradient_nonfinite": 0.0,
        "weight_norm": np.linalg.norm(w),
        "update_ratio": np.linalg.norm(u) / np.linalg.norm(w),
        "gradient_cosine": g @ before / np.linalg.norm(g) / np.linalg.norm(before),
    }


class Training:
    """Random gradients of a small network at some steps, written as a run, with what is expected of it."""

    def __init__(self, log_dir, layers=3, steps=12, window=1, seed=0):
        rng = np.random.default_rng(seed)
        self.description = describe(dense_layers(layers))
        self.owners = np.array([row.owner for row in self.description.parameters])
        self.expected = []
        observed = []
        weights = random_gradients(self.description, rng)
        last = random_gradients(self.description, rng)
        with RunFile(log_dir) as file:
            file.describe(self.description)
            for step in range(steps):
                gradients = random_gradients(self.description, rng, 10.0 ** rng.uniform(-12, 3))
                for gradient in gradients:
                    gradient[rng.random(gradient.shape) < 0.3] = 0.0
                updates = random_gradients(self.description, rng, 0.01)
                observed.append(observe(gradients, weights, updates, last))
                self.expected.append([self._layer(i, gradients, weights, updates, last) for i in range(layers)])
                self.network = expected_statistics(gradients, weights, updates, last)
                if len(observed) == window:
                    planes = observed[0] if window == 1 else fold(observed)
                    file.record(self.description, step, planes, span=window, observations=window)
                    observed = []
                last = gradients

    def _layer(self, index, *tensors):
        rows = np.flatnonzero(self.owners == index)
        return expected_statistics(*([group[row] for row in rows] for group in tensors))

    def values(self, statistic):
        return np.array([[layer[statistic] for layer in step] for step in self.expected]).T


@pytest.fixture
def training(tmp_path):
    return Training(tmp_path / "run")


@pytest.mark.parametrize("statistic", [one.id for one in OF_PARAMETERS])
def test_layers_have_the_statistics_of_their_elements(tmp_path, training, open_logdir, statistic):
    header, arrays = open_logdir(tmp_path).frame("series", run="run", statistic=statistic)
    assert header["rows"] == "layers"
    assert header["row"] == [0, 1, 2]
    np.testing.assert_array_equal(arrays["steps"], np.arange(12))
    np.testing.assert_array_equal(arrays["spans"], np.ones(12))
    np.testing.assert_array_equal(arrays["observations"], np.ones(12))
    assert arrays["values"].dtype == np.float32
    assert not arrays["states"].any()
    np.testing.assert_allclose(arrays["values"], training.values(statistic), rtol=2e-6, atol=TINY)
    assert "low" not in arrays


@pytest.mark.parametrize("statistic", [one.id for one in OF_PARAMETERS])
def test_the_network_is_one_row(tmp_path, training, open_logdir, statistic):
    header, arrays = open_logdir(tmp_path).frame("series", run="run", statistic=statistic, rows="network")
    assert header["row"] == [0]
    assert arrays["values"].shape == (1, 12)
    np.testing.assert_allclose(arrays["values"][0, -1], training.network[statistic], rtol=2e-6, atol=TINY)


def test_rows_can_be_chosen_in_any_order(tmp_path, training, open_logdir):
    app = open_logdir(tmp_path)
    _, everything = app.frame("series", run="run", statistic="gradient_norm", rows="parameters")
    assert everything["values"].shape == (6, 12)
    header, chosen = app.frame("series", run="run", statistic="gradient_norm", rows="parameters", row=[4, 1, 1])
    assert header["row"] == [4, 1, 1]
    np.testing.assert_array_equal(chosen["values"], everything["values"][[4, 1, 1]])
    header, chosen = app.frame("series", run="run", statistic="gradient_norm", row=[2, 0])
    np.testing.assert_allclose(chosen["values"], training.values("gradient_norm")[[2, 0]], rtol=2e-6)
    assert header["row"] == [2, 0]


@pytest.mark.parametrize("statistic", [one.id for one in OF_PARAMETERS if one.bounded])
def test_bands_enclose_every_step_of_a_window(tmp_path, open_logdir, statistic):
    training = Training(tmp_path / "run", window=4)
    _, arrays = open_logdir(tmp_path).frame("series", run="run", statistic=statistic, band="true")
    np.testing.assert_array_equal(arrays["steps"], [3, 7, 11])
    np.testing.assert_array_equal(arrays["spans"], [4, 4, 4])
    windows = training.values(statistic).reshape(3, 3, 4)
    assert np.all(arrays["low"] <= windows.min(axis=2) * (1 + TINY))
    assert np.all(arrays["high"] * (1 + TINY) >= windows.max(axis=2))
    assert np.all(arrays["low"] <= arrays["values"])
    assert np.all(arrays["values"] <= arrays["high"])


def test_a_window_has_the_root_mean_square_of_norms_and_the_mean_of_magnitudes(tmp_path, open_logdir):
    training = Training(tmp_path / "run", window=4)
    app = open_logdir(tmp_path)
    norms = training.values("gradient_norm").reshape(3, 3, 4)
    means = training.values("gradient_mean_abs").reshape(3, 3, 4)
    _, arrays = app.frame("series", run="run", statistic="gradient_norm")
    np.testing.assert_allclose(arrays["values"], np.sqrt((norms**2).mean(axis=2)), rtol=2e-6)
    _, arrays = app.frame("series", run="run", statistic="gradient_mean_abs")
    np.testing.assert_allclose(arrays["values"], means.mean(axis=2), rtol=2e-6)


@pytest.mark.parametrize("statistic", ["gradient_norm", "gradient_cosine"])
def test_bands_of_single_steps_are_the_values(tmp_path, training, open_logdir, statistic):
    _, arrays = open_logdir(tmp_path).frame("series", run="run", statistic=statistic, band="true")
    np.testing.assert_array_equal(arrays["low"], arrays["values"])
    np.testing.assert_array_equal(arrays["high"], arrays["values"])


def write_states(log_dir):
    """Layer 0 is well, layer 1 loses its bias's gradient, then all, then meets NaN in its weight only."""
    description = describe(dense_layers(2))
    rng = np.random.default_rng(1)
    weights = random_gradients(description, rng)
    updates = random_gradients(description, rng)
    history = []
    with RunFile(log_dir) as file:
        file.describe(description)
        for step in range(4):
            gradients: list[np.ndarray | None] = list(random_gradients(description, rng))
            if step in (1, 2):
                gradients[3] = None
            if step == 2:
                gradients[2] = None
            if step == 3:
                gradients[2] = np.full(description.parameters[2].shape, np.inf, np.float32)
            file.record(description, step, observe(gradients, weights, updates))
            history.append(gradients)
    return history


def test_states_and_values_of_partly_missing_gradients(tmp_path, open_logdir):
    history = write_states(tmp_path / "run")
    app = open_logdir(tmp_path)
    _, arrays = app.frame("series", run="run", statistic="gradient_mean_abs")
    np.testing.assert_array_equal(arrays["states"], [[NUMBER] * 4, [NUMBER, NUMBER, NO_GRADIENT, NONFINITE]])
    # A bias without a gradient counts neither in the sum nor in the number of elements.
    assert arrays["values"][1, 1] == pytest.approx(np.abs(flat([history[1][2]])).mean(), rel=TINY)
    assert np.isnan(arrays["values"][1, 2:]).all()
    _, arrays = app.frame("series", run="run", statistic="weight_norm")
    assert not arrays["states"].any()
    _, arrays = app.frame("series", run="run", statistic="gradient_cosine")
    np.testing.assert_array_equal(arrays["states"][0], [NOT_RECORDED] * 4)
    _, arrays = app.frame("series", run="run", statistic="gradient_nonfinite")
    np.testing.assert_array_equal(arrays["states"][1], [NUMBER, NUMBER, NO_GRADIENT, NONFINITE])
    assert arrays["values"][1, 3] == pytest.approx(16 / 20)
    _, arrays = app.frame("series", run="run", statistic="gradient_norm", rows="parameters")
    np.testing.assert_array_equal(
        arrays["states"][2:], [[NUMBER, NUMBER, NO_GRADIENT, NONFINITE], [NUMBER, NO_GRADIENT, NO_GRADIENT, NUMBER]]
    )


def test_a_window_with_nan_steps_shows_the_finite_ones(tmp_path, open_logdir):
    description = describe(dense_layers(1))
    rng = np.random.default_rng(1)
    well = [random_gradients(description, rng) for _ in range(2)]
    ill = [np.full_like(gradient, np.nan) for gradient in well[0]]
    steps = [observe(gradients, well[0], well[0]) for gradients in (*well, ill)]
    with RunFile(tmp_path / "run") as file:
        file.describe(description)
        file.record(description, 2, fold(steps), span=3, observations=3)
    _, arrays = open_logdir(tmp_path).frame("series", run="run", statistic="gradient_norm", band="true")
    norms = [np.linalg.norm(flat(gradients)) for gradients in well]
    assert arrays["states"].tolist() == [[NONFINITE]]
    assert arrays["values"][0, 0] == pytest.approx(np.sqrt(np.mean(np.square(norms))), rel=TINY)
    assert arrays["low"][0, 0] <= min(norms) * (1 + TINY)
    assert arrays["high"][0, 0] >= max(norms) * (1 - TINY)


def test_weights_that_became_nan_are_not_called_unmeasured(tmp_path, open_logdir):
    description = describe(dense_layers(1))
    nan = [np.full(row.shape, np.nan, np.float32) for row in description.parameters]
    with RunFile(tmp_path / "run") as file:
        file.describe(description)
        file.record(description, 0, observe(nan, nan, nan))
    app = open_logdir(tmp_path)
    for statistic in ("weight_norm", "update_ratio", "gradient_max_abs"):
        _, arrays = app.frame("series", run="run", statistic=statistic)
        assert arrays["states"].tolist() == [[NONFINITE]]
        assert np.isnan(arrays["values"]).all()


@pytest.mark.parametrize("value", [np.inf, 3e38, 1e-45, 0.0])
def test_extreme_numbers_pass(tmp_path, open_logdir, value):
    description = describe(dense_layers(2))
    columns = np.full((len(description.parameters), 11), value)
    columns[:, 6] = 0
    with RunFile(tmp_path / "run") as file:
        file.describe(description)
        file.record(description, 0, columns)
    app = open_logdir(tmp_path)
    for statistic in [one.id for one in OF_PARAMETERS]:
        for rows in ("layers", "parameters", "network"):
            _, arrays = app.frame("series", run="run", statistic=statistic, rows=rows, band="true")
            finite = np.isfinite(arrays["values"])
            assert np.all(finite | (arrays["states"] != NUMBER) | (value == 3e38))
    assert app.json("findings", run="run") is not None


def test_statistics_without_their_columns_are_not_listed(tmp_path, open_logdir):
    description = describe(dense_layers(2), columns=("present", "grad_norm", "grad_nonfinite"), with_bins=False)
    gradients = random_gradients(description, np.random.default_rng(0))
    with RunFile(tmp_path / "run") as file:
        file.describe(description)
        file.record(description, 0, observe(gradients, gradients, gradients))
    app = open_logdir(tmp_path)
    assert app.json("run", run="run")["statistics"] == ["gradient_norm", "gradient_nonfinite"]
    _, arrays = app.frame("series", run="run", statistic="weight_norm")
    assert arrays["states"].tolist() == [[NOT_RECORDED], [NOT_RECORDED]]


def test_several_chunks_of_many_layers_are_one_grid(tmp_path, open_logdir):
    description = write_run(tmp_path / "run", layers=2000, steps=range(3))
    assert len([chunk for chunk in description.chunks if chunk.family == "parameters"]) == 8
    app = open_logdir(tmp_path)
    assert len(app.json("run", run="run")["layers"]) == 2000
    _, arrays = app.frame("series", run="run", statistic="gradient_norm")
    assert arrays["values"].shape == (2000, 3)
    assert not arrays["states"].any()
    assert np.unique(arrays["values"]).size > 5900


def test_a_run_of_100_000_steps_keeps_all_its_records(tmp_path, open_logdir):
    steps = [t for t in range(100_000) if t == 99_999 or window(t) != window(t + 1)]
    assert len(steps) == 1348
    write_run(tmp_path / "run", layers=1, steps=steps)
    app = open_logdir(tmp_path)
    _, arrays = app.frame("series", run="run", statistic="gradient_norm")
    np.testing.assert_array_equal(arrays["steps"], steps)


def window(step):
    stride = 1 << max(0, (step // 128).bit_length() - 1)
    return stride, step // stride


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ({"run": "run"}, 400, "'statistic' is missing"),
        ({"statistic": "gradient_norm"}, 400, "'run' is missing"),
        ({"run": "run", "statistic": "<b>"}, 400, "statistic is one of"),
        ({"run": "run", "statistic": "gradient_norm", "rows": "all"}, 400, "rows is one of"),
        ({"run": "run", "statistic": "gradient_norm", "rows": "activations"}, 400, "is a statistic of parameters"),
        ({"run": "run", "statistic": "activation_std", "rows": "layers"}, 400, "is a statistic of activations"),
        ({"run": "run", "statistic": "activation_std", "row": "0"}, 404, "row 0 does not exist"),
        ({"run": "run", "statistic": "gradient_norm", "band": "yes"}, 400, "band is one of"),
        ({"run": "run", "statistic": "gradient_norm", "row": "-1"}, 400, "row is an index"),
        ({"run": "run", "statistic": "gradient_norm", "row": "²"}, 400, "row is an index"),
        ({"run": "run", "statistic": "gradient_norm", "row": "3"}, 404, "row 3 does not exist"),
        ({"run": "run", "statistic": "gradient_norm", "layer": "3"}, 400, "unknown argument 'layer'"),
        ({"run": "../run", "statistic": "gradient_norm"}, 404, "no data"),
    ],
)
def test_senseless_requests_are_refused_in_words(tmp_path, training, open_logdir, arguments, status, words):
    found, kind, message = open_logdir(tmp_path).error("series", **arguments)
    assert (found, kind) == (status, "bad_argument" if status == 400 else "not_found")
    assert words in message


def test_bins_add_up_over_the_parameters_of_a_layer(tmp_path, open_logdir):
    description = describe(dense_layers(2))
    rng = np.random.default_rng(3)
    counted = []
    with RunFile(tmp_path / "run") as file:
        file.describe(description)
        for step in range(17):
            gradients = random_gradients(description, rng, 10.0 ** rng.uniform(-35, 8))
            gradients[0][0, 0] = np.nan
            gradients[1][0] = 0
            counts = count_bins(gradients) if step % 8 == 0 else None
            counted += [] if counts is None else [counts]
            file.record(description, step, observe(gradients, gradients, gradients), counts=counts)
    app = open_logdir(tmp_path)
    assert app.json("run", run="run")["has_bins"] is True
    _, layer = app.frame("bins", run="run", layer=0)
    np.testing.assert_array_equal(layer["steps"], [0, 8, 16])
    assert layer["counts"].dtype == np.uint32
    np.testing.assert_array_equal(layer["counts"], [counts[:2].sum(axis=0) for counts in counted])
    _, parameter = app.frame("bins", run="run", parameter=3)
    np.testing.assert_array_equal(parameter["counts"], [counts[3] for counts in counted])
    assert app.error("bins", run="run")[:2] == (400, "bad_argument")
    assert app.error("bins", run="run", layer=0, parameter=0)[:2] == (400, "bad_argument")
    assert app.error("bins", run="run", layer=[0, 1])[:2] == (400, "bad_argument")
    assert app.error("bins", run="run", layer=2)[:2] == (404, "not_found")


def test_metrics_have_their_own_steps_and_nan_is_counted(tmp_path, open_logdir):
    with RunFile(tmp_path / "run") as file:
        for step in range(5):
            file.metric("loss/train", step, 1.0 / (step + 1), role="train_loss")
        file.metric("acc", 4, np.nan, span=5)
    header, arrays = open_logdir(tmp_path).frame("metrics", run="run")
    assert header["metrics"] == [{"name": "loss/train", "role": "train_loss"}, {"name": "acc", "role": ""}]
    np.testing.assert_array_equal(arrays["0.steps"], range(5))
    np.testing.assert_allclose(arrays["0.mean"], 1 / np.arange(1, 6), rtol=1e-6)
    np.testing.assert_array_equal(arrays["0.nonfinite"], np.zeros(5))
    assert arrays["1.spans"].tolist() == [5]
    assert np.isnan(arrays["1.mean"]).all()
    assert arrays["1.nonfinite"].tolist() == [1]
