"""Embeddings, their points and their records, as the tab gets them."""

from dataclasses import replace

import numpy as np
import pytest

from tb_netviz_plugin.schema.description import Omission
from tb_netviz_plugin.schema.embedding import LAYOUT_COLUMNS, MEASURE_COLUMNS, Method
from tests.support.embeddings import CLASSES, EmbeddingFile, clusters, codes_of, described, point_set
from tests.support.runs import HOSTILE_NAMES, START, RunFile, write_run

FC = {"run": "run", "embedding": "fc"}

REFUSED: list[tuple[str, dict[str, object], int, str, str]] = [
    ("points", {"step": 1}, 404, "not_found", "no positions of this layout were recorded at step 1"),
    ("points", {"step": "-1"}, 400, "bad_argument", "step is one of"),
    ("points", {"step": "1e3"}, 400, "bad_argument", "step is one of"),
    ("points", {"step": 10**17}, 404, "not_found", "at step 1000"),
    ("points", {"step": 10**30}, 400, "bad_argument", "step is one of"),
    ("points", {"step": None}, 400, "bad_argument", "'step' is missing"),
    ("points", {"layout": 1}, 404, "not_found", "layout 1 does not exist; there are 1"),
    ("points", {"layout": [0, 0]}, 400, "bad_argument", "layout is given 2 times"),
    ("points", {"layout": None}, 400, "bad_argument", "'layout' is missing"),
    ("points", {"embedding": "other"}, 404, "not_found", "no embedding of this name"),
    ("points", {"set": 0}, 400, "bad_argument", "unknown argument 'set'"),
    ("points", {"run": "none"}, 404, "not_found", "TensorBoard has no data"),
    ("layout", {"layout": "²"}, 400, "bad_argument", "layout is an index"),
    ("measures", {"layout": 0}, 400, "bad_argument", "unknown argument 'layout'"),
    ("point_labels", {"set": 1}, 404, "not_found", "set 1 does not exist; there are 1"),
    ("point_labels", {"set": "x"}, 400, "bad_argument", "set is an index"),
    ("thumbnails", {"set": 0}, 404, "not_found", "no thumbnails"),
    ("thumbnails", {"set": 0, "count": 4097}, 400, "bad_argument", "count is a whole number from 1 to 4,096"),
    ("thumbnails", {"set": 0, "count": 0}, 400, "bad_argument", "count is a whole number"),
    ("thumbnails", {"set": 0, "first": "-1"}, 400, "bad_argument", "first is a whole number"),
    ("embeddings", {"embedding": "fc"}, 400, "bad_argument", "unknown argument 'embedding'"),
]


def pictures(points, channels=1):
    return np.arange(points * 6 * 5 * channels).reshape(points, 6, 5, channels).astype(np.uint8)


def write(log_dir, steps, *, points=30, start=START, seed=0):
    """Write an embedding with one set and one layout, and return what was written of it."""
    with RunFile(log_dir, start=start) as file:
        written = EmbeddingFile(file, described(point_set(points)), steps[0])
        written.labels(0, clusters(points, 0, seed=seed)[1], steps[0])
        for step in steps:
            positions, labels = clusters(points, step, seed=seed)
            written.lay(step, positions)
            written.measure(step, {"set": 0, "points": points}, predictions=(labels + seed) % 3)
    return written


def assert_near(found, positions):
    """Assert that these are the positions, but for half a code and what float32 rounds."""
    assert found.dtype == np.float32
    _, _, scale = codes_of(positions)
    assert np.abs(found - positions).max() <= 0.51 * scale + 1e-6 * np.abs(positions).max()


