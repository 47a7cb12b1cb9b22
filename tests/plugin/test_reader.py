"""What is read of TensorBoard, and how often: once, as long as there is nothing new."""

import numpy as np
import pytest

from tb_netviz_plugin.analysis import recorded
from tb_netviz_plugin.analysis.units import judge
from tb_netviz_plugin.reader.cache import Cache
from tb_netviz_plugin.routes.series import ROWS_OF
from tb_netviz_plugin.schema.statistics import STATISTICS
from tests.support.runs import COLUMNS, START, UNIT_NAMES, RunFile, write_run
from tests.support.unitruns import Modelled, describe_modelled, write_modelled


@pytest.fixture
def reads(tmp_path, open_logdir, monkeypatch):
    """A TensorBoard over two runs whose reader has no room, and the tags that it asks for."""
    write_run(tmp_path / "large", layers=40, steps=range(50))
    write_run(tmp_path / "small", layers=2, steps=range(5))
    app = open_logdir(tmp_path)
    monkeypatch.setattr(app.plugin._reader, "_cache", Cache(capacity=1))
    asked = []
    read = app.provider.read_tensors

    def note(*args, run_tag_filter, **settings):
        asked.extend(run_tag_filter.tags)
        return read(*args, run_tag_filter=run_tag_filter, **settings)

    monkeypatch.setattr(app.provider, "read_tensors", note)
    return app, asked


def picture(app, name):
    app.json("run", run=name)
    app.json("findings", run=name)
    app.frame("metrics", run=name)
    app.frame("bins", run=name, layer=0)
    for statistic in STATISTICS:
        for rows in ROWS_OF[statistic.rows]:
            app.frame("series", run=name, statistic=statistic.id, rows=rows, band="true")


def test_a_run_that_is_larger_than_the_cache_is_read_once_all_the_same(reads):
    app, asked = reads
    picture(app, "large")
    assert len(asked) == len(set(asked)) > 0
    first = len(asked)
    picture(app, "large")
    assert len(asked) == first


def test_another_run_takes_its_place(reads):
    app, asked = reads
    picture(app, "large")
    once = len(asked)
    picture(app, "small")
    twice = len(asked)
    picture(app, "large")
    assert len(asked) == twice + once


def test_what_is_new_is_read_again_and_the_rest_is_not(tmp_path, reads):
    app, asked = reads
    picture(app, "large")
    asked.clear()
    write_run(tmp_path / "small", layers=2, steps=range(5, 8), start=START + 1000)
    app.reload()
    picture(app, "large")
    assert asked == []
    picture(app, "small")
    assert app.json("run", run="small")["sampling"]["records"] == 8


def test_units_are_judged_once_for_each_threshold_and_record(tmp_path, open_logdir, monkeypatch):
    layers = [Modelled("a", units=4), Modelled("b", units=4)]
    write_modelled(tmp_path / "run", layers, steps=100)
    app = open_logdir(tmp_path)
    judged = []

    def note(table, activations, limits):
        judged.append(list(activations))
        return judge(table, activations, limits)

    monkeypatch.setattr(recorded, "judge", note)
    for _ in range(2):
        app.frame("dead", run="run")
        app.json("deaths", run="run")
        app.frame("units", run="run", activation=1)
    assert judged == [[0, 1]]
    app.frame("units", run="run", activation=1, samples=5)
    assert judged == [[0, 1]] * 2
    description = describe_modelled(layers)
    with RunFile(tmp_path / "run", start=START + 1000) as file:
        file.units(description, 200, np.zeros((8, len(UNIT_NAMES))), np.full((2, 4), 10.0))
    app.reload()
    revision = app.frame("dead", run="run")[0]["revision"]
    assert judged == [[0, 1]] * 3
    with RunFile(tmp_path / "run", start=START + 2000) as file:
        file.record(description, 300, np.ones((1, len(description.parameters), len(COLUMNS))))
    app.reload()
    assert app.frame("dead", run="run")[0]["revision"] != revision
    assert judged == [[0, 1]] * 3  # Nothing new is known of units.
