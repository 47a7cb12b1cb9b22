"""Measuring outputs changes nothing, stops nothing, and leaves nothing behind."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._C import _len_torch_function_stack
from torch.overrides import TorchFunctionMode

from tb_netviz.events import NetVizWarning
from tb_netviz.pytorch import NetVizWriter
from tb_netviz.pytorch.activations.readings import Reading
from tests.support.watching import read


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.act = nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True)
        self.drop, self.head = nn.Dropout(0.3), nn.Linear(4 * 16, 2)
        self.fails = False

    def forward(self, x):
        x = F.gelu(self.act(self.conv(x)))
        if self.fails:
            raise ValueError("a bad batch")
        return self.head(self.drop(x.flatten(1)))


def train(model, folder=None, steps=6, **options):
    torch.manual_seed(1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    writer = None if folder is None else NetVizWriter(folder)
    if writer is not None:
        writer.watch(model, optimizer, every=1, **options)
    for _ in range(steps):
        model(torch.randn(8, 1, 6, 6)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    if writer is not None:
        writer.close()
    return [parameter.detach().clone() for parameter in model.parameters()]


def network():
    torch.manual_seed(0)
    return Network()


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_weights_are_those_of_a_training_that_is_not_watched(tmp_path):
    assert equal(train(network()), train(network(), tmp_path))


BREAKABLE = ["readings.Reading.sums", "readings.Reading.squares", "capture.first_tensor", "functions._caller"]


@pytest.mark.parametrize("name", BREAKABLE)
def test_a_failure_costs_the_activations_and_no_more(tmp_path, monkeypatch, name):
    def fail(*_arguments, **_keywords):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(f"tb_netviz.pytorch.activations.{name}", fail)
    bare = train(network())
    with pytest.warns(NetVizWarning, match="The activations of the model Network: no longer recorded") as caught:
        watched = train(network(), tmp_path)
    assert len([warning for warning in caught if issubclass(warning.category, NetVizWarning)]) == 1
    assert equal(bare, watched)
    assert len(read(tmp_path).tables) == 6
    assert _len_torch_function_stack() == 0


def test_a_forward_pass_that_fails_leaves_no_mode_behind(tmp_path):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(6):
            model.fails = step in {2, 3}
            try:
                model(torch.randn(8, 1, 6, 6)).square().mean().backward()
            except ValueError:
                continue
            optimizer.step()
            optimizer.zero_grad()
        assert _len_torch_function_stack() == 0
    assert "gelu" in {row.name for row in read(tmp_path).description.activations}


class Counting(TorchFunctionMode):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.calls += 1
        return function(*args, **(kwargs or {}))


def test_a_mode_of_the_users_own_goes_on(tmp_path):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with NetVizWriter(tmp_path) as writer, Counting() as mode:
        writer.watch(model, optimizer, every=1)
        for _ in range(3):
            model(torch.randn(8, 1, 6, 6)).square().mean().backward()
            optimizer.step()
        assert _len_torch_function_stack() == 1
    assert mode.calls > 0
    assert "gelu" in {row.name for row in read(tmp_path).description.activations}


def test_copies_and_files_of_a_watched_model(tmp_path):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with NetVizWriter(tmp_path) as writer:
        watched = writer.watch(model, optimizer, every=1)
        model(torch.randn(8, 1, 6, 6)).square().mean().backward()
        optimizer.step()
        for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert twin.eval()(torch.ones(2, 1, 6, 6)).shape == (2, 2)
        watched.detach()
        assert [module for module in model.modules() if module._forward_hooks or module._forward_pre_hooks] == []


def test_between_observed_steps_nothing_is_measured(tmp_path, monkeypatch):
    calls: list[int] = []
    sums = Reading.sums

    def measure(*arguments):
        calls.append(1)
        return sums(*arguments)

    monkeypatch.setattr(Reading, "sums", measure)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    counts = []
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=4)
        for _ in range(9):
            calls.clear()
            model(torch.randn(8, 1, 6, 6)).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
            counts.append(len(calls))
    assert [bool(count) for count in counts] == [step % 4 == 0 for step in range(9)]


def test_pause_and_resume(tmp_path):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with NetVizWriter(tmp_path) as writer:
        watched = writer.watch(model, optimizer, every=1)
        for step in range(6):
            if step == 2:
                watched.pause()
            if step == 4:
                watched.resume()
            model(torch.randn(8, 1, 6, 6)).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    assert sorted(read(tmp_path).units) == [0, 1, 4, 5]


def test_an_inference_pass_in_training_mode_stops_nothing(tmp_path, recwarn):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for _ in range(6):
            with torch.inference_mode():
                model(torch.randn(4, 1, 6, 6))
            model(torch.randn(4, 1, 6, 6)).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
    assert not [one for one in recwarn if issubclass(one.category, NetVizWarning)]
    assert sorted(read(tmp_path).activations) == list(range(6))
