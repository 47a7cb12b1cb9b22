"""Vectors of NumPy, laid out by a process of its own and written into a run."""

import math
import warnings

import numpy as np
import pytest

from tb_netviz.embedding import EmbeddingWriter
from tb_netviz.events import NetVizWarning
from tb_netviz_plugin.schema.tags import Family
from tests.support.placed import read_placed

COUNT, UNITS = 60, 8


def clouds(seed=0, count=COUNT, spread=4.0):
    """Return vectors of three classes, and the classes."""
    rng = np.random.default_rng(seed)
    classes = np.arange(count) % 3
    centres = np.random.default_rng(1).standard_normal((3, UNITS))
    return spread * centres[classes] + rng.standard_normal((count, UNITS)), classes


def write(folder, steps, **options):
    """Add the (vectors, labels) of each step, and wait for each; return what was written."""
    with EmbeddingWriter(folder) as writer:
        for step, (vectors, labels) in enumerate(steps):
            writer.add("hidden", vectors, labels, step, **options)
            assert writer.wait(60)
    return read_placed(folder, "hidden")


def write_each(folder, given):
    """Add the (vectors, labels) of each name, by one process for all; return what was written, by name."""
    with EmbeddingWriter(folder) as writer:
        for name, (vectors, labels) in given.items():
            writer.add(name, vectors, labels, 0)
            assert writer.wait(60)
    return {name: read_placed(folder, name.replace("\udc80", "?")) for name in given}


def test_layouts_measures_and_signatures_of_every_step(tmp_path):
    placed = write(tmp_path, [clouds(seed) for seed in range(12)], inputs="all")
    description = placed.description
    assert (description.model, description.module, description.inputs) == ("", "", "all")
    assert [(one.method, one.dims, one.origin) for one in description.layouts] == [
        ("pca", 2, "live"),
        ("tsne", 2, "live"),
    ]
    (points,) = description.sets
    assert (points.points, points.labels, points.classes) == (COUNT, "classes", ("0", "1", "2"))
    np.testing.assert_array_equal(placed.labels(points), clouds()[1])
    for method in ("pca", "tsne"):
        assert placed.steps(method) == list(range(12)) == sorted(placed.codes(method))
        for step in (0, 11):
            positions = placed.positions(method, step)
            assert positions.shape == (COUNT, 2)
            assert np.isfinite(positions).all()
            assert placed.figures(method, step)["dropped"] == 0
    assert placed.repeated == []
    assert max(len(records) for tag, records in placed.arrays.items() if "/positions/" in tag) == 10
    assert sorted(placed.in_buckets(Family.SIGNATURE, description.signature_stem)) == list(range(12))
    measures = placed.measures(11)
    assert (measures["set"], measures["points"]) == (0, COUNT)
    assert 1 < measures["effective_rank"] <= UNITS
    assert measures["knn_accuracy"] > 0.5
    assert placed.reasons == {}


def test_pca_is_that_of_the_vectors(tmp_path):
    vectors, labels = clouds()
    placed = write(tmp_path, [(vectors, labels)])
    centred = vectors - vectors.mean(0)
    expected = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
    found = placed.positions("pca", 0)
    found = found - found.mean(0)
    apart = [np.linalg.norm(one[:, None] - one[None], axis=-1) for one in (found, expected)]
    np.testing.assert_allclose(apart[0] / apart[0].max(), apart[1] / apart[1].max(), atol=1e-3)


def test_scalars_stand_in_the_scalars_dashboard(tmp_path):
    placed = write(tmp_path, [clouds(seed) for seed in range(2)])
    for name in ("trustworthiness", "effective_rank", "fisher_ratio", "probe_accuracy", "knn_accuracy"):
        steps, values = zip(*placed.scalars[f"embedding/hidden/{name}"], strict=True)
        assert steps == (0, 1)
        assert all(math.isfinite(value) for value in values)
    ((step, similarity),) = placed.scalars["embedding/hidden/similarity"]
    assert step == 1
    assert similarity == pytest.approx(placed.figures("pca", 1)["similarity"])


def test_three_dimensions(tmp_path):
    placed = write(tmp_path, [clouds()], dims=3)
    assert placed.positions("pca", 0).shape == placed.positions("tsne", 0).shape == (COUNT, 3)


