"""What goes into evaluations, and into training, as a user's loop makes both."""

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from tb_netviz.pytorch import NetVizWriter
from tb_netviz.pytorch.outputs import evaluations as module
from tests.support.watching import read

STEPS, EVERY = 12, 3


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))


def batch(number, scale=1.0):
    return scale * torch.randn(16, 6, generator=torch.Generator().manual_seed(number))


def evaluate(model, step, passes=2):
    model.eval()
    with torch.no_grad():
        for number in range(passes):
            model(batch(1000 + 10 * step + number, 3.0))
    model.train()


def train(folder, model, evaluation=evaluate, *, steps=STEPS, every=EVERY, call=None, given=batch):
    """Train and evaluate every few steps; return by step what was recorded of the evaluation before it."""
    call = call or model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with NetVizWriter(folder) as writer:
        writer.watch(call if isinstance(call, nn.Module) else model, optimizer, every=5)
        for step in range(steps):
            optimizer.zero_grad()
            call(given(step)).square().mean().backward()
            optimizer.step()
            if step % every == every - 1:
                evaluation(model, step)
    return read(folder).evaluations


def test_the_columns_are_those_of_the_passes_by_hand(tmp_path):
    found = train(tmp_path, network())
    assert list(found) == [3, 6, 9, 11]  # The last one follows the last step.
    for step, columns in found.items():
        before = 11 if step == 11 else step - 1
        evaluated = np.concatenate([batch(1000 + 10 * before + number, 3.0).numpy() for number in range(2)])
        trained = np.concatenate([batch(number).numpy() for number in range(1, step + 1)])  # The first went before.
        for prefix, rows in (("", evaluated), ("trained_", trained)):
            assert columns[f"{prefix}samples"] == len(rows)
            assert columns[f"{prefix}in_mean"] == pytest.approx(rows.mean(), rel=1e-4, abs=1e-6)
            assert columns[f"{prefix}in_size"] == pytest.approx(np.sqrt((rows**2).mean()), rel=1e-5)
            assert (columns[f"{prefix}in_min"], columns[f"{prefix}in_max"]) == (rows.min(), rows.max())
        factors = evaluated.std(0) / trained.std(0)
        assert columns["in_factor"] == pytest.approx(np.median(factors), rel=1e-4)


def test_outputs_in_training_are_those_of_the_last_pass(tmp_path):
    model, seen = network(), []
    model.register_forward_hook(lambda model, _, made: seen.append(made.detach()) if model.training else None)
    found = train(tmp_path, model)
    for step, columns in found.items():
        assert columns["trained_out_size"] == pytest.approx(float(seen[step].square().mean().sqrt()), rel=1e-5)


