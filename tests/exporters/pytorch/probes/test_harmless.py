"""A training with a probe is the training without it, bit for bit, whatever the model does."""

import random
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils import parametrizations, prune
from torch.utils.data import DataLoader, TensorDataset

from tb_netviz.events import NetVizWarning
from tb_netviz.pytorch import NetVizWriter
from tests.support.albums import read_album
from tests.support.small_networks import Convolutions, Recurrent, Transformer, digits


def states():
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002  The generator that others share.
    return torch.get_rng_state().tolist(), random.getstate(), kind, list(keys), rest


def train(make, folder=None, *, probed=True, steps=8, **options):
    """Return losses, weights, optimizer state and random states; watched if there is a folder, and probed."""
    torch.manual_seed(3)
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002  As above.
    model = make()
    pictures, classes = digits(96)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    writer = None if folder is None else NetVizWriter(folder)
    if writer is not None:
        writer.watch(model, optimizer, every=1)
        if probed:
            writer.watch_activation_maps(pictures[:4], **({"every": 1} | options))
    losses = []
    for _ in range(steps // 4):
        for batch, labels in DataLoader(TensorDataset(pictures, classes), batch_size=24, shuffle=True):
            loss = nn.functional.cross_entropy(model(batch), labels)
            losses.append(loss.item())
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    if writer is not None:
        writer.close()
    return losses, list(model.state_dict().items()), optimizer.state_dict()["state"], states()


def assert_same(one, two):
    assert one[0] == two[0]
    assert [name for name, _ in one[1]] == [name for name, _ in two[1]]
    for (_, left), (_, right) in zip(one[1], two[1], strict=True):
        assert left.numpy().tobytes() == right.numpy().tobytes()
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
        self.last = pictures
        noise = random.random() + float(np.random.rand()) + torch.rand(()).item()  # noqa: NPY002
        return super().forward(pictures + 0.01 * noise) + 0 * self.calls


@pytest.mark.parametrize("make", [Convolutions, Transformer, Recurrent, Drawing])
@pytest.mark.parametrize("attribution", [(), ("saliency", "grad_cam")])
def test_training_is_bit_for_bit_the_same(tmp_path, make, attribution):
    if attribution and make in (Transformer, Recurrent):
        attribution = ("saliency",)
    bare = train(make)
    assert_same(bare, train(make, tmp_path / "probed", attribution=attribution))
    album = read_album(tmp_path / "probed")
    assert album.steps == list(range(8))
    assert ("input", "saliency") in album.modules or not attribution


class Reparametrised(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = prune.l1_unstructured(nn.Conv2d(1, 4, 3), "weight", amount=0.5)
        self.normed = parametrizations.weight_norm(nn.Conv2d(4, 4, 3))
        self.spectral = parametrizations.spectral_norm(nn.Linear(4 * 16, 10))

    def forward(self, pictures):
        return self.spectral(self.normed(self.conv(pictures)).flatten(1))


def test_reparametrised_weights_are_those_of_the_training(tmp_path):
    assert_same(train(Reparametrised), train(Reparametrised, tmp_path))
    assert read_album(tmp_path).modules == [("conv", "feature_map"), ("normed", "feature_map")]


def run_two(tmp_path, model, *, pictures=None, prepare=lambda: None, **options):
    """Train two steps with a probe, prepare just before the second one's end, and return what was written."""
    inputs, classes = digits(16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer)
        writer.watch_activation_maps(inputs[:4] if pictures is None else pictures, every=1, **options)
        nn.functional.cross_entropy(model(inputs), classes).backward()
        optimizer.step()
        nn.functional.cross_entropy(model(inputs), classes).backward()
        prepare()
        optimizer.step()
    return read_album(tmp_path)


def test_flags_buffers_gradients_and_attributes_are_those_of_before(tmp_path):
    model = Drawing()
    model.norm.eval()
    before: dict[str, Any] = {}

    def remember():
        before["attributes"] = [dict(vars(module)) for module in model.modules()]
        before["inner"] = [(dict(module._buffers), dict(module._modules)) for module in model.modules()]
        before["buffers"] = [(buffer, buffer._version, buffer.clone()) for buffer in model.buffers()]
        before["gradients"] = [
            (parameter, parameter.grad, parameter.grad._version, parameter.grad.clone())
            for parameter in model.parameters()
            if parameter.grad is not None
        ]

    run_two(tmp_path, model, prepare=remember, attribution=("saliency", "grad_cam"))
    for module, attributes, (buffers, modules) in zip(
        model.modules(), before["attributes"], before["inner"], strict=True
    ):
        assert vars(module).keys() == attributes.keys()
        assert all(vars(module)[key] is value for key, value in attributes.items())
        assert all(module._buffers[key] is value for key, value in buffers.items())
        assert all(module._modules[key] is value for key, value in modules.items())
    assert not model.norm.training
    assert model.drop.training
    for found, (buffer, version, values) in zip(model.buffers(), before["buffers"], strict=True):
        assert found is buffer
        assert found._version == version
        assert torch.equal(found, values)
    for parameter, gradient, version, values in before["gradients"]:
        assert parameter.grad is gradient
        assert gradient._version == version
        assert torch.equal(gradient, values)


def test_hooks_of_the_user_hear_nothing_of_it(tmp_path):
    model, heard = Convolutions(), []
    model.conv.register_forward_hook(lambda *_: heard.append("forward"))
    model.conv.register_forward_pre_hook(lambda *_: heard.append("pre"))
    model.conv.register_full_backward_hook(lambda *_: heard.append("backward"))
    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(lambda _: heard.append("gradient"))
    remembered, everywhere = [], []

    def remember():
        everywhere.append(register_module_forward_hook(lambda *_: heard.append("everywhere")))
        remembered.extend(heard)

    album = run_two(tmp_path, model, prepare=remember, attribution=("saliency", "grad_cam"))
    everywhere.pop().remove()
    assert heard == remembered
    model(digits(2)[0])
    assert heard.count("forward") == 3
    assert heard.count("backward") == 2
    assert "forward hooks" in album.reasons


class Raising(Convolutions):
    """Can't be run in eval mode."""

    def forward(self, pictures):
        if not self.training:
            self.broken = torch.rand(3)
            raise RuntimeError("not for evaluation")
        return super().forward(pictures)


def test_what_fails_is_told_once_and_the_training_goes_on_the_same(tmp_path):
    bare = train(Raising)
    with pytest.warns(NetVizWarning) as told:
        assert_same(bare, train(Raising, tmp_path))
    assert [str(one.message) for one in told] == [
        "netviz: The activation maps 'probe': no longer recorded, because of RuntimeError: not for evaluation"
    ]
    album = read_album(tmp_path)
    assert "RuntimeError: not for evaluation" in album.reasons["maps"]
    assert album.steps == []


def test_an_interrupt_passes_through_and_everything_is_put_back(tmp_path):
    class Interrupted(Convolutions):
        def forward(self, pictures):
            if not self.training:
                raise KeyboardInterrupt
            return super().forward(pictures)

    model = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        run_two(tmp_path, model)
    assert all(module.training for module in model.modules())
    assert torch.backends.mha.get_fastpath_enabled()
    model(digits(2)[0])


def test_autocast_remembers_no_weights_of_the_probe(tmp_path):
    """Under no_grad autocast would remember weights that have no gradient, and the training would use them."""

    def losses(folder):
        torch.manual_seed(0)
        model, (inputs, classes) = Convolutions(), digits(16)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        writer = None if folder is None else NetVizWriter(folder)
        if writer is not None:
            writer.watch(model, optimizer)
            writer.watch_activation_maps(inputs[:4], every=1)
        found = []
        with torch.autocast("cpu", dtype=torch.bfloat16):
            for _ in range(3):
                loss = nn.functional.cross_entropy(model(inputs).float(), classes)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                torch.clear_autocast_cache()
                found.append(loss.item())
        if writer is not None:
            writer.close()
        return found, [parameter.clone() for parameter in model.parameters()]

    bare, probed = losses(None), losses(tmp_path)
    assert bare[0] == probed[0]
    assert all(torch.equal(one, two) for one, two in zip(bare[1], probed[1], strict=True))
    assert read_album(tmp_path).steps == [0, 1, 2]


def test_compiled_code_stays_as_it_is(tmp_path):
    def run(folder):
        torch._dynamo.reset()
        torch.manual_seed(0)
        model, (inputs, classes) = Convolutions(), digits(16)
        model.conv.compile(backend="aot_eager")
        model.register_module("head", cast("nn.Module", torch.compile(model.head, backend="aot_eager")))
        fast: Any = torch.compile(model, backend="aot_eager")
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        writer = None if folder is None else NetVizWriter(folder)
        if writer is not None:
            writer.watch(fast, optimizer)
            writer.watch_activation_maps(inputs[:4], every=1)
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

    bare, probed = run(None), run(tmp_path)
    assert len(set(probed[0])) == 1
    assert all(torch.equal(one, two) for one, two in zip(bare[1], probed[1], strict=True))
    album = read_album(tmp_path)
    assert album.steps == [0, 1, 2, 3]
    assert album.modules == [("stem", "feature_map"), ("conv", "feature_map")]


def test_a_paused_watch_and_one_that_was_detached_have_no_probe(tmp_path):
    model, (inputs, classes) = Convolutions(), digits(16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    writer = NetVizWriter(tmp_path)
    watch = writer.watch(model, optimizer)
    probe = writer.watch_activation_maps(inputs[:4], every=1)
    for step in range(6):
        {2: watch.pause, 3: watch.resume, 5: watch.detach}.get(step, lambda: None)()
        nn.functional.cross_entropy(model(inputs), classes).backward()
        optimizer.step()
    assert not probe.attached
    writer.close()
    assert read_album(tmp_path).steps == [0, 1, 3, 4]


def test_the_cost_is_part_of_what_recording_takes(tmp_path):
    model, (inputs, classes) = Convolutions(), digits(16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        watch = writer.watch(model, optimizer, every=8)
        probe = writer.watch_activation_maps(inputs[:4], every=10**6)
        told = []
        for step in range(3):
            nn.functional.cross_entropy(model(inputs), classes).backward()
            optimizer.step()
            told.append(watch._guard.seconds)
            if step == 0:
                probe._session._owed += 1000.0
        assert told[0] < 1000
        assert told[1] >= 1000  # At a step that the statistics don't observe.
