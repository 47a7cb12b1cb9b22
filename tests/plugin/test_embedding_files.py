"""Embeddings whose files are resumed, half-written, damaged, newer, or large."""

from dataclasses import replace

import numpy as np
import pytest

from tb_netviz_plugin.schema.codec import tensor_value
from tb_netviz_plugin.schema.description import Omission
from tb_netviz_plugin.schema.embedding import LAYOUT_COLUMNS, Method
from tb_netviz_plugin.schema.messages import message_value
from tb_netviz_plugin.schema.tags import Family, tag
from tests.plugin.test_embeddings import FC, assert_near, pictures, write
from tests.support.embeddings import EmbeddingFile, clusters, codes_of, described, point_set
from tests.support.runs import START, RunFile, write_run

LATER = START + 1000


def steps_of(app, layout=0):
    return app.json("embeddings", run="run")["embeddings"][0]["layouts"][layout]["steps"]


def known_of(positions, **changes):
    codes, origin, scale = codes_of(positions)
    return codes, {"set": 0, "origin_x": origin[0], "origin_y": origin[1], "scale": scale} | changes


@pytest.mark.parametrize("back", [205, 200, 150, 95, 0])
def test_what_a_resumed_run_repeats_counts_once(tmp_path, open_logdir, back):
    write(tmp_path / "run", range(0, 205, 5), seed=1)
    again = range(back, back + 120, 5)
    write(tmp_path / "run", again, start=LATER, seed=2)
    app = open_logdir(tmp_path)
    before = [step for step in range(0, 205, 5) if step < back]
    assert steps_of(app) == [*before, *again]
    assert app.json("embeddings", run="run")["embeddings"][0]["measures"]["steps"] == [*before, *again]
    for step in (*before, *again):
        seed = 2 if step in again else 1
        _, arrays = app.frame("points", **FC, layout=0, step=step)
        positions, labels = clusters(30, step, seed=seed)
        assert_near(arrays["positions"], positions)
        np.testing.assert_array_equal(arrays["predictions"], (labels + seed) % 3)


def test_a_resumed_run_that_records_more_often_has_its_own_steps(tmp_path, open_logdir):
    write(tmp_path / "run", range(0, 400, 20), seed=1)
    write(tmp_path / "run", range(100, 300, 4), start=LATER, seed=2)
    app = open_logdir(tmp_path)
    assert steps_of(app) == [0, 20, 40, 60, 80, *range(100, 300, 4)]
    for step in steps_of(app):
        assert_near(
            app.frame("points", **FC, layout=0, step=step)[1]["positions"],
            clusters(30, step, seed=2 if step >= 100 else 1)[0],
        )


def test_each_process_means_its_own_sets(tmp_path, open_logdir):
    with RunFile(tmp_path / "run") as file:
        written = EmbeddingFile(file, described(point_set(4)))
        written.lay(0, clusters(4, 0)[0])
        written.describe(described(point_set(4), point_set(6)), 10)
        written.lay(10, clusters(6, 10)[0], index=1)
    with RunFile(tmp_path / "run", start=LATER) as file:
        written = EmbeddingFile(file, described(point_set(6)), 20)
        written.lay(20, clusters(6, 20)[0])
        written.describe(described(point_set(6), point_set(5, "none")), 30)
        written.lay(30, clusters(5, 30)[0], index=1)
    app = open_logdir(tmp_path)
    (found,) = app.json("embeddings", run="run")["embeddings"]
    assert [(one["points"], one["labels"]) for one in found["sets"]] == [(4, "classes"), (6, "classes"), (5, "none")]
    header, arrays = app.frame("layout", **FC, layout=0)
    assert arrays["values"][:, header["columns"].index("set")].tolist() == [0, 1, 1, 2]
    for step, (points, index) in {0: (4, 0), 10: (6, 1), 20: (6, 1), 30: (5, 2)}.items():
        header, arrays = app.frame("points", **FC, layout=0, step=step)
        assert (header["set"], len(arrays["positions"])) == (index, points)


