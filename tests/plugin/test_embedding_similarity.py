"""How alike vectors are, from step to step, from layer to layer and from run to run."""

import numpy as np
import pytest

from tests.support.embeddings import EmbeddingFile, described, point_set
from tests.support.runs import START, RunFile

FC = {"run": "run", "embedding": "fc"}
BOTH = {**FC, "other_run": "run", "other": "fc"}


def vectors(seed, step, points=40):
    """Return vectors that turn into others with the step, centred, [points, 6]."""
    rng = np.random.default_rng(seed)
    first, last = rng.standard_normal((2, points, 6)) * [5, 3, 2, 1, 1, 1]
    found = first + (last - first) * step / 100
    return found - found.mean(axis=0)


def cka(one, other):
    """Return the linear CKA of centred vectors, by its definition."""
    one, other = (vectors_ @ vectors_.T for vectors_ in (one, other))
    return (one * other).sum() / np.sqrt((one * one).sum() * (other * other).sum())


def write(file, steps, *, seed=0, points=40, sets=None, index=0, name="fc", inputs="inputs", model=""):
    sets = sets or (point_set(points),)
    written = EmbeddingFile(file, described(*sets, name=name, inputs=inputs, model=model), steps[0])
    for step in steps:
        written.measure(step, {"set": index}, vectors(seed, step, points).astype(np.float32))
    return written


def expected(one, other):
    return np.array([[cka(row, column) for column in other] for row in one])


def test_steps_are_compared_with_each_other(tmp_path, open_logdir):
    steps = [0, 30, 60, 100]
    with RunFile(tmp_path / "run") as file:
        write(file, steps)
    header, arrays = open_logdir(tmp_path).frame("similarity", **BOTH)
    assert header["steps"] == header["other_steps"] == steps
    known = [vectors(0, step) for step in steps]
    np.testing.assert_allclose(arrays["values"], expected(known, known), atol=1e-5)
    np.testing.assert_allclose(np.diag(arrays["values"]), 1, atol=1e-6)
    assert arrays["values"].min() < 0.5


def test_runs_are_compared_with_each_other(tmp_path, open_logdir):
    with RunFile(tmp_path / "run") as file:
        write(file, [0, 50])
    with RunFile(tmp_path / "other") as file:
        write(file, [0, 20, 40], seed=1, name="layer")
    header, arrays = open_logdir(tmp_path).frame("similarity", **FC, other_run="other", other="layer")
    assert (header["run"], header["steps"], header["other_steps"]) == ("run", [0, 50], [0, 20, 40])
    known = expected([vectors(0, step) for step in (0, 50)], [vectors(1, step) for step in (0, 20, 40)])
    np.testing.assert_allclose(arrays["values"], known, atol=1e-5)


def test_layers_are_compared_at_a_step(tmp_path, open_logdir):
    layers = {"a": [0, 10, 20], "b": [0, 20], "c": [15, 30]}
    with RunFile(tmp_path / "run") as file:
        for seed, (name, steps) in enumerate(layers.items()):
            write(file, steps, seed=seed, name=name)
        write(file, [0, 10], name="of others", inputs="others")
        EmbeddingFile(file, described(point_set(40), name="without"))
    app = open_logdir(tmp_path)
    used = {10: [10, 0, 15], 15: [10, 0, 15], 29: [20, 20, 15], 1000: [20, 20, 30]}
    for step, steps in used.items():
        header, arrays = app.frame("layer_similarity", run="run", embedding="b", step=step)
        assert (header["names"], header["steps"]) == (["a", "b", "c"], steps)
        known = [vectors(seed, step) for seed, step in enumerate(steps)]
        np.testing.assert_allclose(arrays["values"], expected(known, known), atol=1e-5)
    header, arrays = app.frame("layer_similarity", run="run", embedding="of others", step=0)
    assert (header["names"], arrays["values"].shape) == (["of others"], (1, 1))
    header, arrays = app.frame("layer_similarity", run="run", embedding="without", step=0)
    assert header["names"] == ["a", "b", "c"]


def test_points_that_are_not_the_same_are_not_compared(tmp_path, open_logdir):
    sets = (point_set(40), point_set(25))
    with RunFile(tmp_path / "run") as file:
        written = write(file, [0, 10], sets=sets)
        for step in (20, 30):
            written.measure(step, {"set": 1}, vectors(0, step, 25).astype(np.float32))
        written.measure(40, {"set": 5}, vectors(0, 40).astype(np.float32))
    header, arrays = open_logdir(tmp_path).frame("similarity", **BOTH)
    assert header["steps"] == [0, 10, 20, 30]  # The last one is of points that are not described.
    assert np.isnan(arrays["values"]).tolist() == [
        [False, False, True, True],
        [False, False, True, True],
        [True, True, False, False],
        [True, True, False, False],
    ]


