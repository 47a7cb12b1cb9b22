"""Whatever of ours fails, training ends with the same weights, is told of it once, and the rest goes on recording."""

import math
import subprocess
import sys
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from tb_netviz.events.open import FileSink
from tb_netviz.pytorch import NetVizWriter
from tb_netviz.pytorch.histograms import HistogramSample
from tb_netviz.pytorch.losses import StepLoss
from tb_netviz.pytorch.measurement import Measurement
from tb_netviz.pytorch.observer import Observer
from tb_netviz.pytorch.order import ExecutionOrder
from tb_netviz.pytorch.outputs import Ends, OutputTally
from tb_netviz.pytorch.roster import Roster
from tb_netviz.pytorch.snapshots import LastGradients
from tb_netviz.pytorch.standard import Dashboards
from tb_netviz.recorder import Recorder
from tb_netviz.statistics import native
from tests.support.watching import read

STEPS = 8
GRADIENT = {"present", "grad_norm", "grad_abs_sum", "grad_abs_max", "grad_sum", "grad_zeros", "grad_nonfinite"}
ANGLE = {"grad_dot_last", "grad_norm_last"}
WEIGHT = {"weight_norm"}
UPDATE = {"update_norm"}
EVERYTHING = GRADIENT | ANGLE | WEIGHT | UPDATE


def train(folder=None):
    """Return the weights after training, watched if there is a folder."""
    torch.manual_seed(5)
    model = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 2))
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    criterion = nn.MSELoss()
    writer = None
    if folder is not None:
        writer = NetVizWriter(folder)
        writer.watch(model, optimizer, criterion, every=1, histograms=2)
    for step in range(STEPS):
        optimizer.zero_grad()
        criterion(model(torch.randn(8, 6)), torch.zeros(8, 2)).backward()
        optimizer.step()
        if writer is not None:
            writer.add_scalar("of the user", step, step)
    if writer is not None:
        writer.close()
    return list(model.state_dict().values())


@contextmanager
def failing(owner, name, after=2):
    """Let a method raise from its `after`-th call on."""
    calls = 0
    original = getattr(owner, name)

    def method(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls > after:
            raise ZeroDivisionError("injected")
        return original(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, method)
        yield


# Where it fails, and which columns are still recorded of the last step.
INSIDE = {
    "reading gradients": (Measurement, "take_gradients", WEIGHT | UPDATE),
    "counting bins": (Measurement, "take_bins", EVERYTHING),
    "the reductions of gradients": (native, "gradients", WEIGHT | UPDATE),
    "the reductions of weights": (native, "weights", GRADIENT | ANGLE),
    "reading weights": (Measurement, "take_weights", GRADIENT | ANGLE),
    "keeping gradients": (LastGradients, "keep", EVERYTHING - ANGLE),
    "comparing gradients": (LastGradients, "before", EVERYTHING - ANGLE),
    "copying weights": (Observer, "_copy_weights", EVERYTHING - UPDATE),
    "sampling for histograms": (Dashboards, "samples", EVERYTHING),
    "histograms": (HistogramSample, "summary", EVERYTHING),
    "scalars": (Dashboards, "end", EVERYTHING),
    "the order of modules": (ExecutionOrder, "_entered", EVERYTHING),
    "the loss": (StepLoss, "hear", EVERYTHING),
    "outputs and targets": (Ends, "_take_outputs", EVERYTHING),
    "inputs": (Ends, "_take_inputs", EVERYTHING),
    "their columns": (OutputTally, "values", EVERYTHING),
}


@pytest.mark.parametrize(("owner", "name", "columns"), INSIDE.values(), ids=INSIDE.keys())
def test_one_kind_of_observation_fails(tmp_path, owner, name, columns):
    bare = train()
    after = 0 if owner in (ExecutionOrder, native) else 2
    with failing(owner, name, after), pytest.warns(UserWarning, match="ZeroDivisionError: injected") as caught:
        watched = train(tmp_path)
    assert len(caught) == (2 if name == "gradients" else 1)  # Gradients before clipping are reduced by the same kernel.
    assert all(torch.equal(one, two) for one, two in zip(bare, watched, strict=True))
    recording = read(tmp_path)
    table = recording.tables[STEPS - 1]["0.weight"]
    assert {column for column, value in table.items() if not math.isnan(value)} == columns
    assert [value for _, value in recording.scalars["of the user"]] == list(range(STEPS))
    assert any("injected" in omission.reason for omission in recording.description.omissions)


# What ends the recording of the model, but neither the training nor the user's own scalars.
WHOLE = {
    "the hook before the step": (Observer, "before_step"),
    "the hook after the step": (Observer, "after_step"),
    "the end of a step": (Observer, "end_step"),
    "the description": (Roster, "refresh"),
    "the schedule": (Recorder, "finish_step"),
}


@pytest.mark.parametrize(("owner", "name"), WHOLE.values(), ids=WHOLE.keys())
def test_the_observation_of_a_model_fails(tmp_path, owner, name):
    bare = train()
    with failing(owner, name), pytest.warns(UserWarning, match="ZeroDivisionError: injected") as caught:
        watched = train(tmp_path)
    assert len(caught) == 1
    assert all(torch.equal(one, two) for one, two in zip(bare, watched, strict=True))
    assert [value for _, value in read(tmp_path).scalars["of the user"]] == list(range(STEPS))


def test_the_recorder_fails_and_the_standard_dashboards_go_on(tmp_path):
    with failing(Recorder, "observe"), pytest.warns(UserWarning, match="The statistics of the model") as caught:
        train(tmp_path)
    assert len(caught) == 1
    recording = read(tmp_path)
    assert len(recording.scalars["netviz/gradient_norm"]) == STEPS
    assert max(recording.tables) < STEPS - 1


def test_the_queue_fails(tmp_path):
    bare = train()
    with failing(FileSink, "offer", after=6), pytest.warns(UserWarning, match="injected") as caught:
        watched = train(tmp_path)
    # Statistics, our scalars, kept gradients, modes and the user's scalars have ways of their own.
    assert len(caught) <= 5
    assert all(torch.equal(one, two) for one, two in zip(bare, watched, strict=True))
    assert [value for _, value in read(tmp_path).scalars["of the user"]] == list(range(STEPS))


FULL_DISK = """
import resource, signal, sys, warnings, hashlib
from pathlib import Path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/exporters"]
from tests.exporters.pytorch.test_failures import train
digest = lambda weights: hashlib.sha256(b"".join(weight.numpy().tobytes() for weight in weights)).hexdigest()
bare = digest(train())
resource.setrlimit(resource.RLIMIT_FSIZE, (6000, resource.RLIM_INFINITY))  # As if the disk was full from there on.
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    watched = digest(train(Path(sys.argv[2])))
print(bare == watched, len(caught), *(warning.message for warning in caught))
"""


def test_the_disk_is_full(tmp_path, request):
    root = request.config.rootpath
    command = [sys.executable, "-W", "ignore", "-c", FULL_DISK, str(root), str(tmp_path)]
    output = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert output.stdout.startswith("True 1 "), output.stdout + output.stderr
    assert "File too large" in output.stdout
    recording = read(tmp_path)
    assert 0 in recording.tables or recording.description is not None  # What was written before is there.


def test_an_interrupt_inside_of_us_leaves_training_as_it_was(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters())
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        with monkeypatch.context() as patch:
            patch.setattr(Observer, "before_step", interrupted)
            with pytest.raises(KeyboardInterrupt):
                optimizer.step()
        assert torch.is_grad_enabled()
        model(torch.randn(4, 3)).sum().backward()
        optimizer.step()
    assert read(tmp_path).tables