def test_a_layout_of_another_process_stays(tmp_path, open_logdir):
    write(tmp_path / "run", [0, 10, 20])
    both = ((Method.TSNE, 2, "live"), (Method.PCA, 2, "offline"))
    with RunFile(tmp_path / "run", start=LATER) as file:
        written = EmbeddingFile(file, described(point_set(30), layouts=both), 20)
        for step in (0, 10, 20):
            written.lay(step, clusters(30, step, seed=5)[0], layout=1)
    write(tmp_path / "run", [30], start=LATER + 1000)
    app = open_logdir(tmp_path)
    assert [steps_of(app, layout) for layout in range(2)] == [[0, 10, 20, 30], [0, 10, 20]]
    positions = app.frame("points", **FC, layout=1, step=10)[1]["positions"]
    assert_near(positions, clusters(30, 10, seed=5)[0])


def test_of_other_inputs_the_latest_hold(tmp_path, open_logdir):
    write(tmp_path / "run", [0, 10])
    with RunFile(tmp_path / "run", start=LATER) as file:
        written = EmbeddingFile(file, described(point_set(8), inputs="others", omissions=(Omission("a", "b"),)), 20)
        written.lay(20, clusters(8, 20)[0])
    app = open_logdir(tmp_path)
    (found,) = app.json("embeddings", run="run")["embeddings"]
    assert (found["inputs"], [one["points"] for one in found["sets"]], steps_of(app)) == ("others", [8], [20])
    assert found["omissions"] == [{"subject": "a", "reason": "b"}]


def test_buckets_may_have_gaps(tmp_path, open_logdir):
    with RunFile(tmp_path / "run") as file:
        written = EmbeddingFile(file, described(point_set(4)))
        stem = written.description.layouts[0].position_stem
        for number in range(60):
            if number == 20:
                written.skip(Family.POSITIONS, stem, 730)
            written.lay(number, clusters(4, number)[0])
    app = open_logdir(tmp_path)
    for step in (0, 19, 20, 59):
        assert_near(app.frame("points", **FC, layout=0, step=step)[1]["positions"], clusters(4, step)[0])


def test_what_is_half_written_is_told_in_words(tmp_path, open_logdir):
    one = point_set(6, pages=2, on_page=4)
    with RunFile(tmp_path / "run") as file:
        written = EmbeddingFile(file, described(one))
        layout = written.description.layouts[0]
        _, known = known_of(clusters(6, 0)[0])
        row = np.array([known.get(column, np.nan) for column in LAYOUT_COLUMNS], np.float32)
        file.values(0, [tensor_value(layout.steps_tag, Family.POSITION_STEPS, row)])
        written.lay(1, clusters(9, 1)[0], index=1)
        written.measure(1, {"set": 1})
        shown = pictures(6)[:4]
        file.values(0, [tensor_value(one.thumbnail_tags[0], Family.THUMBNAILS, shown)])
    app = open_logdir(tmp_path)
    (found,) = app.json("embeddings", run="run")["embeddings"]
    assert found["layouts"][0]["steps"] == [0, 1]
    assert found["sets"][0]["thumbnails"] == {"count": 6, "height": 6, "width": 5, "channels": 1}
    status, kind, words = app.error("points", **FC, layout=0, step=0)
    assert (status, kind) == (404, "not_found")
    assert "positions of step 0 are missing" in words
    status, kind, words = app.error("points", **FC, layout=0, step=1)
    assert (status, kind) == (404, "not_found")
    assert "points of step 1 are not described" in words
    header, arrays = app.frame("layout", **FC, layout=0)
    np.testing.assert_array_equal(arrays["values"][:, header["columns"].index("set")], [0, np.nan])
    header, arrays = app.frame("measures", **FC)
    assert np.isnan(arrays["values"][0, header["columns"].index("set")])
    assert app.error("point_labels", **FC, set=0)[:2] == (404, "not_found")
    assert app.error("thumbnails", **FC, set=0)[:2] == (404, "not_found")
    np.testing.assert_array_equal(app.frame("thumbnails", **FC, set=0, count=4)[1]["thumbnails"], shown)


