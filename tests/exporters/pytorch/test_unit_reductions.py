"""Outputs of any shape, type and layout in memory come down to the sums that NumPy finds in float64."""

import math
import threading

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tb_netviz.pytorch.reductions.strides import readable
from tb_netviz.pytorch.reductions.units import (
    UNIT_SUMS,
    gradient_squares,
    merge_units,
    note_nonfinite,
    unit_counts,
    unit_sums,
)
from tb_netviz.statistics import native
from tb_netviz.statistics import units as by_hand
from tb_netviz.statistics.units import NOTED, Activity
from tb_netviz_plugin.schema.columns import ACTIVATION_COLUMNS, UNIT_COLUMNS

NAN, INF = math.nan, math.inf
LOOKS = [(1, 0), (3, 1), (8, 40)]
FLAT = (-0.5, 0.7)


def outputs():
    """Each with the axis of its units; sizes around the groups and blocks of the compiled reductions."""
    torch.manual_seed(0)
    images = torch.randn(19, 5, 6, 3)
    return {
        "images": (images, 1),
        "channels last": (images.to(memory_format=torch.channels_last), 1),
        "one value a channel": (torch.randn(21, 9, 1, 1), 1),
        "one channel": (torch.randn(6, 1, 7), 1),
        "volumes": (torch.randn(4, 3, 2, 3, 2), 1),
        "features by axis 1": (torch.randn(33, 270), 1),
        "features": (torch.randn(33, 270), -1),
        "one feature": (torch.randn(50, 1), -1),
        "one sample": (torch.randn(7), -1),
        "tokens": (torch.randn(5, 11, 17), -1),
        "tokens from channels": (torch.randn(5, 17, 11).transpose(1, 2), -1),
        "tokens by axis 0": (torch.randn(11, 5, 17).transpose(0, 1), -1),
        "a third of the features": (torch.randn(9, 4, 30)[..., 10:20], -1),
        "every other feature": (torch.randn(9, 4, 30)[..., ::2], -1),
        "a part of the channels": (images[:, 1:4], 1),
        "every other place": (images[..., ::2, :], 1),
        "transposed": (torch.randn(8, 20).t(), -1),
        "expanded": (torch.randn(1, 6, 5).expand(10, 6, 5), 1),
        "many units": (torch.randn(3, 100_000), -1),
        "no sample": (torch.randn(0, 4), -1),
        "no image": (torch.randn(0, 4, 2, 2), 1),
        "no unit": (torch.randn(4, 0), -1),
        "no place": (torch.randn(4, 3, 0), 1),
        "rectified": (torch.randn(40, 12).relu(), -1),
        "never positive": (-torch.randn(40, 12).abs(), -1),
        "negative zeros": (-torch.zeros(9, 4, 4), 1),
        "subnormal": (torch.randn(20, 6) * 1e-40, -1),
        "huge": (torch.randn(20, 6) * 1e30, -1),
        "far from zero": (torch.randn(64, 6, 9) + 1e8, 1),
        "half": (torch.randn(20, 6, 5).half(), 1),
        "bfloat16": (torch.randn(20, 6).bfloat16(), -1),
        "double": (torch.randn(20, 6, 5, dtype=torch.float64), 1),
        "eight bits": (torch.randn(20, 6).to(torch.float8_e4m3fn), -1),
        "complex": (torch.randn(20, 6, 5, dtype=torch.complex64), 1),
        "negated": (torch.randn(20, 6, dtype=torch.complex64).conj().imag, -1),
        "whole numbers": (torch.randint(-(2**40), 2**40, (20, 6)), -1),
        "bytes": (torch.randint(0, 3, (20, 6, 2), dtype=torch.uint8), 1),
        "truths": (torch.rand(20, 6) > 0.5, -1),
        "with a history": (torch.randn(20, 6, requires_grad=True) * 2, -1),
    }


OUTPUTS = outputs()


@pytest.fixture(params=["compiled", "torch only"])
def way(request, monkeypatch):
    if request.param == "torch only":
        monkeypatch.setattr(native, "_native", None)
    else:
        assert native.available(), "the compiled kernels are missing: is there no C compiler?"
    return request.param


def array(output):
    short = output.is_floating_point() and output.element_size() < 4
    return (output.float() if short else output).detach().resolve_neg().numpy()


