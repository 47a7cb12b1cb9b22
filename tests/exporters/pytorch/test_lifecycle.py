"""Copies, saved models, detaching, cells that are run again, and runs that are resumed."""

import copy
import gc
import io
import os
import pickle
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.optimizer import _global_optimizer_post_hooks as AFTER_ANY_STEP
from torch.optim.optimizer import _global_optimizer_pre_hooks as BEFORE_ANY_STEP
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tb_netviz.events import NetVizWarning
from tb_netviz.pytorch import NetVizWriter
from tests.support.apps import LOADERS, open_app
from tests.support.watching import events_in, read


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.norm = nn.BatchNorm1d(8)
        self.last = nn.Linear(8, 2)

    def forward(self, x):
        return self.last(self.norm(self.first(x)).relu())


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def step(model, optimizer):
    model(torch.randn(8, 6)).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()


def every_hook(*owners):
    """Return all dictionaries of hooks, on modules, parameters, optimizers and in the globals of torch."""
    found = []
    for owner in owners:
        parts = [owner]
        if isinstance(owner, nn.Module):
            parts = [*owner.modules(), *owner.parameters()]
        for part in parts:
            names = [name for name in dir(part) if "hook" in name and not name.startswith("__")]
            found += [(name, dict(hooks)) for name in names if isinstance(hooks := getattr(part, name), dict)]
    found += [(name, dict(hooks)) for name, hooks in vars(torch.nn.modules.module).items() if name.endswith("_hooks")]
    return [*found, ("before any step", dict(BEFORE_ANY_STEP)), ("after any step", dict(AFTER_ANY_STEP))]


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_detach_restores_every_dictionary_of_hooks(tmp_path, given, steps):
    model, criterion = Network(), nn.MSELoss()
    optimizer = sgd(model)
    model.first.register_forward_hook(lambda *_: None)
    model.norm.register_forward_pre_hook(lambda *_: None)
    model.last.weight.register_hook(lambda gradient: gradient)
    optimizer.register_step_post_hook(lambda *_: None)
    for _ in range(2):
        step(model, optimizer)
    before = every_hook(model, optimizer, criterion)
    attributes = [sorted(vars(part)) for part in (*model.modules(), optimizer, criterion)]
    with NetVizWriter(tmp_path) as writer:
        watched = writer.watch(model, optimizer if given else None, criterion, every=1)
        assert every_hook(model, optimizer, criterion) != before
        for _ in range(steps):
            step(model, optimizer)
        watched.detach()
        assert every_hook(model, optimizer, criterion) == before
        assert [sorted(vars(part)) for part in (*model.modules(), optimizer, criterion)] == attributes
    assert len(read(tmp_path).tables) == steps


def test_a_hook_of_ones_own_that_came_later_stays(tmp_path):
    model = Network()
    with NetVizWriter(tmp_path) as writer:
        watched = writer.watch(model, every=1)
        handle = model.register_forward_pre_hook(lambda *_: None)
        watched.detach()
    assert list(model._forward_pre_hooks) == [handle.id]


def through_pickle(model):
    return pickle.loads(pickle.dumps(model))


def through_torch_save(model):
    stream = io.BytesIO()
    torch.save(model, stream)
    stream.seek(0)
    return torch.load(stream, weights_only=False)


def through_a_state_dict(model):
    stream = io.BytesIO()
    torch.save(model.state_dict(), stream)
    stream.seek(0)
    twin = Network()
    twin.load_state_dict(torch.load(stream, weights_only=True))
    return twin


@pytest.mark.parametrize("duplicate", [copy.deepcopy, through_pickle, through_torch_save, through_a_state_dict])
@pytest.mark.parametrize("moment", ["before", "forward", "backward", "after"])
def test_a_duplicate_is_equal_and_not_watched(tmp_path, duplicate, moment):
    torch.manual_seed(1)
    model = Network()
    optimizer = sgd(model)
    twins = []
    with NetVizWriter(tmp_path) as writer:
        watched = writer.watch(model, every=1)

        def at(now):
            if now == moment:
                twins.append(duplicate(model))
                for name, value in model.state_dict().items():
                    assert torch.equal(twins[-1].state_dict()[name], value)

        for _ in range(2):
            at("before")
            loss = model(torch.randn(8, 6)).square().mean()
            at("forward")
            loss.backward()
            at("backward")
            optimizer.step()
            at("after")
            optimizer.zero_grad()
        assert watched.step == 1
        for twin in twins:
            for _ in range(3):
                step(twin, sgd(twin))
        assert watched.step == 1
    assert len(twins) == 2
    assert sorted(read(tmp_path).tables) == [0, 1]