def damage(written, step, positions, codes=None, **changes):
    sound, known = known_of(positions, **changes)
    written.place(step, sound if codes is None else codes, known, written.description.layouts[0])


def test_damaged_records_are_told_in_words(tmp_path, open_logdir):
    positions = clusters(6, 0)[0]
    one = point_set(6, pages=2, on_page=4)
    with RunFile(tmp_path / "run") as file:
        written = EmbeddingFile(file, described(one, point_set(6, key="other", pages=1, on_page=6)))
        damage(written, 0, positions)
        damage(written, 1, positions, codes=np.zeros((5, 2), np.uint16))
        damage(written, 2, positions, codes=np.zeros((6, 3), np.uint16))
        damage(written, 3, positions, codes=np.zeros((6, 2), np.float32))
        damage(written, 4, positions, codes=np.zeros(12, np.uint16))
        damage(written, 5, positions, scale=np.nan)
        damage(written, 6, positions, origin_y=np.inf)
        written.measure(0, {"set": 0}, predictions=np.zeros(5, np.float32))
        file.values(
            7, [tensor_value(written.description.layouts[0].steps_tag, Family.POSITION_STEPS, np.ones(1, np.float32))]
        )
        file.values(8, [tensor_value(written.description.measures_tag, Family.MEASURES, np.zeros((2, 2), np.float32))])
        written.labels(0, np.zeros(5, np.float32))
        file.values(0, [tensor_value(one.thumbnail_tags[0], Family.THUMBNAILS, pictures(4))])
        file.values(0, [tensor_value(one.thumbnail_tags[1], Family.THUMBNAILS, pictures(2, 3))])
        flat = written.description.sets[1].thumbnail_tags[0]
        file.values(0, [tensor_value(flat, Family.THUMBNAILS, np.zeros((6, 4), np.uint8))])
    app = open_logdir(tmp_path)
    (found,) = app.json("embeddings", run="run")["embeddings"]
    assert (found["layouts"][0]["steps"], found["measures"]["steps"]) == ([0, 1, 2, 3, 4, 5, 6], [0])
    assert found["sets"][1]["thumbnails"] is None
    assert app.frame("points", **FC, layout=0, step=0)[1]["predictions"].shape == (0,)
    for step in range(1, 7):
        status, kind, words = app.error("points", **FC, layout=0, step=step)
        assert (status, kind) == (422, "unreadable")
        assert "damaged" in words
    assert app.error("point_labels", **FC, set=0)[:2] == (422, "unreadable")
    assert app.error("thumbnails", **FC, set=0)[:2] == (422, "unreadable")
    assert app.error("thumbnails", **FC, set=1)[:2] == (404, "not_found")


@pytest.mark.parametrize("index", [np.nan, -1, 7, 1e30, np.inf])
def test_a_set_that_is_not_there_is_told_in_words(tmp_path, open_logdir, index):
    with RunFile(tmp_path / "run") as file:
        EmbeddingFile(file, described(point_set(4))).lay(0, clusters(4, 0)[0], index=index)
    app = open_logdir(tmp_path)
    assert app.json("embeddings", run="run")["embeddings"][0]["layouts"][0]["steps"] == [0]
    assert app.error("points", **FC, layout=0, step=0)[:2] == (404, "not_found")
    header, arrays = app.frame("layout", **FC, layout=0)
    assert np.isnan(arrays["values"][0, header["columns"].index("set")])


