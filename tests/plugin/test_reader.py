"""What is read of TensorBoard, and how often: once, as long as there is nothing new."""

import pytest

from tb_netviz_plugin.reader.cache import Cache
from tb_netviz_plugin.routes.series import ROWS_OF
from tb_netviz_plugin.schema.statistics import STATISTICS
from tests.support.runs import START, write_run


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


def picture(app, run):
    app.json("run", run=run)
    app.json("facts", run=run)
    app.frame("metrics", run=run)
    app.frame("bins", run=run, layer=0)
    for statistic in STATISTICS:
        for rows in ROWS_OF[statistic.rows]:
            app.frame("series", run=run, statistic=statistic.id, rows=rows, band="true")


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