def test_an_optimizer_is_copied_without_us(tmp_path):
    model = Network()
    optimizer = sgd(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        step(model, optimizer)
        twin = pickle.loads(pickle.dumps(optimizer))
        together = copy.deepcopy((model, optimizer))
        twin.step()
        step(*together)
        assert writer.step == 0
        step(model, optimizer)
        assert writer.step == 1


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="mean"),
        pytest.param({"multi_avg_fn": get_ema_multi_avg_fn(0.9), "use_buffers": True}, id="moving average"),
    ],
)
def test_averaged_models(tmp_path, options):
    def train(folder=None):
        torch.manual_seed(2)
        model = Network()
        optimizer = sgd(model)
        averaged = AveragedModel(model, **options)
        writer = NetVizWriter(folder) if folder is not None else None
        if writer is not None:
            writer.watch(model, optimizer, every=1)
            averaged = AveragedModel(model, **options)
        for _ in range(4):
            step(model, optimizer)
            averaged.update_parameters(model)
            with torch.no_grad():
                averaged(torch.randn(8, 6))
        if writer is not None:
            assert writer.step == 3
            writer.close()
        return [*averaged.state_dict().values()]

    bare, watched = train(), train(tmp_path)
    assert all(torch.equal(one, two) for one, two in zip(bare, watched, strict=True))
    assert sorted(read(tmp_path).tables) == [0, 1, 2, 3]


def cell(folder, given):
    """What a notebook has in one cell, closing nothing."""
    model = Network()
    optimizer = sgd(model)
    writer = NetVizWriter(folder)
    writer.watch(model, optimizer if given else None, every=1)
    for number in range(4):
        step(model, optimizer)
        writer.add_scalar("loss/train", float(number))
    return model, optimizer, writer


def open_files(folder):
    targets = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return [target for target in targets if target.startswith(str(folder)) and "tfevents" in target]


def settled_threads():
    """Return how many threads there are once those that have been told to end have ended."""
    deadline = time.monotonic() + 5
    count = threading.active_count()
    while time.monotonic() < deadline:
        time.sleep(0.1)
        if threading.active_count() == count:
            break
        count = threading.active_count()
    return count


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("keeps", [True, False])
def test_a_cell_that_is_run_again(tmp_path, given, keeps):
    gc.collect()
    hooks, threads = len(BEFORE_ANY_STEP), threading.active_count()
    kept: list[Any] = []
    said = []
    for number in range(4):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            objects = cell(tmp_path, given)
        said.append(len(caught))
        kept = [*kept, objects] if keeps or number == 3 else []
        del objects
        gc.collect()
    assert said == ([0, 1, 1, 1] if keeps else [0, 0, 0, 0])
    assert len(open_files(tmp_path)) == 1
    assert settled_threads() == threads + 2  # One writes, and one looks out for what is wrong.
    assert len(BEFORE_ANY_STEP) == hooks + 1
    for _, _, writer in kept:
        writer.close()
    assert [path.name for path in tmp_path.iterdir() if "tfevents" not in path.name] == []  # No lock, either.
    assert len(BEFORE_ANY_STEP) == hooks
    assert settled_threads() == threads
    recording = read(tmp_path)
    assert sorted(recording.tables) == [0, 1, 2, 3]
    assert recording.scalars["loss/train"] == [(number, float(number)) for number in range(4)] * 4