def assert_sums(output, axis, flat=FLAT):
    for stride, start in LOOKS:
        result = unit_sums(output, axis, flat, stride, start)
        wanted = by_hand.unit_sums(array(output), axis, flat, stride, start)
        scale = np.maximum(by_hand.unit_sums(np.abs(array(output)), axis, flat, stride, start)[0], 1e-300)
        assert result.dtype == torch.float64
        assert not result.requires_grad
        found = result.numpy()
        np.testing.assert_allclose(found[0] / scale, wanted[0] / scale, rtol=0, atol=1e-6, err_msg="total")
        for name, sums, expected in zip(UNIT_SUMS[1:], found[1:], wanted[1:], strict=True):
            np.testing.assert_allclose(sums, expected, rtol=1e-5, atol=1e-85, err_msg=name)


@pytest.mark.parametrize("name", OUTPUTS)
def test_sums(way, name):
    assert_sums(*OUTPUTS[name])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", ["images", "channels last", "tokens", "tokens from channels", "features", "volumes"])
def test_values_that_are_not_finite_are_counted_and_left_out(way, name, dtype):
    output, axis = OUTPUTS[name]
    output = output.to(dtype, copy=True)
    output[torch.rand(output.shape) < 0.1] = NAN
    output[torch.rand(output.shape) < 0.02] = -NAN
    output[torch.rand(output.shape) < 0.02] = INF
    output[torch.rand(output.shape) < 0.02] = -INF
    output.select(axis, 1).fill_(NAN)
    output.select(axis, 2).fill_(-INF)
    assert_sums(output, axis)


def test_infinity_fires_and_is_the_largest(way):
    sums = unit_sums(torch.tensor([[INF, -INF, NAN], [-1.0, -1.0, -1.0]]), -1)
    found = dict(zip(UNIT_SUMS, sums.tolist(), strict=True))
    assert found["fired"] == [1, 0, 0]
    assert found["largest"] == [INF, -1, -1]
    assert found["nonfinite"] == [1, 1, 1]
    assert found["total"] == [-1, -1, -1]
    assert found["magnitude"] == [1, 1, 1]


@pytest.mark.parametrize(("name", "axis"), [("images", 1), ("channels last", 1), ("tokens", -1), ("double", 1)])
def test_what_deviates_within_an_entry(way, name, axis):
    output = OUTPUTS[name][0].clone()
    output[0] += 40.0  # Entries differ, which is not to show.
    means = unit_sums(output, axis, stride=2, start=0)[UNIT_SUMS.index("means")].numpy()
    counted = np.moveaxis(output.double().numpy()[::2], axis, 1)
    counted = counted.reshape(*counted.shape[:2], -1)
    deviations = np.square(counted - counted.mean(2, keepdims=True)).sum((0, 2))
    np.testing.assert_allclose(np.square(counted).sum((0, 2)) - means, deviations, rtol=1e-5)


def test_places_that_are_not_finite_are_none_of_their_entry(way):
    output = torch.tensor([[[1.0, NAN], [3.0, INF]], [[2.0, 5.0], [NAN, -1.0]], [[NAN, 1.0], [4.0, NAN]]])
    means = unit_sums(output, -1)[UNIT_SUMS.index("means")]
    assert means.tolist() == [16 / 2 + 4 + 16, 0 + 16 / 2 + 1]


@pytest.mark.parametrize("shape", [(6, 4), (6, 1, 4), (0, 4), (40, 300)])
def test_of_one_place_in_an_entry_no_deviation_is_defined(way, shape):
    assert torch.isnan(unit_sums(torch.randn(shape), -1, stride=2)[UNIT_SUMS.index("means")]).all()
    assert torch.isnan(unit_sums(torch.randn(*shape, 1), 1)[UNIT_SUMS.index("means")]).all() or len(shape) > 2