def test_evaluations_are_measured_at_each_half_of_a_doubling(tmp_path):
    found = train(tmp_path, network(), steps=60)
    assert [step // EVERY for step in found] == [1, 2, 3, 4, 6, 8, 12, 16]


def test_of_a_long_evaluation_some_passes_are_measured(tmp_path):
    found = train(tmp_path, network(), lambda model, step: evaluate(model, step, 100), steps=4)
    assert [columns["samples"] / 16 for columns in found.values()] == [15 + 8 + 8 + 5]


def test_passes_without_gradients_at_every_step_are_no_evaluations(tmp_path, monkeypatch):
    measured, sums = [], module._sums

    def counted(tensor, axis):
        measured.append(axis)
        return sums(tensor, axis)

    monkeypatch.setattr(module, "_sums", counted)
    assert list(train(tmp_path, network(), every=1, steps=40)) == [1]  # It might have been one.
    assert len(measured) < 4 * 40


def test_passes_that_are_computed_again_are_neither(tmp_path):
    model = network()

    def again(inputs):
        return checkpoint(model, inputs.requires_grad_(), use_reentrant=True)

    assert train(tmp_path, model, lambda *_: None, call=again) == {}


def test_a_wrapper_and_the_model_in_it_are_one_pass(tmp_path):
    class Wrapper(nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

        def forward(self, inputs):
            return self.module(inputs)

    model = network()
    wrapped = nn.DataParallel(model) if not torch.cuda.is_available() else Wrapper(model)
    found = train(tmp_path, model, call=wrapped)
    assert [columns["samples"] for columns in found.values()] == [32] * 4
    assert [columns["trained_samples"] for columns in found.values()] == [48, 96, 144, 176]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("in_training", [False, True])
def test_every_way_to_evaluate(tmp_path, mode, in_training):
    def judged(model, step):
        model.train(in_training)
        with mode():
            model(batch(step, 5.0))
        model.train()

    found = train(tmp_path, network(), judged)
    assert all(columns["in_factor"] == pytest.approx(5, rel=0.5) for columns in found.values())
    assert len(found) == 4


def test_tokens_pictures_and_odd_shapes(tmp_path):
    convolved = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    kinds = {
        "tokens": (nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 2)), lambda step: torch.arange(24).reshape(4, 6) % 9),
        "pictures": (convolved, lambda step: batch(step).repeat(1, 8).reshape(4, 3, 8, 8)),
        "vector": (nn.Linear(6, 1), lambda step: batch(step)[0]),
    }
    for name, (model, given) in kinds.items():

        def judged(model, step, given=given):
            with torch.no_grad():
                model(given(step))

        found = train(tmp_path / name, model, judged, given=given)
        assert {columns["in_kind"] for columns in found.values()} == {1 if name == "tokens" else 2}
        assert {columns["trained_in_kind"] for columns in found.values()} == {1 if name == "tokens" else 2}
        assert all(math.isfinite(columns["in_factor"]) for columns in found.values())


def test_what_has_too_many_features_is_read_at_a_stride(tmp_path):
    found = train(
        tmp_path,
        nn.Linear(5000, 3000),
        lambda model, step: evaluate_wide(model),
        given=lambda step: torch.ones(2, 5000),
    )
    assert {columns["in_mean"] for columns in found.values()} == {2.0}


def evaluate_wide(model):
    with torch.no_grad():
        model(2 * torch.ones(2, 5000))


def test_inputs_of_another_length_do_not_compare_feature_by_feature(tmp_path):
    model = nn.GRU(1, 4, batch_first=True)

    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = model

        def forward(self, series):
            return self.rnn(series[:, :, None])[0]

    def judged(model, step):
        with torch.no_grad():
            model(3 * torch.randn(8, 20))

    found = train(tmp_path, Head(), judged, given=batch)
    assert found
    for columns in found.values():
        assert math.isnan(columns["in_factor"])
        assert columns["in_size"] > 2


def test_a_failure_ends_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "feature_sums", lambda _rows: 1 / 0)
    with pytest.warns(UserWarning, match="What goes into evaluations"):
        found = train(tmp_path, network())
    assert found == {}
    assert read(tmp_path).outputs


def test_copies_and_pickles_hold_nothing_of_it(tmp_path):
    model = network()
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model)
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            other(batch(0)).sum().backward()
    assert not model._forward_hooks


def test_while_paused_nothing_is_measured(tmp_path):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with NetVizWriter(tmp_path) as writer:
        watched = writer.watch(model, optimizer)
        for step in range(12):
            model(batch(step)).sum().backward()
            optimizer.step()
            if step == 4:
                watched.pause()
                evaluate(model, step)
                watched.resume()
    assert read(tmp_path).evaluations == {}


def test_compiled_in_place_it_is_absent(tmp_path):
    model = network()
    model.compile(backend="eager", fullgraph=True)
    train(tmp_path, model)
    assert read(tmp_path).tables


def test_a_compiled_wrapper(tmp_path):
    model = network()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    found = train(tmp_path, model, lambda model, step: evaluate(compiled, step), call=compiled)
    assert {columns["samples"] for columns in found.values()} == {32}
