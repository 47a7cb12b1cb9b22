"""A training whose embedding is watched is the training without it, bit for bit, and goes on whatever happens."""

import copy
import os
import random
import signal
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tb_netviz.events import NetVizWarning
from tb_netviz.pytorch import NetVizWriter
from tests.support.placed import read_placed
from tests.support.small_networks import Convolutions, Recurrent, Transformer, digits

COUNT = 70


def states():
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002  The generator that others share.
    return torch.get_rng_state().tolist(), random.getstate(), kind, list(keys), rest


def train(make, folder=None, *, steps=8, workers=0, each=lambda _step, _writer: None, **options):
    """Return losses, weights and buffers, optimizer state and random states; with an embedding if there is a folder."""
    torch.manual_seed(3)
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002  As above.
    model = make()
    pictures, classes = digits(96)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    writer = None if folder is None else NetVizWriter(folder)
    if writer is not None:
        writer.watch(model, optimizer, every=1)
        writer.watch_embedding("out", "", pictures[:COUNT], classes[:COUNT], **({"every": 1} | options))
    losses: list[float] = []
    while len(losses) < steps:
        data = DataLoader(TensorDataset(pictures, classes), batch_size=24, shuffle=True, num_workers=workers)
        for batch, labels in data:
            loss = nn.functional.cross_entropy(model(batch), labels)
            losses.append(loss.item())
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            each(len(losses) - 1, writer)
    if writer is not None:
        writer.close()
    return losses, list(model.state_dict().items()), optimizer.state_dict()["state"], states()


def assert_same(one, two):
    assert one[0] == two[0]
    for (name, left), (other, right) in zip(one[1], two[1], strict=True):
        assert (name, left.numpy().tobytes()) == (other, right.numpy().tobytes())
    for key, kept in one[2].items():
        assert all(torch.equal(value, two[2][key][name]) for name, value in kept.items())
    assert one[3] == two[3]


class Drawing(Convolutions):
    """Draws random numbers of every kind in each forward pass, and counts them in a buffer and in an attribute."""

    calls: torch.Tensor

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.seen = 0

    def forward(self, pictures):
        self.calls += 1
        self.seen += 1
        noise = random.random() + float(np.random.rand()) + torch.rand(()).item()  # noqa: NPY002
        return super().forward(pictures + 0.01 * noise) + 0 * self.calls


@pytest.mark.parametrize("make", [Convolutions, Transformer, Recurrent, Drawing])
def test_training_is_bit_for_bit_the_same(tmp_path, make):
    assert_same(train(make), train(make, tmp_path))
    placed = read_placed(tmp_path, "out")
    assert placed.steps("pca") == list(range(8))
    assert placed.steps("tsne")[-1] == 7


def test_with_a_data_loader_that_forks(tmp_path):
    assert_same(train(Convolutions), train(Convolutions, tmp_path, workers=2))
    assert read_placed(tmp_path, "out").steps("pca") == list(range(8))


