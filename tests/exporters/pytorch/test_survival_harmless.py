"""What follows gradients from step to step changes nothing, holds nothing and stops nothing."""

import copy
import gc
import io
import pickle
import weakref
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters
from torch.multiprocessing.reductions import reduce_tensor

from tb_netviz.pytorch import NetVizWriter
from tb_netviz.pytorch import survival as module
from tests.support.clips import network
from tests.support.survival import GONE, KEPT, STEPS, all_of, backward, kept, of_none, sgd, train, zero_grad
from tests.support.watching import read


@pytest.mark.parametrize("forget", [None, zero_grad(True), zero_grad(False)])
@pytest.mark.parametrize("every", [1, 2])
def test_a_watched_run_is_bit_for_bit_the_bare_one(tmp_path, every, forget):
    def run(folder=None):
        torch.manual_seed(1)
        model = train(folder, forget, parts=2, every=every, optimizer_of=torch.optim.Adam, steps=12)
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        return [*model.state_dict().values(), *gradients, torch.rand(3)]

    assert all(torch.equal(one, two) for one, two in zip(run(), run(tmp_path), strict=True))


def _pickled(model):
    return pickle.loads(pickle.dumps(model))


def _saved(model):
    stream = io.BytesIO()
    torch.save(model, stream)
    stream.seek(0)
    return torch.load(stream, weights_only=False)


@pytest.mark.parametrize("copied", [copy.deepcopy, _pickled, _saved])
def test_copies_carry_no_hook_and_the_model_goes_on(tmp_path, copied):
    model = network()
    optimizer = sgd(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for _ in range(STEPS):
            backward(model)
            optimizer.step()
            assert len(model[0].weight._backward_hooks) == 1
            twin, _ = copied((model, optimizer))
            assert not any(parameter._backward_hooks for parameter in twin.parameters())
            backward(twin)
            reduce_tensor(model[0].weight)  # As it is sent to another process; warns of what can't go with it.
    assert kept(tmp_path) == all_of(KEPT)
    assert of_none(model)


@pytest.mark.parametrize("leaves", ["detach", "pause"])
def test_parameters_are_left_as_they_were(tmp_path, leaves):
    model = network()
    calls: list[torch.Tensor] = []
    model[2].weight.register_hook(calls.append)
    optimizer = torch.optim.SGD([{"params": [model[0].weight]}, {"params": [model[2].weight]}], lr=0.01)
    with NetVizWriter(tmp_path) as writer:
        watched = writer.watch(model, optimizer, every=1)
        for _ in range(3):
            backward(model)
            optimizer.step()
        assert [len(model[layer].weight._backward_hooks) for layer in (0, 2)] == [1, 2]
        getattr(watched, leaves)()
        assert model[0].weight._backward_hooks is None
        assert len(model[2].weight._backward_hooks) == 1
        backward(model)
    assert len(calls) == 4


def test_watching_goes_on_after_a_pause(tmp_path):
    model = network()
    optimizer = sgd(model)
    with NetVizWriter(tmp_path) as writer:
        watched = writer.watch(model, optimizer, every=1)
        for step in range(9):
            if step == 3:
                watched.pause()
            if step == 6:
                watched.resume()
            backward(model)
            optimizer.step()
    assert kept(tmp_path) == dict.fromkeys((0, 1, 6, 7), KEPT)


def test_hooks_that_the_user_takes_off_meanwhile(tmp_path):
    model = network()
    optimizer = sgd(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for _ in range(STEPS):
            backward(model)
            optimizer.step()
            for parameter in model.parameters():
                parameter._backward_hooks = OrderedDict()
    assert len(read(tmp_path).tables) == STEPS
    assert kept(tmp_path) == {}


def test_nothing_is_followed_where_no_gradients_are_wanted(tmp_path):
    model = network()
    optimizer = sgd(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1, gradients=False)
        for _ in range(STEPS):
            backward(model)
            optimizer.step()
            assert of_none(model)
    assert kept(tmp_path) == {}


def test_an_optimizer_for_each_epoch(tmp_path):
    model = network()
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, every=1)
        for _ in range(3):
            optimizer = sgd(model)
            for _ in range(2):
                backward(model)
                optimizer.step()
            del optimizer
            gc.collect()
        assert len(model[0].weight._backward_hooks) == 1
    assert set(kept(tmp_path).values()) == {KEPT}
    assert of_none(model)


def test_optimizers_in_the_backward_pass(tmp_path):
    model = network()
    for parameter in model.parameters():
        optimizer = torch.optim.SGD([parameter], lr=0.01)

        def step(tensor, optimizer=optimizer):
            optimizer.step()
            optimizer.zero_grad()

        parameter.register_post_accumulate_grad_hook(step)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, every=1)
        for _ in range(STEPS):
            backward(model)
            assert not any(parameter._backward_hooks for parameter in model.parameters())
    assert len(read(tmp_path).tables) == STEPS
    assert not any("kept_gradients" in name for name in read(tmp_path).metrics)


