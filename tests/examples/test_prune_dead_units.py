"""The example of pruning runs as it stands, takes units away, and changes nothing."""

import os
import re
import subprocess
import sys

from tests.support.distributions import ROOT


def test_the_example_prunes_what_does_nothing_and_nothing_changes(tmp_path):
    script = ROOT / "examples" / "prune_dead_units.py"
    paths = os.pathsep.join([str(ROOT), str(ROOT / "exporters")])
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = re.findall(r"(\w+): (\d+) dead and (\d+) redundant of (\d+) units", done.stdout)
    assert {name: int(redundant) for name, _, redundant, _ in found} == {"conv1": 2, "conv2": 1, "fc": 3}
    assert sum(int(dead) for _, dead, _, _ in found) > 10
    results = re.findall(r"accuracy (\w+): ([\d.]+)%, logits differ by (\S+) at most", done.stdout)
    assert [words for words, _, _ in results] == ["before", "masked", "after"]
    assert len({accuracy for _, accuracy, _ in results}) == 1
    assert float(results[0][1]) > 80
    assert max(float(difference) for _, _, difference in results) < 1e-5
    ((before, after),) = re.findall(r"parameters: ([\d,]+) before, ([\d,]+) after", done.stdout)
    sizes = [int(count.replace(",", "")) for count in (before, after)]
    left = {name: int(units) - int(dead) - int(redundant) for name, dead, redundant, units in found}
    by_hand = 10 * left["conv1"] + (9 * left["conv1"] + 1) * left["conv2"] + (16 * left["conv2"] + 1) * left["fc"]
    assert sizes == [88_986, by_hand + 10 * (left["fc"] + 1)]
