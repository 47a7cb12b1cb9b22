"""The entry point: the sampling default, and that it can stop nobody's TensorBoard."""

import json
import os
import subprocess
import sys
from argparse import Namespace

import pytest
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.core import core_plugin

from tb_netviz_plugin.loader import SAMPLES, NetVizLoader
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
    for route in ("runs", "run", "metrics", "facts"):
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