def test_gradients_that_were_made_in_inference_mode(tmp_path):
    model = network()
    optimizer = sgd(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for _ in range(STEPS):
            backward(model)
            optimizer.step()
            with torch.inference_mode():
                halves = [parameter.grad * 0.5 for parameter in model.parameters()]
            for parameter, half in zip(model.parameters(), halves, strict=True):
                parameter.grad = half
            optimizer.step()
            optimizer.zero_grad()
    assert len(read(tmp_path).tables) == 2 * STEPS
    assert kept(tmp_path) == {}


def test_nothing_holds_the_model_its_gradients_or_the_optimizer(tmp_path):
    model = network()
    optimizer = sgd(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for _ in range(3):
            backward(model)
            optimizer.step()
        gradient = weakref.ref(model[0].weight.grad)
        optimizer.zero_grad()
        gc.collect()
        assert gradient() is None
        references = [weakref.ref(model), weakref.ref(model[0].weight), weakref.ref(optimizer)]
        del model, optimizer
        gc.collect()
        assert [reference() for reference in references] == [None, None, None]


def test_parameters_and_gradients_can_be_swapped(tmp_path):
    model = network()
    optimizer = sgd(model)
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        with NetVizWriter(tmp_path) as writer:
            writer.watch(model, optimizer, every=1)
            for _ in range(STEPS):
                backward(model)
                optimizer.step()
                model.double().float()
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)
    assert len(read(tmp_path).tables) == STEPS
    assert of_none(model)


@pytest.mark.parametrize("fullgraph", [False, True])
def test_compiled_models_break_no_graph_and_compile_once(tmp_path, fullgraph):
    def graphs(folder=None):
        torch._dynamo.reset()
        counters.clear()
        model = network()
        compiled = torch.compile(model, backend="aot_eager", fullgraph=fullgraph)
        optimizer = sgd(model)
        writer = NetVizWriter(folder) if folder else None
        if writer:
            writer.watch(model, optimizer, every=3)
        for _ in range(12):
            backward(compiled)
            optimizer.step()
        if writer:
            writer.close()
        return counters["stats"]["unique_graphs"], dict(counters["graph_break"]), dict(counters["recompiles"])

    assert graphs(tmp_path) == graphs()
    assert kept(tmp_path) == dict.fromkeys((0, 3, 6, 9), KEPT)


@pytest.mark.parametrize("broken", ["_mark_of", "_peak", "_can_be_followed"])
def test_an_error_of_ours_costs_only_this(tmp_path, monkeypatch, broken):
    calls = []
    whole = getattr(module, broken)

    def breaks(*given):
        calls.append(1)
        return whole(*given) if len(calls) < 4 else 1 / 0

    monkeypatch.setattr(module, broken, breaks)
    model = network()
    with pytest.warns(UserWarning, match="gradients that a step leaves.*no longer recorded, because of ZeroDivision"):
        train(tmp_path, model=model, steps=8)
    assert sorted(read(tmp_path).tables) == list(range(8))
    assert len(kept(tmp_path)) < 4
    assert of_none(model)


@pytest.mark.parametrize("as_view", [False, True])
@pytest.mark.parametrize("forgotten", [False, True])
def test_wrapped_to_be_distributed(tmp_path, as_view, forgotten):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        model = network()
        wrapped = nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=as_view)
        optimizer = sgd(model)
        with NetVizWriter(tmp_path) as writer:
            writer.watch(wrapped, optimizer, every=1)
            for _ in range(STEPS):
                if not forgotten:
                    optimizer.zero_grad()
                for _ in range(3):
                    backward(wrapped)
                optimizer.step()
    finally:
        torch.distributed.destroy_process_group()
    # As views the gradients of all parameters have one version in common, which says nothing of a single one.
    assert kept(tmp_path) == ({} if as_view else all_of(KEPT if forgotten else GONE))
