"""What listens for clipping changes nothing, holds nothing and stops nothing."""

import copy
import gc
import io
import weakref

import pytest
import torch
from torch._dynamo.utils import counters

from tb_netviz.pytorch import NetVizWriter
from tb_netviz.pytorch import clipping as module
from tests.support.clips import BEFORE, assert_as_expected, backward, by_both, by_norm, found, network, train
from tests.support.watching import read


def test_the_users_own_hooks_stay(tmp_path):
    model = network()
    calls = []
    model[0].weight.register_post_accumulate_grad_hook(lambda parameter: calls.append(parameter.grad.clone()))
    expected = train(tmp_path, by_norm, model=model, steps=6)
    assert_as_expected(found(tmp_path), expected)
    backward(model, 0)
    assert len(calls) == 7


@pytest.mark.parametrize("fullgraph", [False, True])
def test_compiled_models_break_no_graph_and_compile_once(tmp_path, fullgraph):
    def graphs(folder=None):
        torch._dynamo.reset()
        counters.clear()
        model = network()
        compiled = torch.compile(model, backend="aot_eager", fullgraph=fullgraph)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        writer = NetVizWriter(folder) if folder else None
        if writer:
            writer.watch(model, optimizer, every=3)
        for step in range(12):
            backward(compiled, step)
            by_norm(model)
            optimizer.step()
            optimizer.zero_grad()
        if writer:
            writer.close()
        return counters["stats"]["unique_graphs"], dict(counters["graph_break"]), dict(counters["recompiles"])

    assert graphs(tmp_path) == graphs()
    assert list(found(tmp_path)) == [0, 3, 6, 9]


def test_a_watched_run_that_clips_is_bit_for_bit_the_bare_one(tmp_path):
    def run(folder=None):
        torch.manual_seed(1)
        model = network()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        writer = NetVizWriter(folder) if folder else None
        if writer:
            writer.watch(model, optimizer, every=2)
        for step in range(20):
            backward(model, step, parts=2)
            by_both(model)
            optimizer.step()
            optimizer.zero_grad(set_to_none=step % 2 == 0)
        if writer:
            writer.close()
        return [*model.state_dict().values(), torch.rand(3)]

    assert all(torch.equal(one, two) for one, two in zip(run(), run(tmp_path), strict=True))


def test_copies_and_pickles_of_a_watched_model_carry_no_hook(tmp_path):
    model = network()
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, torch.optim.SGD(model.parameters(), lr=0.01), every=1)
        twin = copy.deepcopy(model)
        stream = io.BytesIO()
        torch.save(model, stream)
        stream.seek(0)
        loaded = torch.load(stream, weights_only=False)
        for other in (twin, loaded):
            assert not any(parameter._post_accumulate_grad_hooks for parameter in other.parameters())
            backward(other, 0)
        assert all(len(parameter._post_accumulate_grad_hooks) == 1 for parameter in model.parameters())


def test_nothing_holds_the_model(tmp_path):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(3):
            backward(model, step)
            by_norm(model)
            optimizer.step()
            optimizer.zero_grad()
        references = [weakref.ref(model), weakref.ref(model[0].weight)]
        del model, optimizer
        gc.collect()
        assert [reference() for reference in references] == [None, None]


def test_an_error_of_ours_costs_only_this(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_mark_of", lambda *_: 1 / 0)
    with pytest.warns(UserWarning, match="gradients before clipping"):
        train(tmp_path, by_norm, steps=6)
    recording = read(tmp_path)
    assert sorted(recording.tables) == list(range(6))
    assert BEFORE not in recording.metrics
