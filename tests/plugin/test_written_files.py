"""Files that netviz itself wrote: cut, damaged, resumed, changed in mid-run, and written by two at once."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tensorboard.compat.proto.event_pb2 import Event

from tb_netviz.events import open_sink, read_frames
from tb_netviz.recorder import ALL_COLUMNS, Recorder
from tb_netviz_plugin.schema.description import Module, Parameter, RunDescription
from tb_netviz_plugin.schema.tags import Family, parse
from tests.support.apps import decode_frame, open_app
from tests.support.servers import ROOT, wait_until, without_tensorflow

STEPS = 40
FRAMING_BYTES = 16
PLACES = np.random.default_rng(5).uniform(size=24)
LAYERS = ("a", "b", "c")


def describe(layers):
    return RunDescription(
        writer="tb-netviz",
        framework="numpy",
        modules=tuple(Module(name, "Linear") for name in layers),
        parameters=tuple(Parameter(f"{name}.weight", owner, (4, 4)) for owner, name in enumerate(layers)),
    )


def norms(steps, layers=LAYERS, scale=1.0):
    """The gradient norms that `write` records, [layers, steps]."""
    return scale * np.outer(1 + np.arange(len(layers)), 1 + np.asarray(steps))


def write(folder, *sessions):
    """Record sessions of (steps, layers, scale) one after another into one file, a record a step; return its path."""
    sink = open_sink(folder)
    recorder = Recorder(sink, every=1)
    for steps, layers, scale in sessions:
        recorder.describe(describe(layers))
        for step in steps:
            values = np.ones((len(layers), len(ALL_COLUMNS)), np.float32)
            values[:, ALL_COLUMNS.index("grad_norm")] = norms([step], layers, scale)[:, 0]
            values[:, ALL_COLUMNS.index("grad_nonfinite")] = 0
            recorder.observe(step, values)
            recorder.finish_step(step, 1e-2, 1e-4)
    recorder.close()
    sink.close()
    assert sink.path is not None
    return Path(sink.path)


def family(name):
    parsed = parse(name)
    assert parsed is not None
    return parsed[1]


class Whole:
    """A file of STEPS records, and what lies before a place in it."""

    def __init__(self, folder):
        path = write(folder, (range(STEPS), LAYERS, 1.0))
        self.content = path.read_bytes()
        self.events = [Event.FromString(data) for data in read_frames(path)]
        self.ends = np.cumsum([FRAMING_BYTES + len(data) for data in read_frames(path)])

    def before(self, place):
        """The families and the steps of the records that end by `place`."""
        events = [event for event, end in zip(self.events, self.ends, strict=True) if end <= place]
        families = [{family(value.tag) for value in event.summary.value} for event in events]
        steps = [event.step for event, found in zip(events, families, strict=True) if Family.STEPS in found]
        return set().union(*families), steps


def listed(app):
    return {run["run"]: run for run in app.json("runs")["runs"]}


def shown(app, run):
    """The steps of a run, whose values are checked to be those that were recorded."""
    _, arrays = app.frame("series", run=run, statistic="gradient_norm")
    assert not arrays["states"].any()
    np.testing.assert_array_equal(arrays["values"], norms(arrays["steps"]))
    return arrays["steps"].tolist()


def place(folder, content):
    folder.mkdir(parents=True)
    (folder / "events.out.tfevents.1.host.1.netviz").write_bytes(content)


def test_a_file_that_is_cut_anywhere_is_read_up_to_the_cut(tmp_path, open_logdir):
    whole = Whole(tmp_path / "whole")
    inside = (PLACES * len(whole.content)).astype(int)
    edges = [end + offset for end in whole.ends[[0, 1, 5, -1]] for offset in (-1, 0, 1, 8, 12)]
    cuts = sorted({0, *inside.tolist(), *(int(edge) for edge in edges if edge <= len(whole.content))})
    for cut in cuts:
        place(tmp_path / "logs" / str(cut), whole.content[:cut])
    app = open_logdir(tmp_path / "logs")
    found = listed(app)
    for cut in cuts:
        families, steps = whole.before(cut)
        assert (str(cut) in found) == bool(families)
        if families:
            assert found[str(cut)]["error"] is None
            assert shown(app, str(cut)) == steps


@pytest.fixture
def flipped(tmp_path):
    """Log folder of a sound run, and of one run for each of many places at which a byte of it was flipped."""
    whole = Whole(tmp_path / "whole")
    flips = sorted({0, *(PLACES * len(whole.content)).astype(int).tolist(), *whole.ends[:4].tolist()})
    for flip in flips:
        content = bytearray(whole.content)
        content[flip] ^= 0x10
        place(tmp_path / "logs" / str(flip), content)
    place(tmp_path / "logs" / "well", whole.content)
    return tmp_path / "logs", {str(flip): whole.before(flip) for flip in flips}


def test_a_byte_that_is_flipped_anywhere_costs_what_follows(flipped):
    log_dir, before = flipped
    with open_app(log_dir, "python") as app:
        assert shown(app, "well") == list(range(STEPS))
        for run, (families, steps) in before.items():
            assert (run in listed(app)) == bool(families)
            if families:
                assert listed(app)[run]["error"] is None
                assert shown(app, run) == steps


def test_a_flipped_byte_that_the_data_server_passes_on_is_answered_in_words(flipped):
    # It compares no checksums, unless TensorBoard is told to: --extra_data_server_flags=--checksum.
    log_dir, before = flipped
    with open_app(log_dir, "rust", settle=False) as app:

        def all_read():
            last = {name: run["last_step"] for name, run in listed(app).items()}
            return last.get("well") == STEPS - 1 and all(
                last.get(run, -1) >= max(before[run][1], default=-1) for run in before
            )

        wait_until(all_read, "the sound records were not read", 20)
        assert shown(app, "well") == list(range(STEPS))
        for run in before.keys() & listed(app):
            answer = app.get("series", run=run, statistic="gradient_norm", band="true")
            if answer.status_code == 200:
                assert np.all(np.diff(decode_frame(answer.data)[1]["steps"]) > 0)
            else:
                assert (answer.status_code, answer.json["error"]["kind"]) == (422, "unreadable")


def test_a_resumed_run_is_one_line_in_which_the_later_wins(tmp_path, open_logdir):
    first = write(tmp_path / "logs" / "run", (range(STEPS), LAYERS, 1.0))
    app = open_logdir(tmp_path / "logs")
    assert shown(app, "run") == list(range(STEPS))
    second = write(tmp_path / "logs" / "run", (range(25, 33), LAYERS, 100.0))
    assert first != second
    app.reload()
    assert list(listed(app)) == ["run"]
    _, arrays = app.frame("series", run="run", statistic="gradient_norm")
    assert arrays["steps"].tolist() == list(range(33))
    assert not arrays["states"].any()
    np.testing.assert_array_equal(arrays["values"], np.hstack([norms(range(25)), norms(range(25, 33), scale=100.0)]))
    assert len(app.json("run", run="run")["layers"]) == 3


def next_second():
    """Wait for it: TensorBoard reads files in the order of their names, of which seconds are the first part."""
    time.sleep(1 - time.time() % 1)


def test_a_resumed_run_is_listed_with_the_step_that_it_has_reached(tmp_path, open_logdir):
    write(tmp_path / "logs" / "run", (range(STEPS), LAYERS, 1.0))
    app = open_logdir(tmp_path / "logs")
    assert listed(app)["run"]["last_step"] == STEPS - 1
    next_second()
    write(tmp_path / "logs" / "run", (range(5, 9), LAYERS, 1.0))
    app.reload()
    assert listed(app)["run"]["last_step"] == 8
    next_second()
    write(tmp_path / "logs" / "run", (range(9, STEPS + 5), LAYERS, 1.0))
    app.reload()
    assert listed(app)["run"]["last_step"] == STEPS + 4


def test_layers_that_appear_and_vanish_in_mid_run_keep_their_places(tmp_path, open_logdir):
    write(tmp_path / "logs" / "run", (range(10), LAYERS, 1.0), (range(10, 20), ("a", "b", "new", "c"), 1.0))
    write(
        tmp_path / "logs" / "back", (range(10), LAYERS, 1.0), (range(10, 20), ("c",), 1.0), (range(20, 30), LAYERS, 1.0)
    )
    app = open_logdir(tmp_path / "logs")
    assert [layer["name"] for layer in app.json("run", run="run")["layers"]] == ["a", "b", "new", "c"]
    there, gone = [0] * 10, [1] * 10
    _, arrays = app.frame("series", run="run", statistic="gradient_norm")
    assert arrays["states"].tolist() == [there * 2, there * 2, gone + there, there * 2]
    _, arrays = app.frame("series", run="back", statistic="gradient_norm")
    assert arrays["steps"].tolist() == list(range(30))
    assert arrays["states"].tolist() == [there + gone + there, there + gone + there, there * 3]


def test_two_live_writers_are_two_runs(tmp_path, open_logdir):
    mine = open_sink(tmp_path / "logs" / "run")
    folder = str(tmp_path / "logs" / "run")
    script = f"from tests.plugin.test_written_files import *; write({folder!r}, (range(7), LAYERS, 1.0))"
    environment = {"PYTHONWARNINGS": "ignore"} | without_tensorflow(tmp_path)
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT, env=environment)
    write(tmp_path / "logs" / "run", (range(STEPS), LAYERS, 1.0))
    mine.close()
    app = open_logdir(tmp_path / "logs")
    own, other = sorted(listed(app))
    assert own == "run"
    assert other.startswith("run/writer-")
    assert shown(app, own) == list(range(STEPS))
    assert shown(app, other) == list(range(7))