def test_entries_of_one_item_in_many_short_rows(way):
    """The sums of an entry end with it, wherever its rows end within a group of them."""
    for places in (2, 7, 8, 9, 17):
        output = torch.randn(5, places, 20) + torch.arange(5.0).reshape(5, 1, 1)
        output[3, places // 2, 4] = NAN
        assert_sums(output, -1)
        assert_sums(output.transpose(1, 2).contiguous(), 1)


def test_the_largest_value_is_that_of_all_samples(way):
    output = -torch.ones(9, 4, 2)
    output[3, 1, 1] = 5.0
    sums = unit_sums(output, 1, stride=8)
    assert sums[UNIT_SUMS.index("largest")].tolist() == [-1, 5, -1, -1]
    assert sums[UNIT_SUMS.index("fired")].tolist() == [0, 0, 0, 0]


SPOILED = (
    "images",
    "channels last",
    "tokens",
    "tokens from channels",
    "every other feature",
    "half",
    "double",
    "complex",
)


@pytest.mark.parametrize("spoiled", [NAN, -INF])
@pytest.mark.parametrize("name", SPOILED)
def test_a_value_that_is_not_finite_is_noted_where_nothing_counts(way, name, spoiled):
    output, axis = OUTPUTS[name]
    output = output.clone()
    output[2].select(axis - 1 if axis == 1 else -1, 1).fill_(spoiled)
    sums = unit_sums(output, axis, stride=4)
    row = sums[UNIT_SUMS.index("nonfinite")]
    assert not row.any()
    before = sums.clone()
    note_nonfinite(sums, output, axis)
    assert row.tolist() == [NOTED * (unit == 1) for unit in range(len(row))]
    row.zero_()
    assert sums.equal(before)


def test_moments_and_shares_stand_on_what_counts_alone():
    output = torch.full((8, 2), 6.0)
    output[1] = NAN
    sums = unit_sums(output, -1, (-INF, 5.0), stride=2)
    note_nonfinite(sums, output, -1)
    activity = Activity(sums.numpy(), 8, 4, 4, None)
    columns = dict(zip([column.id for column in UNIT_COLUMNS], by_hand.unit_rows(activity).T, strict=True))
    assert columns["mean"].tolist() == [6, 6]
    assert columns["saturated"].tolist() == [1, 1]
    row = dict(zip([column.id for column in ACTIVATION_COLUMNS], by_hand.activation_row(activity), strict=True))
    assert (row["act_nonfinite"], row["act_sum"]) == (1, 48)


@pytest.mark.parametrize("largest", [3e38, -3e38])
def test_large_values_are_finite_though_their_sum_overflows(way, largest):
    output = torch.full((32, 3), largest)
    sums = unit_sums(output, -1, stride=8)
    note_nonfinite(sums, output, -1)
    assert not sums[UNIT_SUMS.index("nonfinite")].any()


def test_of_units_in_a_bundle_one_value_is_noted(way):
    output = torch.zeros(8, 5)
    output[1, 2] = NAN
    sums = unit_sums(output[::8].reshape(-1, 1), -1)
    note_nonfinite(sums, output, -1, bundled=True)
    assert sums[UNIT_SUMS.index("nonfinite")].tolist() == [NOTED]


@pytest.mark.parametrize("flat", [(-INF, INF), (0.01, 0.99), (-INF, 6.0), (0.0, INF)])
def test_limits_are_rounded_as_values_are(way, flat):
    edges = torch.tensor([0.0, 0.01, 0.99, 6.0, 1.0])
    output = torch.stack([edges, edges.nextafter(torch.tensor(INF)), edges.nextafter(torch.tensor(-INF))])
    assert_sums(output, -1, flat)
    assert_sums(output.double(), -1, flat)


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 255, 256, 257, 513])
def test_sizes_around_those_of_the_processor(way, size):
    assert_sums(torch.randn(3, size), -1)
    assert_sums(torch.randn(size, 3), -1)
    assert_sums(torch.randn(2, 3, size), 1)
    assert_sums(torch.randn(9, 2, size), -1)


def test_spread_far_from_zero_is_not_lost(way):
    """A float32 sum of squares would lose it."""
    output = torch.randn(4096, 3) * 0.01 + 100.0
    total, squares, *_ = unit_sums(output, -1).numpy()
    mean = total / len(output)
    assert np.sqrt(squares / len(output) - mean**2) == pytest.approx(output.double().numpy().std(0), rel=1e-4)


@pytest.mark.parametrize("name", OUTPUTS)
def test_squares_of_gradients(way, name):
    output, axis = OUTPUTS[name]
    for stride, start in LOOKS:
        wanted = by_hand.unit_sums(array(output), axis, FLAT, stride, start)[1]
        np.testing.assert_allclose(gradient_squares(output, axis, stride, start), wanted, rtol=1e-5, atol=1e-85)


def test_squares_of_a_gradient_that_is_not_finite_are_not(way):
    squares = gradient_squares(torch.tensor([[INF, NAN, 1.0], [1.0, 1.0, 1.0]]), -1)
    assert np.isfinite(squares.numpy()).tolist() == [False, False, True]


@pytest.mark.parametrize("name", OUTPUTS)
def test_counts_follow_from_the_shape(name):
    output, axis = OUTPUTS[name]
    for stride, start in LOOKS:
        counts = unit_counts(output, axis, stride, start)
        looked_at = torch.atleast_2d(output)[start::stride]
        units = looked_at.shape[axis]
        assert counts.units == units
        assert counts.counted == (len(looked_at) if axis == 1 else looked_at.shape[:-1].numel())
        assert counts.samples == (len(output) if axis == 1 else torch.atleast_2d(output).shape[:-1].numel())
        assert counts.values * units == looked_at.numel() or units == 0