def test_thumbnails_and_predictions(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (COUNT, 5, 4), np.uint8)
    vectors, labels = clouds()
    placed = write(tmp_path, [(vectors, labels)] * 2, thumbnails=pictures, predictions=(labels + 1) % 4)
    (points,) = placed.description.sets
    assert points.classes == ("0", "1", "2", "3")
    (tag,) = points.thumbnail_tags
    np.testing.assert_array_equal(placed.arrays[tag][0][..., 0], pictures)
    assert list(placed.arrays[tag]) == [0]
    np.testing.assert_array_equal(placed.predictions()[1], (labels + 1) % 4)


def test_labels_of_every_kind_and_none(tmp_path):
    vectors, classes = clouds()
    missing = [None if index % 5 == 0 else "abc"[one] for index, one in enumerate(classes)]
    given = {"none": None, "missing": missing, "numbers": classes * 0.5, "kinds": list(range(COUNT))}
    each = write_each(tmp_path, {name: (vectors, labels) for name, labels in given.items()})
    for name, placed in each.items():
        assert placed.steps("tsne") == [0]
        measures = placed.measures(0)
        assert math.isfinite(measures["effective_rank"])
        assert math.isnan(measures["probe_accuracy"]) == (name in ("none", "numbers", "kinds")), name
    assert each["missing"].description.sets[0].classes == ("a", "b", "c")
    assert each["numbers"].description.sets[0].labels == "numbers"


def test_another_number_of_points_or_other_labels_are_another_set(tmp_path):
    vectors, labels = clouds()
    steps = [(vectors, labels), (vectors, labels), (vectors[:50], labels[:50]), (vectors[:50], labels[:50] > 1)]
    placed = write(tmp_path, steps)
    assert [(one.points, len(one.classes)) for one in placed.description.sets] == [(60, 3), (60 - 10, 3), (50, 2)]
    assert [placed.figures("tsne", step)["set"] for step in range(4)] == [0, 0, 1, 2]
    assert [placed.measures(step)["set"] for step in range(4)] == [0, 0, 1, 2]
    drift = [placed.figures("tsne", step)["drift"] for step in range(4)]
    assert [math.isnan(one) for one in drift] == [True, False, True, True]
    assert placed.positions("tsne", 2).shape == (50, 2)


def test_vectors_that_are_not_finite_are_nowhere(tmp_path):
    vectors, labels = clouds()
    vectors[3], vectors[7, 2], vectors[9, 0] = np.nan, np.inf, 1e300
    placed = write(tmp_path, [(vectors, labels)])
    for method in ("pca", "tsne"):
        nowhere = np.isnan(placed.positions(method, 0)).any(axis=1)
        assert np.flatnonzero(nowhere).tolist() == [3, 7, 9]
    assert placed.measures(0)["points"] == COUNT - 3


FEW = [0, 1, 2, 3, 5, 20]


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """What was written of as many points, by how many."""
    vectors, labels = clouds(count=COUNT)
    given = {str(count): (vectors[:count], labels[:count]) for count in FEW}
    return write_each(tmp_path_factory.mktemp("few"), given)


@pytest.mark.parametrize("count", FEW)
def test_few_points_are_placed_or_it_is_said_why_not(few, count):
    placed = few[str(count)]
    assert placed.description.sets[0].points == count
    assert placed.steps("tsne") == [0] or "first at step 0" in placed.reasons["t-SNE"]
    assert placed.steps("pca") == [0] or "first at step 0" in placed.reasons["PCA"]
    assert placed.steps("pca") == [0] or count < 4


def test_odd_vectors(tmp_path):
    given = {
        "equal": np.ones((COUNT, UNITS)),
        "twice": np.repeat(clouds()[0][:30], 2, axis=0),
        "one unit": clouds()[0][:, 0],
        "none": np.empty((COUNT, 0)),
        "pictures": clouds()[0].reshape(COUNT, 2, 2, 2),
        "half": clouds()[0].astype(np.float16),
        "whole": (10 * clouds()[0]).astype(np.int32),
        "never finite": np.full((COUNT, UNITS), np.nan),
        "large": 1e30 * clouds()[0],
    }
    for name, placed in write_each(tmp_path, {name: (vectors, clouds()[1]) for name, vectors in given.items()}).items():
        assert placed.steps("tsne") == [0] or "first at step 0" in placed.reasons["t-SNE"], name
        assert (placed.description.sets[0].points, placed.repeated) == (COUNT, [])