def test_vectors_that_were_given_are_compared_within_a_set_only(tmp_path, open_logdir):
    sets = (point_set(40), point_set(40, key="other labels"))
    with RunFile(tmp_path / "run") as file:
        written = write(file, [0, 10], sets=sets, inputs="")
        written.measure(20, {"set": 1}, vectors(0, 20).astype(np.float32))
        write(file, [0], name="layer", inputs="")
    app = open_logdir(tmp_path)
    values = app.frame("similarity", **BOTH)[1]["values"]
    assert np.isnan(values).tolist() == [[False, False, True], [False, False, True], [True, True, False]]
    status, kind, words = app.error("similarity", **FC, other_run="run", other="layer")
    assert (status, kind) == (400, "bad_argument")
    assert "not known to be of the same inputs" in words
    assert app.frame("layer_similarity", **FC, step=0)[0]["names"] == ["fc"]


def test_many_steps_are_thinned_out_evenly(tmp_path, open_logdir):
    with RunFile(tmp_path / "run") as file:
        write(file, range(0, 595, 5), points=6)
    header, arrays = open_logdir(tmp_path).frame("similarity", **BOTH)
    assert arrays["values"].shape == (60, 60)
    assert (header["steps"][0], header["steps"][-1]) == (0, 590)
    assert set(np.diff(header["steps"])) == {10}


@pytest.mark.parametrize("inputs", ["inputs", ""])
def test_a_resumed_run_goes_on(tmp_path, open_logdir, inputs):
    with RunFile(tmp_path / "run") as file:
        write(file, range(0, 150, 10), inputs=inputs)
    with RunFile(tmp_path / "run", start=START + 1000) as file:
        write(file, [100, 110], seed=1, inputs=inputs)
    header, arrays = open_logdir(tmp_path).frame("similarity", **BOTH)
    assert header["steps"] == list(range(0, 120, 10))
    known = [vectors(0, step) for step in range(0, 100, 10)] + [vectors(1, step) for step in (100, 110)]
    np.testing.assert_allclose(arrays["values"], expected(known, known), atol=1e-5)


def test_damaged_signatures_are_left_out(tmp_path, open_logdir):
    broken = vectors(0, 0).astype(np.float32)
    broken[3, 2] = np.nan
    with RunFile(tmp_path / "run") as file:
        written = write(file, [0])
        for step, damaged in enumerate([broken, np.zeros(4, np.float32), np.zeros((40, 2), np.uint8), None], start=1):
            written.measure(step, {"set": 0}, damaged)
        written.measure(9, {"set": 0}, vectors(0, 9).astype(np.float32))
        written.measure(10, {"set": 0}, vectors(0, 10, 17).astype(np.float32))
        EmbeddingFile(file, described(point_set(40), name="layer"))
    app = open_logdir(tmp_path)
    header, arrays = app.frame("similarity", **BOTH)
    assert header["steps"] == [0, 9, 10]
    assert np.isnan(arrays["values"]).tolist() == [[False, False, True], [False, False, True], [True, True, False]]
    assert app.frame("layer_similarity", **FC, step=5)[0]["steps"] == [0]
    header, arrays = app.frame("similarity", **FC, other_run="run", other="layer")
    assert (header["other_steps"], arrays["values"].shape) == ([], (3, 0))


def test_points_at_one_place_are_like_nothing(tmp_path, open_logdir):
    with RunFile(tmp_path / "run") as file:
        written = write(file, [0])
        written.measure(1, {"set": 0}, np.zeros((40, 2), np.float32))
        written.measure(2, {"set": 0}, np.zeros((40, 0), np.float32))
    header, arrays = open_logdir(tmp_path).frame("similarity", **BOTH)
    assert header["steps"] == [0, 1, 2]
    np.testing.assert_allclose(arrays["values"], [[1, np.nan, np.nan]] + [[np.nan] * 3] * 2, atol=1e-6)


@pytest.mark.parametrize(
    ("route", "arguments", "status", "words"),
    [
        ("similarity", {**FC, "other_run": "run"}, 400, "'other' is missing"),
        ("similarity", {**FC, "other": "fc"}, 400, "'other_run' is missing"),
        ("similarity", {**FC, "other_run": "none", "other": "fc"}, 404, "TensorBoard has no data"),
        ("similarity", {**FC, "other_run": "run", "other": "none"}, 404, "no embedding of this name"),
        ("layer_similarity", FC, 400, "'step' is missing"),
        ("layer_similarity", {**FC, "step": "x"}, 400, "step is one of"),
        ("layer_similarity", {**FC, "step": 0, "layout": 0}, 400, "unknown argument 'layout'"),
    ],
)
def test_wrong_arguments_are_refused_in_words(tmp_path, open_logdir, route, arguments, status, words):
    with RunFile(tmp_path / "run") as file:
        write(file, [0])
    found = open_logdir(tmp_path).error(route, **arguments)
    assert found[0] == status
    assert words in found[2]