def test_sums_of_parts_merge_to_those_of_the_whole(way):
    output = torch.randn(20, 6, 4)
    sums = unit_sums(output[:7], 1, FLAT)
    merge_units(sums, unit_sums(output[7:], 1, FLAT))
    assert torch.allclose(sums, unit_sums(output, 1, FLAT))


def test_a_tensor_of_a_class_of_its_own_and_of_inference(way):
    class Named(torch.Tensor):
        pass

    output = torch.randn(20, 3, 6)
    with torch.inference_mode():
        inferred = output * 1
    for other in (output.as_subclass(Named), torch.nn.Parameter(output), inferred):
        assert type(unit_sums(other, -1)) is torch.Tensor
        assert torch.equal(unit_sums(other, -1), unit_sums(output, -1))


def odd_tensors():
    from torch._subclasses import FakeTensorMode

    yield FakeTensorMode().from_tensor(torch.randn(3, 4))
    yield torch.randn(3, 4).to_sparse()
    yield torch.quantize_per_tensor(torch.randn(3, 4), 0.1, 0, torch.qint8)
    yield torch.nested.nested_tensor([torch.randn(2, 4), torch.randn(3, 4)], layout=torch.jagged)


@pytest.mark.filterwarnings("ignore")  # Of torch, about those that are experimental.
def test_what_is_no_ordinary_tensor_is_refused_in_words(way):
    for tensor in odd_tensors():
        with pytest.raises(TypeError, match="expected"):
            unit_sums(tensor, -1)

    def within(row):
        with pytest.raises(TypeError, match="expected an ordinary tensor"):
            unit_sums(row, -1)
        return row

    torch.vmap(within)(torch.randn(3, 4, 5))


@pytest.mark.parametrize(("shape", "axis"), [((3,), 1), ((), -1), ((3, 4), 0), ((3, 4, 5), 2)])
def test_an_axis_that_is_not_there_is_refused_in_words(way, shape, axis):
    with pytest.raises(ValueError, match="expected units along axis 1 or -1"):
        unit_sums(torch.randn(shape), axis)


@pytest.mark.parametrize("name", ["images", "channels last", "features", "tokens", "a part of the channels"])
def test_the_compiled_reductions_read_the_usual_layouts_in_place(name):
    assert readable(*OUTPUTS[name]) is not None


def test_several_threads_at_once(way):
    output = torch.randn(64, 32, 8, 8)
    wrong: list[int] = []
    wanted = unit_sums(output, 1, FLAT, 8)

    def reduce():
        wrong.extend(n for n in range(50) if not torch.equal(unit_sums(output, 1, FLAT, 8), wanted))

    threads = [threading.Thread(target=reduce) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize(("shape", "axis"), [((16, 8, 4, 4), 1), ((16, 8), -1), ((4, 6, 8), -1), ((0, 8), -1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_on_an_accelerator_nothing_waits_and_few_operations_are_launched(shape, axis, dtype):
    """A tensor without values can't be waited for: torch raises."""
    launched = []

    class Counting(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            name = function.overloadpacket.__name__
            if name not in ("detach", "slice", "select", "alias", "unbind", "as_strided"):  # Views launch nothing.
                launched.append(name)
            return function(*args, **(kwargs or {}))

    output = torch.empty(shape, dtype=dtype, device="meta")
    with Counting():
        sums = unit_sums(output, axis, FLAT, 8, 1)
    assert sums.shape == (len(UNIT_SUMS), 8)
    assert sums.dtype == torch.float64
    assert sums.device == output.device
    assert len(launched) <= 32, launched
    assert gradient_squares(output, axis, 8, 1).shape == (8,)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", [name for name, (output, _) in OUTPUTS.items() if not output.requires_grad])
def test_on_a_gpu(name):
    output, axis = OUTPUTS[name]
    there = output.cuda()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        sums, squares = unit_sums(there, axis, FLAT, 3, 1), gradient_squares(there, axis, 3, 1)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    wanted = by_hand.unit_sums(array(output), axis, FLAT, 3, 1)
    np.testing.assert_allclose(sums[1:].cpu(), wanted[1:], rtol=1e-5, atol=1e-85)
    np.testing.assert_allclose(squares.cpu(), wanted[1], rtol=1e-5, atol=1e-85)