def test_a_second_record_of_a_step_is_left_out_and_said_once(tmp_path):
    vectors, labels = clouds()
    with EmbeddingWriter(tmp_path) as writer:
        writer.add("hidden", vectors, labels, 4)
        with pytest.warns(NetVizWarning, match="'hidden' has vectors of step 4 already") as told:
            writer.add("hidden", vectors, labels, 4)
        writer.add("hidden", vectors, labels, 4)
        assert (len(told), told[0].filename) == (1, __file__)
        writer.add("hidden", vectors, labels)
    placed = read_placed(tmp_path, "hidden")
    assert placed.steps("pca") == [4, 5]
    assert placed.repeated == []


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"vectors": ["a"] * COUNT}, TypeError, "vectors must be real numbers"),
        ({"vectors": 1.0}, ValueError, "one for each point, got a single number"),
        ({"labels": [1, 2]}, ValueError, "labels must be one for each of the 60 points"),
        ({"predictions": [1, 2]}, ValueError, "predictions must be one for each of the 60 points"),
        ({"thumbnails": np.zeros((3, 4, 4))}, ValueError, "thumbnails must be"),
        ({"dims": 4}, ValueError, "dims must be 2 or 3, got 4"),
        ({"perplexity": 0}, ValueError, "perplexity must be a number, at least 1, got 0"),
        ({"name": 3}, TypeError, "name must be a text, got 3"),
        ({"inputs": 3}, TypeError, "inputs must be a text, got 3"),
        ({"step": 1.5}, TypeError, "integer"),
    ],
)
def test_what_does_not_fit_is_refused_and_starts_nothing(tmp_path, changes, error, words):
    vectors, labels = clouds()
    with EmbeddingWriter(tmp_path) as writer:
        with pytest.raises(error, match=words):
            writer.add(**({"name": "hidden", "vectors": vectors, "labels": labels, "step": 0} | changes))
        assert writer._embeddings.worker_pid is None
    assert read_placed(tmp_path, "hidden").descriptions == 0


NAMES = ["", "a/b", "ünï\tcode\n", "x" * 3000, "../../up", "\udc80"]


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """The folder of a run with embeddings of all these names, and what was written of each."""
    folder = tmp_path_factory.mktemp("named")
    return folder, write_each(folder / "run", dict.fromkeys(NAMES, clouds()))


@pytest.mark.parametrize("name", NAMES)
def test_names_of_every_kind(named, name):
    folder, each = named
    assert each[name].steps("tsne") == [0]
    assert {path.name for path in folder.iterdir()} == {"run"}


def test_a_budget_of_bytes_is_kept_and_its_end_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("tb_netviz.embedding.track.BYTES", 40_000)
    placed = write(tmp_path, [clouds(seed) for seed in range(30)])
    steps = placed.steps("pca")
    assert 2 < len(steps) < 30
    assert placed.reasons["layouts"] == (
        f"the budget of 40,000 bytes is used up; nothing is recorded from step {steps[-1] + 1} on"
    )


def test_points_that_change_all_the_time_are_left_out_in_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr("tb_netviz.embedding.track.MOST_SETS", 3)
    placed = write(tmp_path, [(clouds()[0], np.arange(COUNT) % (2 + step)) for step in range(6)])
    assert len(placed.description.sets) == 3
    assert placed.steps("pca") == [0, 1, 2]
    assert placed.reasons["layouts"] == "the points have changed 3 times; nothing is recorded from step 3 on"


def test_where_nothing_can_be_written_no_process_is_started(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.warns(NetVizWarning, match="nothing is recorded"):
        writer = EmbeddingWriter(tmp_path / "file" / "run")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        writer.add("hidden", clouds()[0], step=0)
        assert writer.wait(1)
        assert writer._embeddings.worker_pid is None
        writer.close()


def test_what_comes_after_the_end_is_dropped(tmp_path):
    writer = EmbeddingWriter(tmp_path)
    writer.add("hidden", clouds()[0], step=0)
    writer.close()
    writer.close()
    writer.add("hidden", clouds()[0], step=1)
    assert read_placed(tmp_path, "hidden").steps("tsne") == [0]
