"""The three ways to reduce a tensor agree with NumPy in float64, and none of them waits for a device."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tb_netviz.pytorch.measurement import Measurement, columns_of
from tb_netviz.pytorch.reductions import device, host
from tb_netviz.statistics import native, parameter_row
from tb_netviz.statistics.partials import GRADIENT_SUMS, PAIR_SUMS, SUMS, columns_from
from tb_netviz_plugin.schema.columns import PARAMETER_COLUMNS

COLUMNS = tuple(column.id for column in PARAMETER_COLUMNS)


def shapes():
    """Sizes around the blocks of both implementations, and what is rarely met."""
    torch.manual_seed(0)
    wide = torch.randn(3, 131_072 + 5)
    return {
        "scalar": torch.tensor(0.5),
        "one": torch.randn(1),
        "small": torch.randn(7, 3),
        "a block": torch.randn(4096),
        "more than a block": torch.randn(4097),
        "many blocks": wide,
        "empty": torch.randn(0, 4),
        "zeros": torch.zeros(5, 5),
        "half zeros": torch.randn(300).relu(),
        "negative zeros": -torch.zeros(9),
        "transposed": torch.randn(5, 8).t(),
        "channels last": torch.randn(4, 3, 6, 6).to(memory_format=torch.channels_last),
        "strided": torch.randn(10, 10)[::2, ::3],
        "negated": torch.randn(6, dtype=torch.complex64).conj().imag,
        "double": torch.randn(50, dtype=torch.float64),
        "half": torch.randn(50).half(),
        "bfloat16": torch.randn(50).bfloat16(),
        "complex": torch.randn(20, dtype=torch.complex64),
        "tiny": torch.randn(40) * 1e-30,
        "subnormal": torch.randn(40) * 1e-40,
        "huge": torch.randn(40) * 1e30,
    }


SHAPES = shapes()


@pytest.fixture(params=["compiled", "torch only"])
def way(request, monkeypatch):
    """Reduce with the compiled kernels, and as where there was no compiler."""
    if request.param == "torch only":
        monkeypatch.setattr(native, "_native", None)
    else:
        assert native.available(), "the compiled kernels are missing: is there no C compiler?"
    return request.param


def by_hand(tensor, last, before):
    arrays = [
        each.resolve_neg().float() if each.dtype in (torch.half, torch.bfloat16) else each.resolve_neg()
        for each in (tensor, last, tensor, before)
    ]
    gradient, last_gradient, weight, weight_before = (array.numpy() for array in arrays)
    return parameter_row(gradient, last_gradient=last_gradient, weight=weight, weight_before=weight_before)


def reduced(tensor, last, before):
    sums = np.zeros((1, len(SUMS)))
    sums[:, : len(GRADIENT_SUMS) + len(PAIR_SUMS)], largest = host.gradient_sums([tensor], [last])
    sums[:, len(GRADIENT_SUMS) + len(PAIR_SUMS) :] = host.weight_sums([tensor], [before.clone()])
    return columns_from(sums, largest, COLUMNS)[0]


def reduced_as_on_a_device(tensor, last, before):
    sums, largest = device.gradient_sums([tensor], [last])
    weights = device.weight_sums([tensor], [before])
    return columns_from(torch.cat([sums, weights], dim=1).numpy(), largest.numpy(), COLUMNS)[0]


def assert_alike(found, expected):
    with np.errstate(over="ignore"):
        found, expected = (np.float32(values).astype(float) for values in (found, expected))
    for column, value, wanted in zip(COLUMNS, found, expected, strict=True):
        if math.isnan(wanted) or column == "grad_sum":
            continue
        assert value == pytest.approx(wanted, rel=2e-5, abs=1e-44), column
    place = COLUMNS.index("grad_sum")
    if not math.isnan(found[place]) and not math.isnan(expected[place]):
        magnitude = expected[COLUMNS.index("grad_abs_sum")]
        assert found[place] == pytest.approx(expected[place], abs=1e-6 * magnitude + 1e-44)


@pytest.mark.parametrize("name", SHAPES)
def test_reductions_on_the_host(way, name):
    tensor = SHAPES[name]
    last, before = (tensor * 0.5 + tensor.flip(0) if tensor.dim() else tensor * 0.5), tensor * 0.75
    assert_alike(reduced(tensor, last, before), by_hand(tensor, last, before))


@pytest.mark.parametrize("name", [name for name in SHAPES if name not in ("huge", "empty")])
def test_reductions_as_on_a_device(name):
    tensor = SHAPES[name]
    last, before = (tensor * 0.5 + tensor.flip(0) if tensor.dim() else tensor * 0.5), tensor * 0.75
    expected = by_hand(tensor, last, before)
    if name in ("tiny", "subnormal"):  # Products of pairs are float32 there.
        expected[COLUMNS.index("grad_dot_last")] = math.nan
    assert_alike(reduced_as_on_a_device(tensor, last, before), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_non_finite_elements_are_counted_exactly(way, dtype):
    tensor = torch.randn(5000).to(dtype)
    tensor[[1, 4096, 4999]] = torch.tensor([math.nan, math.inf, -math.inf], dtype=dtype)
    sums, largest = host.gradient_sums([tensor], [None])
    there, largest_there = device.gradient_sums([tensor], [None])
    nonfinite = GRADIENT_SUMS.index("nonfinite")
    assert sums[0, nonfinite] == there[0, nonfinite] == 3
    assert largest[0] == largest_there[0] == 0
    row = dict(zip(COLUMNS, columns_from(np.pad(sums, ((0, 0), (0, 4))), largest, COLUMNS)[0], strict=True))
    assert row["grad_nonfinite"] == 3
    assert math.isnan(row["grad_norm"])


def test_a_last_gradient_that_was_not_finite_tells_no_angle(way):
    tensor, last = torch.ones(10), torch.ones(10)
    last[3] = math.nan
    sums, largest = host.gradient_sums([tensor], [last])
    row = dict(zip(COLUMNS, columns_from(np.pad(sums, ((0, 0), (0, 4))), largest, COLUMNS)[0], strict=True))
    assert math.isnan(row["grad_dot_last"])
    assert math.isnan(row["grad_norm_last"])
    assert row["grad_norm"] == pytest.approx(math.sqrt(10))


@pytest.mark.parametrize("name", [name for name, tensor in SHAPES.items() if not tensor.is_complex()])
def test_bins(way, name):
    from tb_netviz.statistics import count_bins

    tensor = SHAPES[name].resolve_neg()
    wanted = count_bins(tensor.double().numpy())
    assert np.array_equal(host.gradient_bins([SHAPES[name]])[0], wanted) or not tensor.is_contiguous()
    assert host.gradient_bins([SHAPES[name]])[0].sum() == wanted.sum()


def test_bins_reach_from_zero_to_infinity(way):
    powers = torch.tensor([2.0]).pow(torch.arange(-126, 128))
    values = torch.cat([powers, -powers, torch.tensor([0.0, math.inf, math.nan, 1e-45])])
    from tb_netviz.statistics import count_bins

    assert np.array_equal(host.gradient_bins([values])[0], count_bins(values.numpy()))


@pytest.mark.parametrize("size", [0, 1, 7, 20_000, 65_536 + 3])
def test_copies(way, size):
    tensors = [*shapes().values(), torch.randn(size), torch.randn(size + 1)[1:]]  # The last one is not aligned.
    copies = host.copies([tensor.requires_grad_(tensor.is_floating_point()) for tensor in tensors])
    for tensor, copied in zip(tensors, copies, strict=True):
        assert torch.equal(tensor, copied)
        assert not copied.requires_grad
        assert not tensor.numel() or tensor.data_ptr() != copied.data_ptr()


class _NoWaiting(TorchDispatchMode):
    """Fails where an operation would wait for a device: its result on the host decides what comes next."""

    waits = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select", "_unique2", "item")

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        assert function.overloadpacket.__name__ not in self.waits, f"{function} waits for the device"
        return function(*args, **(kwargs or {}))


def test_reductions_on_a_device_wait_for_nothing():
    tensors = [torch.randn(20, 3), torch.randn(7).bfloat16(), torch.randn(3, dtype=torch.float64)]
    with _NoWaiting():
        device.gradient_sums(tensors, [None, tensors[1], tensors[2]])
        device.weight_sums(tensors, [tensor.clone() for tensor in tensors])
    with pytest.raises(AssertionError, match="waits for the device"), _NoWaiting():
        tensors[0].sum().item()


def test_the_number_of_launches_on_a_device():
    """Operations for 50 tensors; the multi-tensor ones are one operation each. An adapter that loses them fails."""
    tensors = [torch.randn(8, 8) for _ in range(50)]
    count = 0

    class Counting(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal count
            # Views launch nothing.
            count += function.overloadpacket.__name__ not in ("detach", "view", "select", "slice", "alias", "t")
            return function(*args, **(kwargs or {}))

    with Counting():
        device.gradient_sums(tensors, [None] * 50)
    assert count <= 4 * 50 + 40


def test_rows_of_two_devices_add_up():
    measurement = Measurement(2, columns_of(gradients=True, updates=True), with_bins=False)
    gradients = [torch.randn(4), torch.randn(4)]
    measurement.take_gradients([0], gradients[:1], {})
    (first,) = measurement.parts.values()
    measurement.parts = {}
    measurement.take_gradients([1], gradients[1:], {})
    measurement.parts[torch.device("meta")] = first
    norms = measurement.column("grad_norm")
    assert norms == pytest.approx([gradient.double().norm().item() for gradient in gradients])


def run_alone(script):
    """Run what may crash in an interpreter of its own, and return what it prints."""
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()


def test_zeros_without_memory_are_read_as_zeros():
    found = run_alone("""
import torch
from tb_netviz.pytorch.reductions import host
sums, largest = host.gradient_sums([torch._efficientzerotensor(6)], [None])
print(sums[0, 5], largest[0])
""")
    assert found == "6.0 0.0"


@pytest.mark.parametrize(
    "tensors",
    ["[freed], None", "[torch.zeros(4_000_000, 4)], [torch.zeros(2, 4)]"],
    ids=["whose memory was given back", "that has grown"],
)
def test_a_parameter_that_can_not_be_read_raises_and_does_not_crash(tensors):
    found = run_alone(f"""
import torch
from tb_netviz.pytorch.reductions import host
freed = torch.zeros(1000)
freed.untyped_storage().resize_(0)
try:
    host.weight_sums({tensors})
except RuntimeError:
    print("refused")
""")
    assert found == "refused"


def test_numbers_are_sent_from_the_host_whatever_the_default_device():
    like = torch.zeros(2)
    with torch.device("meta"):
        assert device.sent([3, 4], like).tolist() == [3.0, 4.0]
