"""The examples of the integrations run as they stand, and what they write can be opened."""

import os
import subprocess
import sys

import pytest

from tests.support.apps import decode_frame
from tests.support.distributions import ROOT
from tests.support.servers import tensorboard


@pytest.mark.parametrize(
    ("library", "logdir", "run", "last_step", "losses"),
    [
        ("lightning", "lightning_logs", "version_0", 224, {("train_loss", "train_loss"), ("val_loss", "val_loss")}),
        ("transformers", "output/runs", None, 135, {("train/loss", "train_loss"), ("eval/loss", "val_loss")}),
        ("accelerate", "runs", "accelerate", 170, {("train_loss", "train_loss")}),
    ],
)
def test_the_example_writes_a_run_that_the_tab_reads(tmp_path, library, logdir, run, last_step, losses):
    script = ROOT / "examples" / f"{library}_digits.py"
    paths = os.pathsep.join([str(ROOT), str(ROOT / "exporters")])
    # Threads that wait for each other on a busy machine make so small a model twenty times slower.
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "NetVizWarning" not in done.stderr
    folder = tmp_path / logdir
    run = run or next(folder.iterdir()).name
    with tensorboard(folder) as server:
        server.wait_for_runs(run, last_step=last_step)
        described = server.plugin_json("run", run=run)
        metrics, _arrays = decode_frame(server.plugin("metrics", run=run))
    assert "Linear" in {layer["type"] for layer in described["layers"]}
    assert "gradient_norm" in described["statistics"]
    assert losses <= {metric["name"]: metric["role"] for metric in metrics["metrics"]}.items()