def test_the_watch_of_another_writer_is_replaced_in_words(tmp_path):
    old, new = Network(), Network()
    with NetVizWriter(tmp_path) as first, NetVizWriter(tmp_path) as second:
        replaced = first.watch(old, every=1)
        with pytest.warns(NetVizWarning, match=r"recorded into .* already, by another writer.*names of their own"):
            second.watch(new, every=1)
        assert not replaced.attached
        named = first.watch(old, name="old", every=1)
        assert named.attached
        step(new, sgd(new))
        step(old, sgd(old))
    assert sorted(read(tmp_path).tables) == sorted(read(tmp_path, "old").tables) == [0]


def test_what_nobody_closes_is_written_when_it_is_let_go(tmp_path):
    def train():
        model = Network()
        optimizer = sgd(model)
        writer = NetVizWriter(tmp_path)
        writer.watch(model, optimizer, every=1)
        for _ in range(3):
            step(model, optimizer)

    train()
    gc.collect()
    NetVizWriter(tmp_path / "another").close()  # Closes what belonged to writers that are gone.
    assert sorted(read(tmp_path).tables) == [0, 1, 2]
    assert not open_files(tmp_path)
    assert not (tmp_path / ".netviz.lock").exists()


def test_a_writer_that_nobody_holds_goes_on_while_the_model_is_trained(tmp_path):
    model = Network()
    optimizer = sgd(model)
    watched = NetVizWriter(tmp_path).watch(model, optimizer, every=1)
    gc.collect()
    NetVizWriter(tmp_path / "another").close()
    for _ in range(3):
        step(model, optimizer)
    assert watched.step == 2
    watched.detach()
    NetVizWriter(tmp_path / "another").close()
    assert sorted(read(tmp_path).tables) == [0, 1, 2]
    assert not open_files(tmp_path)


def run(code, *arguments):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", code, *arguments], check=True, env=environment)


def test_a_function_that_closes_nothing_loses_nothing_at_the_end_of_the_process(tmp_path):
    run(
        """
import sys, torch
from tb_netviz.pytorch import NetVizWriter
model = torch.nn.Linear(3, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
def watch():
    NetVizWriter(sys.argv[1]).watch(model, optimizer, every=1)
watch()
for _ in range(300):
    model(torch.randn(4, 3)).sum().backward()
    optimizer.step()
""",
        str(tmp_path),
    )
    assert max(event.step for event in events_in(tmp_path) if event.HasField("summary")) == 299


RESUMED = """
import pathlib, sys, torch
from tb_netviz.pytorch import NetVizWriter
folder, checkpoint, until = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
torch.manual_seed(until)
model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
done = 0
if checkpoint.exists():
    saved = torch.load(checkpoint)
    model.load_state_dict(saved["model"]), optimizer.load_state_dict(saved["optimizer"])
    done = saved["done"]
with NetVizWriter(folder) as writer:
    writer.watch(model, optimizer, step=lambda: done, every=1)
    while done < until:
        loss = model(torch.randn(4, 3)).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        writer.add_scalar("loss/train", loss)
        done += 1
        if done % 10 == 0:
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "done": done}, checkpoint)
"""


@pytest.mark.parametrize("loader", LOADERS)
def test_a_resumed_run_is_one_line(tmp_path, loader):
    checkpoint = tmp_path / "checkpoint.pt"
    for until in (14, 27):  # The second one takes up the first at step 10.
        run(RESUMED, str(tmp_path / "logs" / "run"), str(checkpoint), str(until))
    assert len(list((tmp_path / "logs" / "run").glob("events*"))) == 2
    last = {}
    for event in events_in(tmp_path / "logs" / "run"):
        for value in event.summary.value:
            if value.tag == "netviz/gradient_norm":
                last[event.step] = value.simple_value
    with open_app(tmp_path / "logs", loader) as app:
        assert [one["run"] for one in app.json("runs")["runs"]] == ["run"]
        described = app.json("run", run="run")
        _, arrays = app.frame("series", run="run", statistic="gradient_norm")
    assert len(described["layers"]) == 2
    assert arrays["steps"].tolist() == list(range(27))
    assert not arrays["states"].any()
    np.testing.assert_allclose(
        np.sqrt((arrays["values"] ** 2).sum(axis=0)), [last[number] for number in range(27)], rtol=1e-5
    )
