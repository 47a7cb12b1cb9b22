"""Processes that are killed while they train: every file opens, and nothing older than a second is lost."""

import json
import os
import subprocess
import sys

import pytest

from tests.support.apps import LOADERS, open_app
from tests.support.watching import read

KILLED = 50
AT_A_TIME = 5

# Imports torch once. Its children train, each into a folder of its own, and say through a pipe when they had recorded
# which step; it kills them and says when.
PARENT = """
import json, os, random, signal, struct, sys, time
import torch
from tb_netviz.pytorch import NetVizWriter

def train(folder, pipe):
    torch.set_num_threads(1)
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    writer = NetVizWriter(folder)
    writer.watch(model, optimizer, every=1)
    while True:
        loss = model(torch.randn(4, 8)).square().mean()  # The step before this one is over now.
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        writer.add_scalar("loss/train", loss)
        if writer.step:
            os.write(pipe, struct.pack("<qd", writer.step - 1, time.monotonic()))
        time.sleep(0.01)

def begin(folder):
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(out)
        train(folder, into)
    os.close(into)
    return child, out

def end(child, out):
    at = time.monotonic()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(out, "rb") as pipe:
        return [at, list(struct.iter_unpack("<qd", pipe.read()))]

logs, killed, at_a_time = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
delays = random.Random(0)
results = {}
for first in range(0, killed, at_a_time):
    names = [f"run{number:02}" for number in range(first, min(first + at_a_time, killed))]
    children = {name: begin(f"{logs}/{name}") for name in names}
    ends = sorted((time.monotonic() + delays.uniform(0.3, 2.7), name) for name in names)
    for moment, name in ends:
        time.sleep(max(moment - time.monotonic(), 0))
        results[name] = end(*children[name])
json.dump(results, sys.stdout)
"""


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """The log folder of processes that were killed, and by run when it was killed and what it had told."""
    folder = tmp_path_factory.mktemp("logs")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PARENT, str(folder), str(KILLED), str(AT_A_TIME)]
    done = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE)
    return folder, json.loads(done.stdout)


def test_nothing_older_than_a_second_is_lost(logs):
    folder, results = logs
    assert len(results) == KILLED
    safe = 0
    for run, (killed, told) in results.items():
        due = [step for step, at in told if at < killed - 1]
        recording = read(folder / run)
        steps = sorted(recording.tables)
        assert steps == list(range(len(steps)))
        assert set(due) <= set(steps), run
        assert {step for step, _ in recording.scalars.get("loss/train", [])} >= set(due), run
        safe += len(due)
    assert safe > KILLED  # Many lived for more than a second.


@pytest.mark.parametrize("loader", LOADERS)
def test_every_file_opens(logs, loader):
    folder, _ = logs
    with open_app(folder, loader) as app:
        runs = {one["run"]: one for one in app.json("runs")["runs"]}
        for run in sorted(runs):
            _, arrays = app.frame("series", run=run, statistic="gradient_norm")
            assert arrays["steps"].tolist() == sorted(read(folder / run).tables)
    assert len(runs) > KILLED // 2
    assert {one["error"] for one in runs.values()} == {None}
