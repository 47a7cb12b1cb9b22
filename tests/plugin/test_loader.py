"""The entry point: the sampling default, and that it can stop nobody's TensorBoard."""

import json
import os
import subprocess
import sys
from argparse import Namespace

import numpy as np
import pytest
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.core import core_plugin

from tb_netviz_plugin.loader import SAMPLES, NetVizLoader
from tests.support.apps import decode_frame
from tests.support.runs import write_run
from tests.support.servers import tensorboard, without_tensorflow

HEAVY = ("torch", "tensorflow", "numpy", "google.protobuf", "werkzeug", "grpc")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", {"netviz": SAMPLES}),
        ("scalars=5", {"netviz": SAMPLES, "scalars": 5}),
        ("netviz=7", {"netviz": 7}),
        ("netviz=0,images=3", {"netviz": 0, "images": 3}),
    ],
)
def test_the_users_sampling_wins(given, expected):
    flags = Namespace(samples_per_plugin=core_plugin._parse_samples_per_plugin(given))
    NetVizLoader().fix_flags(flags)
    assert flags.samples_per_plugin == expected


@pytest.mark.parametrize("flags", [Namespace(samples_per_plugin=None), Namespace(samples_per_plugin="")])
def test_flags_of_embedders_may_be_empty(flags):
    NetVizLoader().fix_flags(flags)
    assert flags.samples_per_plugin == {"netviz": SAMPLES}


@pytest.mark.parametrize("flags", [Namespace(), Namespace(samples_per_plugin=3), None])
def test_strange_flags_stop_nothing(flags, caplog):
    NetVizLoader().fix_flags(flags)
    assert "samples_per_plugin" in caplog.text


def test_a_plugin_that_cannot_be_loaded_is_left_out(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "tb_netviz_plugin.plugin", None)
    assert NetVizLoader().load(TBContext()) is None
    assert "netviz could not be loaded" in caplog.text


def imported_by(code, environment):
    script = f"import sys, json\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def test_the_entry_point_imports_nothing_heavy_beyond_tensorboard():
    bare = imported_by("from tensorboard.plugins import base_plugin", os.environ)
    ours = imported_by("import tb_netviz_plugin.loader", os.environ)
    added = set(ours) - set(bare)
    assert {name for name in added if name.startswith("tb_netviz")} == {"tb_netviz_plugin", "tb_netviz_plugin.loader"}
    assert not [name for name in added if name.startswith(HEAVY)]


def test_reading_a_run_imports_no_training_framework(tmp_path):
    write_run(tmp_path / "logs" / "run")
    code = f"""
from pathlib import Path
from tests.support.apps import open_app
with open_app(Path({str(tmp_path / "logs")!r}), "python") as app:
    for route in ("runs", "run", "metrics", "findings"):
        app.get(route, **({{}} if route == "runs" else {{"run": "run"}}))
    app.frame("series", run="run", statistic="gradient_norm")
    app.frame("bins", run="run", layer=0)
"""
    modules = imported_by(code, os.environ | without_tensorflow(tmp_path))
    assert "tb_netviz_plugin.routes.series" in modules
    assert not {"torch", "tensorflow", "keras", "jax"} & set(modules)


@pytest.mark.parametrize("load_fast", [True, False])
def test_a_real_tensorboard_without_tensorflow_keeps_every_record(tmp_path, load_fast):
    write_run(tmp_path / "run", layers=2, steps=range(300))
    with tensorboard(tmp_path, load_fast=load_fast) as server:
        server.wait_for_runs("run", last_step=299)
        assert "TensorFlow installation not found" in server.output
        assert server.json("/data/plugins_listing")["netviz"]["enabled"] is True
        sampling = server.plugin_json("run", run="run")["sampling"]
        assert sampling == {"records": 300, "first_step": 0, "last_step": 299, "evicted": False}


@pytest.mark.parametrize("load_fast", [True, False])
def test_the_users_sampling_is_honoured_and_shown(tmp_path, load_fast):
    write_run(tmp_path / "run", layers=2, steps=range(300))
    arguments = ["--samples_per_plugin", "netviz=50"]
    with tensorboard(tmp_path, load_fast=load_fast, arguments=arguments, path_prefix="/some/prefix") as server:
        server.wait_for_runs("run", last_step=299)
        sampling = server.plugin_json("run", run="run")["sampling"]
        assert sampling["records"] == 50
        assert sampling["evicted"] is True


@pytest.mark.tensorflow
@pytest.mark.parametrize("load_fast", [True, False])
def test_a_real_tensorboard_with_tensorflow_serves_sound_and_damaged_runs(tmp_path, load_fast):
    write_run(tmp_path / "run", layers=2, steps=range(300))
    for name, damage in {"cut": lambda content: content[:-5000], "flipped": flip_the_middle}.items():
        write_run(tmp_path / name, layers=2, steps=range(100))
        (path,) = (tmp_path / name).iterdir()
        path.write_bytes(damage(path.read_bytes()))
    with tensorboard(tmp_path, load_fast=load_fast, tensorflow=True) as server:
        server.wait_for_runs("run", last_step=299)
        server.wait_for_runs("cut", "flipped", last_step=10)
        assert "TensorFlow installation not found" not in server.output
        assert server.json("/data/plugins_listing")["netviz"]["enabled"] is True
        sampling = server.plugin_json("run", run="run")["sampling"]
        assert sampling == {"records": 300, "first_step": 0, "last_step": 299, "evicted": False}
        for run in ("run", "cut", "flipped"):
            _, arrays = decode_frame(server.plugin("series", run=run, statistic="gradient_norm", band="true"))
            assert 10 < len(arrays["steps"]) <= (300 if run == "run" else 100)
            assert np.all(np.diff(arrays["steps"]) > 0)
            assert decode_frame(server.plugin("bins", run=run, layer=0))[1]["counts"].shape[1] == 128
            decode_frame(server.plugin("metrics", run=run))
            assert "findings" in server.plugin_json("findings", run=run)


def flip_the_middle(content):
    """Flip a byte within the numbers of a record in the middle of a file of two layers."""
    place = content.index(b"netviz/v1/parameters", len(content) // 2) + 120
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]


@pytest.mark.parametrize("load_fast", ["true", "false"])
def test_tensorboard_without_a_logdir_says_so_itself(tmp_path, load_fast):
    command = [sys.executable, "-m", "tensorboard.main", f"--load_fast={load_fast}"]
    environment = os.environ | without_tensorflow(tmp_path) | {"PYTHONWARNINGS": "ignore"}
    run = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=60)
    assert run.returncode == 1
    assert "A logdir or db must be specified" in run.stderr
    assert "netviz" not in run.stderr


def test_runs_that_are_named_one_by_one_are_served(tmp_path):
    write_run(tmp_path / "one" / "deep")
    arguments = [f"--logdir_spec=first:{tmp_path / 'one'},missing:{tmp_path / 'none'}"]
    with tensorboard(None, load_fast=False, arguments=arguments) as server:
        server.wait_for_runs("first/deep", last_step=19)
        assert server.plugin_json("run", run="first/deep")["sampling"]["records"] == 20
