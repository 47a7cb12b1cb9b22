"""Watching changes nothing, stops nothing and leaves nothing behind."""

import copy
import gc
import io
import random
import subprocess
import sys
import warnings
import weakref

import numpy as np
import pytest
import torch
from torch import nn

from tb_netviz.pytorch import NetVizWriter, watch
from tb_netviz.pytorch.observer import Observer
from tests.support.watching import events_in, read


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 12)
        self.norm = nn.BatchNorm1d(12)
        self.drop = nn.Dropout(0.3)
        self.last = nn.Linear(12, 2)

    def forward(self, x):
        random.random()
        np.random.rand()  # noqa: NPY002  The generator that others share.
        return self.last(self.drop(torch.relu(self.norm(self.first(x)))))


def train(optimizer_of, folder=None, steps=12, **options):
    """Return the state and the random numbers after training, watched if there is a folder."""
    torch.manual_seed(3)
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002  As above.
    model = Noisy()
    optimizer = optimizer_of(model.parameters())
    criterion = nn.MSELoss()
    writer = None
    if folder is not None:
        writer = NetVizWriter(folder)
        writer.watch(model, optimizer, criterion, every=1, **options)

    for _ in range(steps):
        x = torch.randn(8, 6)

        def closure(x=x):
            optimizer.zero_grad()
            loss = criterion(model(x), torch.zeros(8, 2))
            loss.backward()
            return loss

        if isinstance(optimizer, torch.optim.LBFGS):
            optimizer.step(closure)
        else:
            closure()
            optimizer.step()
    if writer is not None:
        writer.close()
    gradients = [parameter.grad for parameter in model.parameters()]
    return [*model.state_dict().values(), *gradients, torch.rand(3)], (random.random(), np.random.rand())  # noqa: NPY002  As above.


@pytest.mark.parametrize(
    "optimizer_of",
    [
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
        lambda p: torch.optim.Adam(p, lr=0.01),
        lambda p: torch.optim.AdamW(p, lr=0.01, foreach=True),
        lambda p: torch.optim.LBFGS(p, lr=0.1, max_iter=4),
    ],
    ids=["SGD", "Adam", "AdamW", "LBFGS"],
)
def test_a_watched_run_is_bit_for_bit_the_bare_one(tmp_path, optimizer_of):
    bare, bare_randoms = train(optimizer_of)
    watched, watched_randoms = train(optimizer_of, tmp_path)
    assert read(tmp_path).graphs == 1  # Tracing was part of it.
    assert all(torch.equal(one, two) for one, two in zip(bare, watched, strict=True))
    assert bare_randoms == watched_randoms


@pytest.mark.parametrize("method", ["before_step", "after_step", "end_step"])
def test_an_error_of_ours_is_told_once_and_training_goes_on(tmp_path, monkeypatch, method):
    def fail(*_args, **_kwargs):
        raise ZeroDivisionError("injected")

    monkeypatch.setattr(Observer, method, fail)
    bare, _ = train(torch.optim.Adam)
    with pytest.warns(UserWarning, match="no longer recorded, because of ZeroDivisionError: injected") as caught:
        watched, _ = train(torch.optim.Adam, tmp_path)
    assert len(caught) == 1
    assert all(torch.equal(one, two) for one, two in zip(bare, watched, strict=True))


def test_where_warnings_are_errors_training_goes_on_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(Observer, "before_step", lambda *_args, **_kwargs: 1 / 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(torch.optim.Adam, tmp_path)


def test_an_error_in_the_users_step_is_told_and_training_goes_on(tmp_path):
    with pytest.warns(UserWarning, match="number of the training step"):
        train(torch.optim.Adam, tmp_path, step=lambda: 1 / 0)


def test_a_folder_that_can_not_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="nothing is recorded"):
        watched, _ = train(torch.optim.Adam, tmp_path / "file" / "run")
    bare, _ = train(torch.optim.Adam)
    assert all(torch.equal(one, two) for one, two in zip(bare, watched, strict=True))


def step(model, optimizer):
    model(torch.randn(4, 6)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def test_watching_twice_replaces_and_says_so(tmp_path):
    model = Noisy()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        first = writer.watch(model, optimizer, every=1)
        with pytest.warns(UserWarning, match="Noisy was watched already"):
            second = writer.watch(model, optimizer, every=1)
        assert (first.attached, second.attached) == (False, True)
        for _ in range(2):
            step(model, optimizer)
    assert sorted(read(tmp_path).tables) == [0, 1]


def hooks_of(model, optimizer):
    return [
        hooks for module in model.modules() for hooks in (module._forward_hooks, module._forward_pre_hooks) if hooks
    ] + [hooks for hooks in (optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks) if hooks]


@pytest.mark.parametrize("given", [True, False])
def test_detach_takes_every_hook_off(tmp_path, given):
    from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

    model = Noisy()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        with writer.watch(model, optimizer if given else None, nn.MSELoss(), every=1) as watched:
            step(model, optimizer)
        assert not hooks_of(model, optimizer)
        assert not _global_optimizer_pre_hooks
        assert not _global_optimizer_post_hooks
        watched.detach()
        step(model, optimizer)
    assert sorted(read(tmp_path).tables) == [0]


def test_between_records_only_a_few_hooks_are_left(tmp_path):
    model = Noisy()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, activations=False)
        step(model, optimizer)
        assert sum(len(hooks) for hooks in hooks_of(model, optimizer)) == 5  # Three forward, two of the optimizer.