def test_an_embedding_says_what_it_has(tmp_path, open_logdir):
    one = point_set(7, pages=2, on_page=4)
    layouts = ((Method.TSNE, 2, "live"), (Method.PCA, 3, "offline"))
    description = described(one, point_set(9, "numbers"), layouts=layouts, omissions=(Omission("umap", "absent"),))
    with RunFile(tmp_path / "run") as file:
        written = EmbeddingFile(file, description)
        written.labels(0, np.zeros(7, np.float32))
        written.thumbnails(0, pictures(7, 3))
        for step in (0, 40):
            written.lay(step, clusters(7, step)[0])
        signature, predictions = np.ones((7, 2), np.float32), np.zeros(7, np.float32)
        written.measure(0, {"set": 0}, signature, predictions)
        written.measure(80, {"set": 0}, signature, predictions)
    found = open_logdir(tmp_path).json("embeddings", run="run")
    assert sorted(found) == ["embeddings", "revision", "run"]
    assert found["embeddings"] == [
        {
            "name": "fc",
            "model": "",
            "module": "net.fc",
            "inputs": "inputs",
            "sets": [
                {
                    "points": 7,
                    "labels": "classes",
                    "classes": list(CLASSES),
                    "thumbnails": {"count": 7, "height": 6, "width": 5, "channels": 3},
                },
                {"points": 9, "labels": "numbers", "classes": [], "thumbnails": None},
            ],
            "layouts": [
                {"method": "tsne", "dims": 2, "origin": "live", "steps": [0, 40]},
                {"method": "pca", "dims": 3, "origin": "offline", "steps": []},
            ],
            "measures": {"columns": list(MEASURE_COLUMNS), "steps": [0, 80]},
            "predictions": True,
            "omissions": [{"subject": "umap", "reason": "absent"}],
            # Labels, thumbnails, positions and what is known of them, measures, predictions, signatures.
            "nbytes": 4 * 7 + 7 * 6 * 5 * 3 + 2 * (2 * 2 * 7 + 4 * 14) + 2 * 4 * 6 + 2 * 4 * 7 + 2 * 4 * 7 * 2,
        }
    ]


@pytest.mark.parametrize("dims", [2, 3])
def test_points_come_back_where_they_were_put(tmp_path, open_logdir, dims):
    steps = range(25)
    layouts = ((Method.PCA, 5 - dims, "live"), (Method.TSNE, dims, "live"))
    with RunFile(tmp_path / "run") as file:
        written = EmbeddingFile(file, described(point_set(50), layouts=layouts))
        for step in steps:
            written.lay(step, clusters(50, step, dims=dims)[0], layout=1)
            written.measure(step, {"set": 0}, predictions=np.full(50, step % 3, np.float32))
    app = open_logdir(tmp_path)
    for step in steps:
        header, arrays = app.frame("points", **FC, layout=1, step=step)
        assert (header["run"], header["step"], header["set"]) == ("run", step, 0)
        assert_near(arrays["positions"], clusters(50, step, dims=dims)[0])
        assert arrays["predictions"].tolist() == [step % 3] * 50


def test_points_that_are_nowhere_are_nan(tmp_path, open_logdir):
    positions = clusters(5, 0)[0]
    positions[2], positions[3, 1] = np.nan, np.inf
    with RunFile(tmp_path / "run") as file:
        written = EmbeddingFile(file, described(point_set(5, "none"), predictions=False))
        written.lay(0, positions)
        written.lay(1, np.full((5, 2), np.nan))
        written.lay(2, np.full((5, 2), 3.5))
    app = open_logdir(tmp_path)
    found = [app.frame("points", **FC, layout=0, step=step)[1] for step in range(3)]
    assert np.isnan(found[0]["positions"]).any(axis=1).tolist() == [False, False, True, True, False]
    assert np.isnan(found[1]["positions"]).all()
    assert (found[2]["positions"] == 3.5).all()
    assert found[0]["predictions"].shape == (0,)
    assert app.json("embeddings", run="run")["embeddings"][0]["predictions"] is False


def test_what_is_known_of_each_record_comes_as_a_table(tmp_path, open_logdir):
    with RunFile(tmp_path / "run") as file:
        written = EmbeddingFile(file, described(point_set(5)))
        for step in (3, 30):
            written.lay(step, clusters(5, step)[0], figures={"trustworthiness": step / 100, "drift": np.nan})
            written.measure(step, {"set": 0, "points": 5, "knn_accuracy": step / 200})
    app = open_logdir(tmp_path)
    header, arrays = app.frame("layout", **FC, layout=0)
    assert (header["columns"], header["steps"]) == (list(LAYOUT_COLUMNS), [3, 30])
    table = dict(zip(header["columns"], arrays["values"].T, strict=True))
    np.testing.assert_array_equal(table["trustworthiness"], np.array([0.03, 0.3], np.float32))
    np.testing.assert_array_equal(table["set"], [0, 0])
    assert np.isnan(table["drift"]).all()
    header, arrays = app.frame("measures", **FC)
    assert (header["columns"], header["steps"]) == (list(MEASURE_COLUMNS), [3, 30])
    table = dict(zip(header["columns"], arrays["values"].T, strict=True))
    np.testing.assert_array_equal(table["knn_accuracy"], np.array([0.015, 0.15], np.float32))
    assert np.isnan(table["fisher_ratio"]).all()


