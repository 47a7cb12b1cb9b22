"""Our reader of event files gives what TensorBoard's own gives, of sound and of damaged files."""

import os
import sys
from types import ModuleType

import numpy as np
import pytest
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.data.provider import RunTagFilter

from tb_netviz.files import FileProvider
from tb_netviz.refusal import RefusalError
from tb_netviz_plugin.schema.tags import PLUGIN_NAME
from tests.support.runs import START, write_run

MOST = 1_000_000


@pytest.fixture
def _without_tensorflow(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))


def cut(content):
    return content[:-700]


def flipped(content):
    place = content.index(b"netviz/v1/parameters", len(content) // 2) + 120
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]


def rewritten(folder, change):
    for path in folder.iterdir():
        path.write_bytes(change(path.read_bytes()))


@pytest.fixture
def log_dir(tmp_path):
    """Runs that are sound, resumed in a second file, cut off, damaged, and empty."""
    for name in ("sound", "resumed", "cut", "flipped"):
        write_run(tmp_path / name, layers=3, steps=range(40))
    write_run(tmp_path / "resumed", layers=3, steps=range(25, 60), start=START + 1000)
    rewritten(tmp_path / "cut", cut)
    rewritten(tmp_path / "flipped", flipped)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "events.out.tfevents.1.host").touch()
    return tmp_path


def of_tensorboard(folders):
    multiplexer = EventMultiplexer(tensor_size_guidance={PLUGIN_NAME: 0})
    for name, folder in folders.items():
        multiplexer.AddRun(folder, name)
    multiplexer.Reload()
    return MultiplexerDataProvider(multiplexer, "")


def asked(provider, method, **arguments):
    return getattr(provider, method)(RequestContext(), experiment_id="", plugin_name=PLUGIN_NAME, **arguments)


def listed(provider, runs=None):
    found = asked(provider, "list_tensors", run_tag_filter=RunTagFilter(runs=runs))
    return {
        run: {tag: (one.max_step, one.max_wall_time, one.plugin_content) for tag, one in tags.items()}
        for run, tags in found.items()
        if tags
    }


@pytest.mark.usefixtures("_without_tensorflow")
def test_it_gives_what_tensorboard_gives(log_dir):
    folders = {folder.name: str(folder) for folder in log_dir.iterdir()}
    ours, theirs = FileProvider(folders), of_tensorboard(folders)

    assert listed(ours) == listed(theirs)
    assert set(listed(ours)) == {"sound", "resumed", "cut", "flipped"}
    for run, tags in listed(theirs).items():
        for tag in tags:
            wanted = {"downsample": MOST, "run_tag_filter": RunTagFilter(runs=[run], tags=[tag])}
            mine, other = (asked(one, "read_tensors", **wanted)[run][tag] for one in (ours, theirs))
            assert [(one.step, one.wall_time) for one in mine] == [(one.step, one.wall_time) for one in other]
            for one, same in zip(mine, other, strict=True):
                np.testing.assert_array_equal(one.numpy, same.numpy)
                assert one.numpy.dtype == same.numpy.dtype


def test_a_run_may_be_asked_for_by_name_and_a_tag_for_its_last_records(log_dir):
    provider = FileProvider({name: os.fspath(log_dir / name) for name in ("sound", "cut")})
    (run,) = listed(provider, ["sound", "none"])
    tag = next(tag for tag in listed(provider)["sound"] if "/steps/" in tag)
    wanted = RunTagFilter(runs=["sound", "none"], tags=[tag, "none"])
    found = asked(provider, "read_tensors", downsample=3, run_tag_filter=wanted)
    assert run == "sound"
    assert {run: list(tags) for run, tags in found.items()} == {"sound": [tag]}
    assert [one.step for one in found["sound"][tag]] == [37, 38, 39]


def test_scalars_and_strangers_are_left_out(tmp_path):
    from tb_netviz.pytorch import NetVizWriter

    with NetVizWriter(tmp_path) as writer:
        writer.add_text("note", "hello", 0)
    assert not listed(FileProvider({"run": os.fspath(tmp_path)}))


def test_a_folder_that_is_gone_is_told_in_words(tmp_path):
    with pytest.raises(RefusalError, match="can't be read"):
        FileProvider({"run": os.fspath(tmp_path / "gone")})