def test_gradients_flags_and_hooks_are_those_of_before(tmp_path):
    model, (pictures, classes) = Drawing(), digits(COUNT)
    model.norm.eval()
    heard = []
    model.conv.register_forward_hook(lambda *_: heard.append(1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch_embedding("conv", "conv", pictures, classes, every=1, model=model)
        nn.functional.cross_entropy(model(pictures), classes).backward()
        gradients = [cast("torch.Tensor", parameter.grad) for parameter in model.parameters()]
        before = [(gradient, gradient._version, gradient.clone()) for gradient in gradients]
        modules = [dict(vars(module)) for module in model.modules()]
        optimizer.step()
    for parameter, (gradient, version, values) in zip(model.parameters(), before, strict=True):
        assert parameter.grad is gradient
        assert (gradient._version, torch.equal(gradient, values)) == (version, True)
    for module, attributes in zip(model.modules(), modules, strict=True):
        assert vars(module).keys() == attributes.keys()
        assert module.training == attributes["training"]
    assert (len(heard), model.seen, model.calls.item()) == (1, 1, 1)
    assert read_placed(tmp_path, "conv").steps("pca") == [0]


def test_a_model_is_copied_without_it(tmp_path):
    model, (pictures, classes) = Convolutions(), digits(COUNT)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch_embedding("out", "", pictures, classes, every=1, model=model)
        twin = copy.deepcopy(model)
        other = torch.optim.SGD(twin.parameters(), lr=0.1)
        for _ in range(2):
            nn.functional.cross_entropy(twin(pictures), classes).backward()
            other.step()
        nn.functional.cross_entropy(model(pictures), classes).backward()
        optimizer.step()
    assert read_placed(tmp_path, "out").steps("pca") == [0]
    torch.save(model, tmp_path / "model.pt")


def test_compiled_code_stays_as_it_is(tmp_path):
    def run(folder):
        torch._dynamo.reset()
        torch.manual_seed(0)
        model, (inputs, classes) = Convolutions(), digits(16)
        model.register_module("head", cast("nn.Module", torch.compile(model.head, backend="aot_eager")))
        fast: Any = torch.compile(model, backend="aot_eager")
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        writer = None if folder is None else NetVizWriter(folder)
        if writer is not None:
            writer.watch(fast, optimizer)
            writer.watch_embedding("head", "head", inputs, classes, every=1)
            writer.watch_embedding("itself", fast.conv, inputs, classes, every=1)
        counts = []
        for _ in range(4):
            loss = nn.functional.cross_entropy(fast(inputs), classes)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            counts.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
        if writer is not None:
            writer.close()
        return counts, [parameter.clone() for parameter in model.parameters()]

    bare, watched = run(None), run(tmp_path)
    assert len(set(watched[0])) == 1
    assert all(torch.equal(one, two) for one, two in zip(bare[1], watched[1], strict=True))
    for name in ("head", "itself"):
        assert read_placed(tmp_path, name).steps("pca") == [0, 1, 2, 3]


class Raising(Convolutions):
    """Can't be run in eval mode."""

    def forward(self, pictures):
        if not self.training:
            raise RuntimeError("not for evaluation")
        return super().forward(pictures)


def test_what_fails_is_told_once_and_the_training_goes_on_the_same(tmp_path):
    bare = train(Raising)
    with pytest.warns(NetVizWarning) as told:
        assert_same(bare, train(Raising, tmp_path))
    assert [str(one.message) for one in told] == [
        "netviz: The embedding 'out': no longer recorded, because of RuntimeError: not for evaluation"
    ]
    placed = read_placed(tmp_path, "out")
    assert "RuntimeError: not for evaluation" in placed.reasons["layouts"]
    assert placed.description.layouts == ()


def test_a_worker_that_is_killed_disturbs_no_training(tmp_path):
    def kill(step, writer):
        if writer is not None:
            writer._belongings.embeddings.wait(60)
            if step in (2, 5):
                os.kill(writer._belongings.embeddings.worker_pid, signal.SIGKILL)

    bare = train(Convolutions)
    with pytest.warns(NetVizWarning, match="signal 9") as told:
        assert_same(bare, train(Convolutions, tmp_path, each=kill))
    assert len(told) == 2
    placed = read_placed(tmp_path, "out")
    assert placed.steps("pca") == [0, 1, 2, 4, 5]
    assert "nothing more is laid out" in placed.reasons["layouts"]


def test_the_cost_is_part_of_what_recording_takes(tmp_path):
    model, (pictures, classes) = Convolutions(), digits(COUNT)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        watch = writer.watch(model, optimizer, every=8)
        embedding = writer.watch_embedding("out", "", pictures, classes, every=10**6)
        told = []
        for step in range(3):
            nn.functional.cross_entropy(model(pictures), classes).backward()
            optimizer.step()
            told.append(watch._guard.seconds)
            if step == 0:
                embedding._embeddings._dispatcher._seconds += 1000.0
        assert told[0] < 1000
        assert told[-1] >= 1000  # At a step that the statistics don't observe.


def test_an_interrupt_passes_through_and_everything_is_put_back(tmp_path):
    class Interrupted(Convolutions):
        def forward(self, pictures):
            if not self.training:
                raise KeyboardInterrupt
            return super().forward(pictures)

    model, (pictures, classes) = Interrupted(), digits(COUNT)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch_embedding("out", "", pictures, classes, every=1, model=model)
        nn.functional.cross_entropy(model(pictures), classes).backward()
        with pytest.raises(KeyboardInterrupt):
            optimizer.step()
        assert all(module.training for module in model.modules())
        model(pictures)
