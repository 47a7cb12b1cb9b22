"""The example runs as it stands, and its maps can be opened."""

import os
import subprocess
import sys

from tests.support.apps import decode_frame
from tests.support.distributions import ROOT
from tests.support.servers import tensorboard


def test_the_example_writes_maps_that_the_tab_reads(tmp_path):
    script = ROOT / "examples" / "activation_maps_digits.py"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "exporters")])}
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    with tensorboard(tmp_path / "runs") as server:
        server.wait_for_runs("activation_maps", last_step=280)
        (probe,) = server.plugin_json("probes", run="activation_maps")["probes"]
        page = decode_frame(
            server.plugin("maps", run="activation_maps", probe="probe", map=1, step=280, sample=2, first=16)
        )
    assert probe["steps"] == [*range(0, 285, 20)]
    assert probe["labels"] == ["0", "1", "2", "3"]
    kinds = [(one["module"], one["kind"]) for one in probe["maps"]]
    assert kinds == [("0", "feature_map"), ("2", "feature_map"), ("input", "saliency"), ("2", "grad_cam")]
    assert page[1]["pictures"].shape == (16, 8, 8)