def test_columns_of_other_writers_are_passed_on(tmp_path, open_logdir):
    newer = ("scale", "brightness", "origin_y", "origin_x", "set")
    poorer = ("set", "trustworthiness")
    positions = clusters(4, 0)[0]
    description = described(point_set(4), layouts=((Method.TSNE, 2, "live"), (Method.PCA, 2, "live")))
    layouts = [
        replace(layout, method=method, columns=columns)
        for layout, method, columns in zip(description.layouts, ("new", "pca"), (newer, poorer), strict=True)
    ]
    with RunFile(tmp_path / "run") as file:
        written = EmbeddingFile(file, replace(description, layouts=tuple(layouts), measures=("other",)))
        for layout in layouts:
            codes, known = known_of(positions, brightness=0.5)
            written.place(0, codes, known, layout)
        written.measure(0, {"other": 2.5})
    app = open_logdir(tmp_path)
    (found,) = app.json("embeddings", run="run")["embeddings"]
    assert [layout["method"] for layout in found["layouts"]] == ["new", "pca"]
    assert_near(app.frame("points", **FC, layout=0, step=0)[1]["positions"], positions)
    assert app.error("points", **FC, layout=1, step=0)[:2] == (422, "unreadable")
    for index, columns in enumerate((newer, poorer)):
        assert app.frame("layout", **FC, layout=index)[0]["columns"] == list(columns)
    assert app.frame("measures", **FC)[1]["values"].tolist() == [[2.5]]


@pytest.mark.parametrize("dims", [0, 1, 4, 2**31])
def test_positions_of_other_dimensions_are_refused_in_words(tmp_path, open_logdir, dims):
    description = described(point_set(4))
    layout = replace(description.layouts[0], dims=dims)
    with RunFile(tmp_path / "run") as file:
        written = EmbeddingFile(file, replace(description, layouts=(layout,)))
        codes, known = known_of(clusters(4, 0)[0])
        written.place(0, np.zeros((4, min(dims, 4)), np.uint16) if dims else codes, known, layout)
    app = open_logdir(tmp_path)
    assert app.json("embeddings", run="run")["embeddings"][0]["layouts"][0]["dims"] == dims
    assert app.error("points", **FC, layout=0, step=0)[:2] == (422, "unreadable")


def test_a_newer_schema_is_refused_in_words(tmp_path, open_logdir):
    with RunFile(tmp_path / "run") as file:
        EmbeddingFile(file, replace(described(point_set(4)), schema_version=99)).lay(0, clusters(4, 0)[0])
    app = open_logdir(tmp_path)
    for route, arguments in (("embeddings", {"run": "run"}), ("points", {**FC, "layout": 0, "step": 0})):
        status, kind, words = app.error(route, **arguments)
        assert (status, kind) == (422, "unreadable")
        assert "newer netviz (schema 99)" in words


@pytest.mark.parametrize("content", [b"\xff\xff\xff", None])
def test_a_damaged_or_missing_description_is_told_in_words(tmp_path, open_logdir, content):
    layout = described(point_set(4)).layouts[0]
    with RunFile(tmp_path / "run") as file:
        if content is not None:
            file.values(0, [message_value(tag(Family.EMBEDDING, "damaged"), Family.EMBEDDING, content)])
        row = np.zeros(len(LAYOUT_COLUMNS), np.float32)
        file.values(0, [tensor_value(layout.steps_tag, Family.POSITION_STEPS, row)])
    app = open_logdir(tmp_path)
    assert app.error("embeddings", run="run")[:2] == (422, "unreadable")
    assert app.error("points", **FC, layout=0, step=0)[:2] == (422, "unreadable")


def test_a_file_that_breaks_off_is_read_up_to_there(tmp_path, open_logdir):
    write(tmp_path / "run", range(30))
    (path,) = (tmp_path / "run").iterdir()
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    app = open_logdir(tmp_path)
    steps = steps_of(app)
    assert 10 < len(steps) < 30
    for step in steps:
        assert_near(app.frame("points", **FC, layout=0, step=step)[1]["positions"], clusters(30, step)[0])