def test_pause_and_resume(tmp_path):
    model = Noisy()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        watched = writer.watch(model, optimizer, every=1)
        for number in range(6):
            if number == 2:
                watched.pause()
            if number == 4:
                watched.resume()
            step(model, optimizer)
        assert watched.step == 5
    recording = read(tmp_path)
    assert sorted(recording.tables) == [0, 1, 4, 5]
    assert np.isnan(recording.tables[4]["first.weight"]["grad_dot_last"])


@pytest.mark.parametrize("given", [True, False])
def test_a_model_can_be_collected_after_detach_and_even_before(tmp_path, given):
    with NetVizWriter(tmp_path) as writer:
        for detaches in (True, False):
            model = Noisy()
            optimizer = torch.optim.Adam(model.parameters())
            watched = writer.watch(model, optimizer if given else None, every=1)
            for _ in range(3):
                step(model, optimizer)
            references = [weakref.ref(part) for part in (model, model.first, model.first.weight, optimizer)]
            if detaches:
                watched.detach()
            del model, optimizer
            gc.collect()
            assert [reference() for reference in references] == [None] * 4


def test_a_copy_of_a_watched_model_is_not_watched(tmp_path):
    model = Noisy()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        watched = writer.watch(model, optimizer, every=1)
        early = copy.deepcopy(model)
        step(model, optimizer)
        late = copy.deepcopy(model)
        for twin in (early, late):
            twin(torch.randn(4, 6)).sum().backward()
            twin(torch.randn(4, 6))
        assert watched.step == 0
        copied = copy.deepcopy(optimizer)
        copied.step()
        assert watched.step == 0


def test_a_watched_model_can_be_saved_whole_and_loaded_without_netviz(tmp_path):
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU())
    with NetVizWriter(tmp_path / "run") as writer:
        writer.watch(model, torch.optim.SGD(model.parameters(), lr=0.1))
        torch.save(model, tmp_path / "model.pt")
    code = f"""
import sys
sys.modules["tb_netviz"] = None
import torch
model = torch.load({str(tmp_path / "model.pt")!r}, weights_only=False)
assert model(torch.zeros(1, 6)).shape == (1, 6)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_state_dicts_are_as_before(tmp_path):
    model = Noisy()
    optimizer = torch.optim.Adam(model.parameters())
    names = list(model.state_dict())
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        step(model, optimizer)
        assert list(model.state_dict()) == names
        stream = io.BytesIO()
        torch.save([model.state_dict(), optimizer.state_dict()], stream)
        stream.seek(0)
        model.load_state_dict(torch.load(stream)[0])


def test_a_model_without_parameters_is_not_watched(tmp_path):
    with NetVizWriter(tmp_path) as writer:
        with pytest.warns(UserWarning, match="ReLU has no parameters"):
            watched = writer.watch(nn.ReLU())
        assert not watched.attached


def test_an_exception_in_training_closes_the_file_with_all_that_was_seen(tmp_path):
    model = Noisy()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def fail_in_training():
        with NetVizWriter(tmp_path) as writer:
            writer.watch(model, optimizer, every=1)
            for _ in range(3):
                step(model, optimizer)
            raise RuntimeError("theirs")

    with pytest.raises(RuntimeError, match="theirs"):
        fail_in_training()
    assert sorted(read(tmp_path).tables) == [0, 1, 2]


def test_a_script_that_never_closes_loses_nothing(tmp_path):
    code = f"""
import torch
from tb_netviz.pytorch import NetVizWriter
model = torch.nn.Linear(3, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
writer = NetVizWriter({str(tmp_path)!r})
writer.watch(model, optimizer, every=1)
for _ in range(3):
    model(torch.randn(4, 3)).sum().backward()
    optimizer.step()
"""
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(filter(None, sys.path))})
    assert sorted(read(tmp_path).tables) == [0, 1, 2]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"model": "resnet"}, TypeError, "model must be a torch.nn.Module, got str"),
        ({"optimizer": "sgd"}, TypeError, "optimizer must be a torch.optim.Optimizer"),
        ({"step": 3}, TypeError, "step must be a callable"),
        ({"budget": 0}, ValueError, "budget"),
        ({"every": 0}, ValueError, "every"),
        ({"histograms": -1}, ValueError, "histograms"),
        ({"writer": "runs"}, TypeError, "writer must be a NetVizWriter or a torch SummaryWriter, got str"),
    ],
)
def test_wrong_arguments_are_named(tmp_path, arguments, error, message):
    model = Noisy()
    with NetVizWriter(tmp_path) as writer, pytest.raises(error, match=message):
        watch(**({"model": model, "writer": writer} | arguments))
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert not [event for event in events_in(tmp_path) if event.summary.value]


def test_a_criterion_that_is_no_module_is_explained(tmp_path):
    with NetVizWriter(tmp_path) as writer, pytest.warns(UserWarning, match=r"writer.observe\(outputs=outputs"):
        writer.watch(Noisy(), criterion=nn.functional.mse_loss)
