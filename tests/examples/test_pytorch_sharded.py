"""The example of a sharded model runs as it stands, and one process writes."""

import os
import subprocess
import sys

from tests.support.distributions import ROOT
from tests.support.watching import read


def test_the_example_writes_one_run(tmp_path):
    script = ROOT / "examples" / "pytorch_sharded.py"
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "exporters")]),
        "OMP_NUM_THREADS": "1",
    }
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(
        launch, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "netviz" not in done.stderr
    (file,) = (tmp_path / "runs" / "sharded").iterdir()
    assert file.name.startswith("events.out.tfevents.")
    recording = read(tmp_path / "runs" / "sharded")
    assert [row.shape for row in recording.description.parameters] == [(32, 16), (32,), (32, 32), (32,), (4, 32), (4,)]
    assert recording.scalars["netviz/gradient_norm"][0][0] == 0