def test_a_live_run_shows_what_is_new(tmp_path, open_logdir):
    with RunFile(tmp_path / "run") as file:
        written = EmbeddingFile(file, described(point_set(4)))
        written.lay(0, clusters(4, 0)[0])
        written.lay(10, clusters(5, 10)[0], index=1)
        file.flush()
        app = open_logdir(tmp_path)
        before = app.json("embeddings", run="run")
        assert app.error("points", **FC, layout=0, step=10)[:2] == (404, "not_found")
        written.describe(described(point_set(4), point_set(5, "none")), 10)
        file.flush()
        app.reload()
        assert app.frame("points", **FC, layout=0, step=10)[0]["set"] == 1
        written.lay(20, clusters(5, 20)[0], index=1)
        file.flush()
        app.reload()
        after = app.json("embeddings", run="run")
    assert before["revision"] != after["revision"]
    assert [len(one["embeddings"][0]["sets"]) for one in (before, after)] == [1, 2]
    assert [one["embeddings"][0]["layouts"][0]["steps"] for one in (before, after)] == [[0, 10], [0, 10, 20]]
    assert_near(app.frame("points", **FC, layout=0, step=20)[1]["positions"], clusters(5, 20)[0])


def moving(points, step):
    first, last = np.random.default_rng(0).standard_normal((2, points, 2))
    return first + (last - first) * step / 100


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A run of 100,000 points at 24 steps, whose records fill two buckets and some of a third."""
    log_dir = tmp_path_factory.mktemp("large")
    with RunFile(log_dir / "run") as file:
        written = EmbeddingFile(file, described(point_set(100_000)))
        for step in range(0, 48, 2):
            written.lay(step, moving(100_000, step))
            written.measure(step, {"set": 0}, predictions=np.full(100_000, step % 3, np.float32))
    return log_dir


@pytest.mark.parametrize("samples", [None, 2000])
def test_a_hundred_thousand_points_come_whole(large, open_logdir, samples):
    app = open_logdir(large, samples=samples)
    found = steps_of(app)
    # TensorBoard's own defaults keep a sample of what is known of the records, 10 or 100, and all positions.
    assert found == list(range(0, 48, 2)) if samples else len(found) >= 10
    for step in found:
        _, arrays = app.frame("points", **FC, layout=0, step=step)
        assert_near(arrays["positions"], moving(100_000, step))
        assert (arrays["predictions"] == step % 3).all()


def test_positions_of_many_buckets_come_whole_without_our_loader(tmp_path, open_logdir):
    with RunFile(tmp_path / "run") as file:
        written = EmbeddingFile(file, described(point_set(40), predictions=False))
        for step in range(135):
            written.lay(step, moving(40, step))
    app = open_logdir(tmp_path, samples=None)
    found = steps_of(app)
    assert len(found) >= 10
    for step in found:
        assert_near(app.frame("points", **FC, layout=0, step=step)[1]["positions"], moving(40, step))


def test_nothing_of_embeddings_is_read_for_the_other_views(tmp_path, open_logdir, monkeypatch):
    write_run(tmp_path / "run", layers=2, steps=range(5))
    write(tmp_path / "run", range(12), start=LATER)
    app = open_logdir(tmp_path)
    asked = []
    read = app.provider.read_tensors

    def note(*args, run_tag_filter, **settings):
        asked.extend(run_tag_filter.tags)
        return read(*args, run_tag_filter=run_tag_filter, **settings)

    monkeypatch.setattr(app.provider, "read_tensors", note)
    for route in ("run", "findings", "cost", "deaths", "redundant", "probes"):
        app.get(route, run="run")
    app.get("runs")
    app.frame("series", run="run", statistic="gradient_norm")
    families = {name.split("/")[2] for name in asked}
    assert families
    assert not families & {family.value for family in OF_EMBEDDINGS}
    asked.clear()
    app.json("embeddings", run="run")
    heavy = {Family.POSITIONS.value, Family.PREDICTIONS.value, Family.POINT_LABELS.value}
    assert not {name.split("/")[2] for name in asked} & heavy
    for _ in range(3):
        app.frame("points", **FC, layout=0, step=11)
    assert len(asked) == len(set(asked))  # Each of them once.
    assert (
        sum(name.split("/")[2] in heavy for name in asked) == 2
    )  # The bucket of the step, of positions and predictions.


OF_EMBEDDINGS = (
    Family.EMBEDDING,
    Family.POINT_LABELS,
    Family.THUMBNAILS,
    Family.POSITIONS,
    Family.POSITION_STEPS,
    Family.PREDICTIONS,
    Family.MEASURES,
    Family.SIGNATURE,
)
