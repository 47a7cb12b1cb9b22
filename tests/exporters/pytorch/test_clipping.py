"""The norm before clipping and the share of clipped steps, against copies of the gradients and float64."""

import math

import pytest
import torch
from torch import nn

from tb_netviz.pytorch import NetVizWriter
from tb_netviz.pytorch import clipping as module
from tests.support.clips import (
    BEFORE,
    CLIPPED,
    MAX_NORM,
    SIZES,
    assert_as_expected,
    backward,
    by_both,
    by_hand,
    by_norm,
    by_value,
    found,
    gradients,
    network,
    nothing,
    replaced,
    train,
    unseen,
    whole,
)
from tests.support.watching import read


@pytest.mark.parametrize("modify", [by_norm, by_value, by_both, by_hand, unseen, replaced])
def test_the_norm_before_and_the_clipped_steps(tmp_path, modify):
    expected = train(tmp_path, modify)
    assert 0 < sum(clipped for _, clipped in expected) < len(expected)
    records = found(tmp_path)
    begins = next(iter(records))  # From the first step at which anything is seen to change gradients.
    assert begins <= next(step for step, (_, clipped) in enumerate(expected) if clipped)
    assert_as_expected(records, expected, range(begins, len(expected)))
    recording = read(tmp_path)
    assert [step for step, _ in recording.scalars[BEFORE]] == list(records)
    assert [bool(value) for _, value in recording.scalars[CLIPPED]] == [clipped for _, clipped in records.values()]


@pytest.mark.parametrize("modify", [by_norm, by_value])
def test_with_accumulation_the_whole_gradient_counts(tmp_path, modify):
    expected = train(tmp_path, modify, parts=3)
    assert_as_expected(found(tmp_path), expected)


def test_a_number_of_parts_that_changes(tmp_path):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    norms = {}
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(40):
            backward(model, step, parts=1 if step >= 20 else 3)
            norms[step] = whole(model)
            by_norm(model)
            optimizer.step()
            optimizer.zero_grad()
    records = found(tmp_path)
    assert len(records) >= 36
    for step, (norm, _) in records.items():
        assert norm == pytest.approx(norms[step], rel=1e-5)


@pytest.mark.parametrize("optimizer_of", [None, lambda p: torch.optim.Adam(p, foreach=True)])
def test_where_nothing_clips_nothing_is_written_and_nothing_measured(tmp_path, monkeypatch, optimizer_of):
    measured = []
    measure = module._measure

    def counted(*parts):
        measured.append(1)
        measure(*parts)

    monkeypatch.setattr(module, "_measure", counted)
    train(tmp_path, nothing, steps=40, optimizer_of=optimizer_of)
    recording = read(tmp_path)
    assert not {BEFORE, CLIPPED} & (recording.metrics.keys() | recording.scalars.keys())
    assert len(measured) == module.ALWAYS_MEASURED + 4  # One is compared as the next is measured; then at 8, 16, 32.


def test_clipping_that_begins_later_is_noticed_from_the_step_after(tmp_path):
    model = network()

    def late(model, calls=[0]):  # noqa: B006  Counts.
        calls[0] += 1
        if calls[0] > 20:
            by_norm(model)

    expected = train(tmp_path, late, steps=30, model=model)
    assert_as_expected(found(tmp_path), expected, range(21, 30))


def test_only_observed_steps_are_listened_to(tmp_path):
    model = network()
    hooks = []

    def watching(model):
        hooks.append(sum(len(parameter._post_accumulate_grad_hooks or ()) for parameter in model.parameters()))
        by_norm(model)

    expected = train(tmp_path, watching, model=model, every=4)
    assert_as_expected(found(tmp_path), expected, range(0, 24, 4))
    assert hooks == [4 if step % 4 == 0 else 0 for step in range(24)]
    assert [parameter._post_accumulate_grad_hooks for parameter in model.parameters()] == [None] * 4


def test_ones_own_numbers_of_steps(tmp_path):
    numbers = iter(range(100, 1000, 10))
    expected = train(tmp_path, by_norm, step=lambda: next(numbers))
    records = found(tmp_path)
    assert len(records) >= 20
    for step, (norm, clipped) in records.items():
        assert (pytest.approx(norm, rel=1e-5), clipped) == expected[(step - 100) // 10]


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("init_scale", [1024.0, 1000.0])
@pytest.mark.parametrize("modify", [by_norm, by_value, nothing])
def test_a_loss_scale_is_no_clipping(tmp_path, modify, init_scale, fused):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=init_scale, growth_interval=5)
    expected = []
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(24):
            backward(model, step, scale=scaler.scale)
            norm = whole(model) / scaler.get_scale()
            if modify is not nothing:
                scaler.unscale_(optimizer)
                before = gradients(model)
                modify(model)
                expected.append((norm, bool((gradients(model).abs() < before.abs() - 1e-12).any())))
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
    if modify is nothing:
        assert found(tmp_path) == {}
    else:
        assert 0 < sum(clipped for _, clipped in expected) < len(expected)
        assert_as_expected(found(tmp_path), expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions(tmp_path, dtype):
    model = network().to(dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    expected = []
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(24):
            model(torch.randn(16, 6, dtype=dtype) * SIZES[step % 4]).square().mean().backward()
            norm = whole(model)
            expected.append((norm, norm > MAX_NORM))
            by_norm(model)
            optimizer.step()
            optimizer.zero_grad()
    assert 0 < sum(clipped for _, clipped in expected) < len(expected)
    assert_as_expected(found(tmp_path), expected)


def test_gradients_that_are_not_finite_are_no_clipping(tmp_path):
    def poisoned(model, calls=[0]):  # noqa: B006  Counts.
        calls[0] += 1
        if calls[0] == 3:
            model[0].weight.grad[0, 0] = math.nan
        by_norm(model)

    expected = train(tmp_path, poisoned, steps=3)
    assert_as_expected(found(tmp_path), expected, range(2))


def test_sparse_gradients(tmp_path):
    model = nn.EmbeddingBag(20, 4, sparse=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    norms = []
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for _ in range(4):
            model(torch.randint(0, 20, (5, 3))).square().sum().backward()
            gradient = model.weight.grad
            assert gradient is not None
            norms.append(float(gradient.to_dense().double().norm()))
            model.weight.grad = gradient.coalesce() * 0.5
            optimizer.step()
            optimizer.zero_grad()
    records = found(tmp_path)
    assert [norm for norm, _ in records.values()] == pytest.approx(norms, rel=1e-5)
    assert all(clipped for _, clipped in records.values())
