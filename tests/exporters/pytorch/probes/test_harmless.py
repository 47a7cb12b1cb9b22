"""A training with a probe is the training without it, bit for bit, whatever the model does; for either kind alike."""

import copy
from typing import Any, cast

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils import parametrizations, prune

from tb_netviz.events import NetVizWarning
from tb_netviz.pytorch import NetVizWriter
from tests.support.albums import read_album
from tests.support.probed import KINDS, Drawing, assert_same, steps_of, train
from tests.support.small_networks import Convolutions, Recurrent, Transformer, digits

MAPS = KINDS["maps"]
EXPLAINED = {"attribution": ("saliency", "grad_cam")}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


@pytest.fixture
def explained(kind):
    """All that a probe of the kind may do in its pass."""
    return EXPLAINED if kind is MAPS else {}


@pytest.mark.parametrize("make", [Convolutions, Transformer, Recurrent, Drawing])
def test_training_is_bit_for_bit_the_same(tmp_path, kind, make):
    assert_same(train(make, kind), train(make, kind, tmp_path))
    assert kind.read(tmp_path) == (list(range(8)), {})


@pytest.mark.parametrize(
    ("make", "attribution"),
    [(Convolutions, EXPLAINED), (Drawing, EXPLAINED), (Transformer, "saliency"), (Recurrent, "saliency")],
)
def test_training_is_bit_for_bit_the_same_where_classes_are_explained(tmp_path, make, attribution):
    options = attribution if attribution is EXPLAINED else {"attribution": attribution}
    assert_same(train(make, MAPS), train(make, MAPS, tmp_path, **options))
    album = read_album(tmp_path)
    assert album.steps == list(range(8))
    assert ("input", "saliency") in album.modules


