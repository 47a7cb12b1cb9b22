"""The example runs as it stands, and what it writes can be opened."""

import os
import subprocess
import sys

from tests.support.distributions import ROOT
from tests.support.servers import tensorboard


def test_the_example_writes_a_run_that_the_tab_reads(tmp_path):
    script = ROOT / "examples" / "pytorch_minimal.py"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "exporters")])}
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    with tensorboard(tmp_path / "runs") as server:
        server.wait_for_runs("minimal", last_step=159)
        described = server.plugin_json("run", run="minimal")
    assert [layer["type"] for layer in described["layers"]] == ["Linear"] * 3
    assert "gradient_norm" in described["statistics"]