def test_labels_come_as_they_were_given(tmp_path, open_logdir):
    given = [np.array([0, 2, np.nan], np.float32), np.array([0.5, np.nan, -3e30], np.float32)]
    with RunFile(tmp_path / "run") as file:
        written = EmbeddingFile(file, described(point_set(3), point_set(3, "numbers"), point_set(3, "none")))
        for index, labels in enumerate(given):
            written.labels(index, labels)
    app = open_logdir(tmp_path)
    for index, expected in enumerate([*given, np.empty(0)]):
        np.testing.assert_array_equal(app.frame("point_labels", **FC, set=index)[1]["labels"], expected)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_thumbnails_come_across_pages(tmp_path, open_logdir, channels):
    shown = pictures(11, channels)
    with RunFile(tmp_path / "run") as file:
        EmbeddingFile(file, described(point_set(11, pages=3, on_page=4))).thumbnails(0, shown)
    app = open_logdir(tmp_path)
    for first, count in ((0, 11), (0, 4096), (3, 2), (4, 4), (2, 8), (7, 1), (10, 5), (11, 3), (500, 1)):
        found = app.frame("thumbnails", **FC, set=0, first=first, count=count)[1]["thumbnails"]
        np.testing.assert_array_equal(found, shown[first : first + count])
    assert len(app.frame("thumbnails", **FC, set=0)[1]["thumbnails"]) == 11


def test_wrong_arguments_are_refused_in_words(tmp_path, open_logdir):
    write(tmp_path / "run", [0])
    app = open_logdir(tmp_path)
    usual: dict[str, dict[str, object]] = {"points": {"layout": 0, "step": 0}, "layout": {"layout": 0}}
    for route, changes, status, kind, words in REFUSED:
        arguments = {**(FC if route != "embeddings" else {"run": "run"}), **usual.get(route, {}), **changes}
        given = {name: value for name, value in arguments.items() if value is not None}
        found = app.error(route, **given)
        assert found[:2] == (status, kind), (route, changes, found)
        assert words in found[2], (route, changes, found)


def test_names_are_only_text(tmp_path, open_logdir):
    with RunFile(tmp_path / "run") as file:
        for name in HOSTILE_NAMES:
            one = replace(point_set(4), classes=HOSTILE_NAMES)
            EmbeddingFile(file, described(one, name=name, omissions=(Omission(name, name),))).lay(0, clusters(4, 0)[0])
    app = open_logdir(tmp_path)
    found = app.json("embeddings", run="run")["embeddings"]
    assert sorted(one["name"] for one in found) == sorted(HOSTILE_NAMES)
    assert found[0]["sets"][0]["classes"] == list(HOSTILE_NAMES)
    for name in HOSTILE_NAMES:
        assert app.frame("points", run="run", embedding=name, layout=0, step=0)[1]["positions"].shape == (4, 2)


def test_embeddings_of_several_models_have_names_of_their_own(tmp_path, open_logdir):
    with RunFile(tmp_path / "run") as file:
        for model in ("generator", "critic"):
            EmbeddingFile(file, described(point_set(4), model=model)).lay(0, clusters(4, 0)[0])
    app = open_logdir(tmp_path)
    found = app.json("embeddings", run="run")["embeddings"]
    assert [(one["name"], one["model"]) for one in found] == [("critic/fc", "critic"), ("generator/fc", "generator")]
    assert app.frame("points", run="run", embedding="critic/fc", layout=0, step=0)[1]["positions"].shape == (4, 2)


def test_a_run_without_an_embedding_has_none(tmp_path, open_logdir):
    write_run(tmp_path / "run")
    assert open_logdir(tmp_path).json("embeddings", run="run")["embeddings"] == []


def test_ten_thousand_kinds_of_labels_have_their_names(tmp_path, open_logdir):
    kinds = tuple(f"kind {number}" for number in range(10_000))
    one = replace(point_set(20_000), classes=kinds)
    labels = np.arange(20_000, dtype=np.float32) % 10_000
    with RunFile(tmp_path / "run") as file:
        EmbeddingFile(file, described(one)).labels(0, labels)
    app = open_logdir(tmp_path)
    assert app.json("embeddings", run="run")["embeddings"][0]["sets"][0]["classes"] == list(kinds)
    np.testing.assert_array_equal(app.frame("point_labels", **FC, set=0)[1]["labels"], labels)