class Reparametrised(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = prune.l1_unstructured(nn.Conv2d(1, 4, 3), "weight", amount=0.5)
        self.normed = parametrizations.weight_norm(nn.Conv2d(4, 4, 3))
        self.spectral = parametrizations.spectral_norm(nn.Linear(4 * 16, 10))

    def forward(self, pictures):
        return self.spectral(self.normed(self.conv(pictures)).flatten(1))


def test_reparametrised_weights_are_those_of_the_training(tmp_path, kind):
    assert_same(train(Reparametrised, kind), train(Reparametrised, kind, tmp_path))
    assert kind.read(tmp_path) == (list(range(8)), {})
    if kind is MAPS:
        assert read_album(tmp_path).modules == [("conv", "feature_map"), ("normed", "feature_map")]


def run_two(folder, model, kind, *, prepare=lambda: None, **options):
    """Train two steps with a probe, prepare just before the second one's end, and return what was left out and why."""
    inputs, classes = digits(16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(folder) as writer:
        writer.watch(model, optimizer)
        kind.watch(writer, inputs, classes, **options)
        nn.functional.cross_entropy(model(inputs), classes).backward()
        optimizer.step()
        nn.functional.cross_entropy(model(inputs), classes).backward()
        prepare()
        optimizer.step()
    steps, reasons = kind.read(folder)
    assert steps == [0, 1]
    return reasons


def test_flags_buffers_gradients_and_attributes_are_those_of_before(tmp_path, kind, explained):
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

    run_two(tmp_path, model, kind, prepare=remember, **explained)
    for module, attributes, (buffers, modules) in zip(
        model.modules(), before["attributes"], before["inner"], strict=True
    ):
        assert vars(module).keys() == attributes.keys()
        assert all(vars(module)[key] is value for key, value in attributes.items())
        assert all(module._buffers[key] is value for key, value in buffers.items())
        assert all(module._modules[key] is value for key, value in modules.items())
    assert not model.norm.training
    assert model.drop.training
    assert (model.seen, model.calls.item()) == (2, 2)
    for found, (buffer, version, values) in zip(model.buffers(), before["buffers"], strict=True):
        assert found is buffer
        assert found._version == version
        assert torch.equal(found, values)
    assert before["gradients"]
    for parameter, gradient, version, values in before["gradients"]:
        assert parameter.grad is gradient
        assert gradient._version == version
        assert torch.equal(gradient, values)


def test_hooks_of_the_user_hear_nothing_of_it(tmp_path, kind, explained):
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

    reasons = run_two(tmp_path, model, kind, prepare=remember, **explained)
    everywhere.pop().remove()
    assert heard == remembered
    model(digits(2)[0])
    assert heard.count("forward") == 3
    assert heard.count("backward") == 2
    assert ("forward hooks" in reasons) == (kind is MAPS)


def test_a_model_is_copied_without_it(tmp_path, kind):
    model, (pictures, classes) = Convolutions(), digits(70)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        kind.watch(writer, pictures, classes, model=model)
        twin = copy.deepcopy(model)
        steps_of(twin, torch.optim.SGD(twin.parameters(), lr=0.1), 2)
        steps_of(model, optimizer, 1)
    assert kind.read(tmp_path)[0] == [0]
    torch.save(model, tmp_path / "model.pt")


class Raising(Convolutions):
    """Can't be run in eval mode."""

    def forward(self, pictures):
        if not self.training:
            self.broken = torch.rand(3)
            raise RuntimeError("not for evaluation")
        return super().forward(pictures)


def test_what_fails_is_told_once_and_the_training_goes_on_the_same(tmp_path, kind):
    bare = train(Raising, kind)
    with pytest.warns(NetVizWarning) as told:
        assert_same(bare, train(Raising, kind, tmp_path))
    assert [str(one.message) for one in told] == [
        f"netviz: The {kind.called}: no longer recorded, because of RuntimeError: not for evaluation"
    ]
    steps, reasons = kind.read(tmp_path)
    assert steps == []
    assert "RuntimeError: not for evaluation" in reasons[kind.subject]


def test_an_interrupt_passes_through_and_everything_is_put_back(tmp_path, kind):
    class Interrupted(Convolutions):
        def forward(self, pictures):
            if not self.training:
                raise KeyboardInterrupt
            return super().forward(pictures)

    model = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        run_two(tmp_path, model, kind)
    assert all(module.training for module in model.modules())
    assert torch.backends.mha.get_fastpath_enabled()
    model(digits(2)[0])


def test_autocast_remembers_no_weights_of_the_probe(tmp_path, kind):
    """Under no_grad autocast would remember weights that have no gradient, and the training would use them."""

    def losses(folder):
        torch.manual_seed(0)
        model, (inputs, classes) = Convolutions(), digits(16)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        writer = None if folder is None else NetVizWriter(folder)
        if writer is not None:
            writer.watch(model, optimizer)
            kind.watch(writer, inputs, classes)
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
    assert kind.read(tmp_path)[0] == [0, 1, 2]


def test_compiled_code_stays_as_it_is(tmp_path, kind):
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
            kind.watch(writer, inputs, classes)
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
    assert kind.read(tmp_path)[0] == [0, 1, 2, 3]
    if kind is MAPS:
        assert read_album(tmp_path).modules == [("stem", "feature_map"), ("conv", "feature_map")]


def test_it_can_pause_resume_and_be_taken_off(tmp_path, kind):
    model, (inputs, classes) = Convolutions(), digits(16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        watch = writer.watch(model, optimizer)
        probe = kind.watch(writer, inputs, classes)
        assert probe.attached
        for step in range(7):
            actions = {1: probe.pause, 2: probe.resume, 3: watch.pause, 4: watch.resume, 6: probe.detach}
            actions.get(step, lambda: None)()
            steps_of(model, optimizer, 1)
        assert not probe.attached
        probe.detach()
    assert kind.read(tmp_path)[0] == [0, 2, 4, 5]


def test_it_ends_with_the_watch(tmp_path, kind):
    model, (inputs, classes) = Convolutions(), digits(16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        watch = writer.watch(model, optimizer)
        probe = kind.watch(writer, inputs, classes)
        steps_of(model, optimizer, 2)
        watch.detach()
        steps_of(model, optimizer, 2)
        assert not probe.attached
    assert kind.read(tmp_path)[0] == [0, 1]


def test_the_cost_is_part_of_what_recording_takes(tmp_path, kind):
    model, (inputs, classes) = Convolutions(), digits(16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        watch = writer.watch(model, optimizer, every=8)
        probe = kind.watch(writer, inputs, classes, every=10**6)
        told = []
        for step in range(3):
            steps_of(model, optimizer, 1)
            told.append(watch._guard.seconds)
            if step == 0:
                session = probe._rounds._session
                assert session._owed > 0  # For the first pass.
                session._owed += 1000.0
        assert told[0] < 1000
        assert told[1] >= 1000  # At a step that the statistics don't observe.
