"""What a gradient or a weight comes down to: a few numbers, in as few passes over memory as possible.

Tensors are reduced in blocks that stay in the cache. The operations were chosen by measurement: magnitudes that are
written once and summed cost half of a vector_norm(1), the sum of their signs a third of a count_nonzero; var_mean,
isfinite and histc cost ten to a hundred times a sum. Partial sums are float32 at least and are added on the host in
float64, after one transfer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

GRADIENT_COLUMNS = ("present", "grad_norm", "grad_abs_sum", "grad_abs_max", "grad_sum", "grad_zeros", "grad_nonfinite")

_BLOCK = 1 << 17  # Elements: half a megabyte of float32, so that a block and its magnitudes fit into a core's cache.
_DEVICE_BLOCK = 1 << 24  # float32 counts exactly up to here.

_TINY = 1e-13
"""Gradients whose elements are all below are enlarged before they are summed."""

_Array = npt.NDArray[np.float64]


def gradient_columns(gradients: Sequence[Tensor | None]) -> _Array:
    """Reduce gradients.

    Args:
        gradients: Of any shape, device and type; None where there is none.

    Returns:
        float64 [len(gradients), len(GRADIENT_COLUMNS)]. A missing gradient is 0 in `present` and NaN elsewhere; of one
        with non-finite elements these are counted, and the other columns are NaN. The sum of complex elements is NaN.
    """
    rows = np.full((len(gradients), len(GRADIENT_COLUMNS)), np.nan)
    rows[:, 0] = 0.0
    held = [(row, gradient) for row, gradient in enumerate(gradients) if gradient is not None]
    if not held:
        return rows
    dense = [dense_elements(gradient) for _, gradient in held]
    scratch = _Scratch()
    values, starts = _on_blocks(dense, lambda block: _gradient_scalars(block, scratch))
    peaks = values[:, 1]
    unsure = np.logical_or.reduceat((peaks != 0) & ~(_hold(values[:, 3], _BLOCK) & np.isfinite(values[:, 4])), starts)
    largest = np.maximum.reduceat(peaks, starts)
    values[:, 3:] *= np.exp2(-values[:, :1] * _POWERS)
    total, squares, magnitudes, nonzero = np.add.reduceat(values[:, 2:], starts).T
    elements = np.array([gradient.numel() for _, gradient in held])
    measured = np.stack(
        [
            np.ones(len(held)),
            np.sqrt(squares),
            magnitudes,
            largest,
            np.where([gradient.is_complex() for _, gradient in held], np.nan, total),
            elements - nonzero,
            np.zeros(len(held)),
        ],
        axis=1,
    )
    for place in np.flatnonzero(unsure):
        _correct(measured[place], dense[place])
    rows[[row for row, _ in held]] = measured
    return rows


def _correct(columns: _Array, vector: Tensor) -> None:
    """Mend the columns of a gradient whose sums left the range of float32, or which is not finite."""
    nonfinite = vector.numel() - int(torch.isfinite(vector).sum())
    if nonfinite:
        columns[1:-1], columns[-1] = np.nan, nonfinite
        return
    largest = float(vector.abs().max())
    columns[1] = _scaled_norm(vector, largest)
    columns[3] = largest
    if not np.isfinite(columns[2]):
        wide = vector.to("cpu", torch.float64)
        columns[2], columns[4] = float(wide.abs().sum()), float(wide.sum())


def norms(tensors: Sequence[Tensor]) -> _Array:
    """Return the Euclidean norm of each tensor, float64 [len(tensors)]."""
    if not tensors:
        return np.zeros(0)
    dense = [dense_elements(tensor) for tensor in tensors]
    values, starts = _on_blocks(dense, lambda block: (torch.dot(block, block),))
    squares = np.add.reduceat(values[:, 0], starts)
    result = np.sqrt(squares)
    for place in np.flatnonzero(~_hold(squares, np.array([vector.numel() for vector in dense]))):
        largest = float(dense[place].abs().max())
        result[place] = _scaled_norm(dense[place], largest) if 0.0 < largest < np.inf else largest
    return result


def distances(tensors: Sequence[Tensor], before: Sequence[Tensor]) -> _Array:
    """Return the Euclidean norm of each `tensor - before`, float64 [len(tensors)].

    The pairs have equal shapes and types; `before` may be overwritten with the differences.
    """
    pairs = zip(tensors, before, strict=True)
    # A difference of short floats may need more digits than they have.
    return norms([old.sub_(new) if old.element_size() >= 4 else new.float() - old.float() for new, old in pairs])


def products(tensors: Sequence[Tensor], others: Sequence[Tensor], magnitudes: _Array) -> _Array:
    """Return the inner product of each pair, float64 [len(tensors)]; of complex ones the real part.

    Args:
        tensors: Dense tensors.
        others: Tensors of the same shapes.
        magnitudes: Product of the norms of each pair: where float32 would lose it, the sum is done in float64.
    """
    scalars: list[Tensor] = []
    starts = []
    for tensor, other, magnitude in zip(tensors, others, magnitudes, strict=True):
        starts.append(len(scalars))
        left, right = _real_elements(tensor), _real_elements(other)
        if not _hold(magnitude, left.numel()):
            left, right = left.to("cpu", torch.float64), right.to("cpu", torch.float64)
        blocks = zip(_blocks(left), _blocks(right), strict=True)
        scalars += [torch.dot(_wide(one), _wide(two)) for one, two in blocks]
    values = _read(scalars, {scalar.device for scalar in scalars})
    ends = [*starts[1:], len(scalars)]
    return np.array([values[start:end].sum() for start, end in zip(starts, ends, strict=True)])


def dense_elements(tensor: Tensor) -> Tensor:
    """Return the elements of `tensor` as a real vector, without a copy where its memory allows.

    Of a sparse tensor those that are stored, of complex elements the magnitudes; of an empty tensor a zero.
    """
    tensor = tensor.detach()
    plain = tensor.layout is torch.strided and tensor.dtype is torch.float32
    if plain and tensor.is_contiguous() and tensor.numel():
        return tensor.view(-1)  # Nearly all are such; the overhead of looking further shows in small networks.
    if tensor.layout is not torch.strided:
        tensor = tensor.coalesce().values() if tensor.layout is torch.sparse_coo else tensor.to_dense()
    if tensor.is_complex():
        tensor = tensor.abs()
    if tensor.element_size() == 1:
        tensor = tensor.float()  # Eight-bit floats have no arithmetic of their own.
    return _flat(tensor)


def _real_elements(tensor: Tensor) -> Tensor:
    tensor = tensor.detach()
    tensor = tensor if tensor.layout is torch.strided else tensor.to_dense()
    return (torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor).reshape(-1)


def _flat(tensor: Tensor) -> Tensor:
    # Order is of no matter to a reduction, so that memory formats such as channels_last need no copy.
    if not tensor.is_contiguous() and torch.ops.aten.is_non_overlapping_and_dense(tensor):
        return tensor.as_strided((tensor.numel(),), (1,))
    return tensor.reshape(-1) if tensor.numel() else tensor.new_zeros(1)


def _blocks(vector: Tensor) -> tuple[Tensor, ...]:
    size = _BLOCK if vector.device.type == "cpu" else _DEVICE_BLOCK
    if vector.numel() <= size:
        return (vector,)
    return vector.tensor_split(math.ceil(vector.numel() / size))  # A third of the overhead of torch.split.


def _hold(totals: Any, elements: Any) -> Any:
    """Whether float32 sums of products are right: a product that leaves the range of float32 loses less than 1e-38."""
    return (totals > 1e-32 * elements) & (totals < np.inf)


def _wide(block: Tensor) -> Tensor:
    return block if block.dtype in (torch.float32, torch.float64) else block.float()


class _Scratch:
    """Memory that blocks share, since new memory for each costs more than the arithmetic."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def like(self, block: Tensor) -> Tensor:
        """Return memory for as many elements as `block` has."""
        key = (block.device, block.dtype)
        buffer = self._buffers.get(key)
        if buffer is None or buffer.numel() < block.numel():
            buffer = self._buffers[key] = torch.empty_like(block)
        return buffer[: block.numel()]


def _gradient_scalars(block: Tensor, scratch: _Scratch) -> tuple[Tensor | float, ...]:
    """Return (exponent, largest, sum, squares, magnitudes, non-zeros), the last three of `block * 2**exponent`."""
    magnitudes = torch.abs(block, out=scratch.like(block))
    # Floats that are not negative are in the order of their bits, and integers are compared twice as fast. NaN is last.
    bits = torch.int32 if block.dtype == torch.float32 else torch.int64
    largest = magnitudes.view(bits).amax().view(block.dtype)
    exponent = _exponent(largest)
    if exponent:
        magnitudes.mul_(2.0**exponent)
    squares, total = torch.dot(magnitudes, magnitudes), magnitudes.sum()
    return exponent, largest, block.sum(), squares, total, magnitudes.sign_().sum()


# How the last three of them grow with the elements.
_POWERS = np.array([2.0, 1.0, 0.0])


def _exponent(largest: Tensor) -> float:
    """Return the power of two that enlarges tiny elements: a CPU's subnormal sums are inexact and fifty times slower.

    On another device looking would mean waiting; there sums are mended afterwards.
    """
    if largest.device.type != "cpu":
        return 0.0
    peak = largest.item()
    return min(-math.frexp(peak)[1], 126) if 0.0 < peak < _TINY else 0.0


def _on_blocks(
    vectors: Sequence[Tensor], kernel: Callable[[Tensor], tuple[Tensor | float, ...]]
) -> tuple[_Array, npt.NDArray[np.intp]]:
    """Apply `kernel` to the blocks of all vectors.

    Returns:
        Its scalars, float64 [blocks, scalars], and the first block of each vector, [len(vectors)].
    """
    scalars: list[Tensor | float] = []
    starts = []
    count = 0
    for vector in vectors:
        starts.append(count)
        for block in _blocks(vector):
            scalars.extend(kernel(_wide(block)))
            count += 1
    return _read(scalars, {vector.device for vector in vectors}).reshape(count, -1), np.array(starts)


def _scaled_norm(vector: Tensor, largest: float) -> float:
    """Return the norm of a vector whose squares leave the range of float32, by way of a power of two."""
    exponent = int(np.clip(-np.frexp(largest)[1], -126, 126))
    scaled = vector.to(torch.promote_types(vector.dtype, torch.float32)) * 2.0**exponent
    return float(torch.linalg.vector_norm(scaled)) * 2.0**-exponent


def _read(scalars: Sequence[Tensor | float], devices: set[torch.device]) -> _Array:
    """Bring scalars that were computed on `devices` to the host, with one transfer a device."""
    if all(device.type == "cpu" for device in devices):
        return np.array([float(scalar) for scalar in scalars])  # Half the time of a stack.
    values = np.empty(len(scalars))
    for device in devices:
        places = [
            place for place, scalar in enumerate(scalars) if isinstance(scalar, Tensor) and scalar.device == device
        ]
        values[places] = torch.stack([torch.as_tensor(scalars[place]).float() for place in places]).cpu().numpy()
    for place, scalar in enumerate(scalars):
        if not isinstance(scalar, Tensor):
            values[place] = scalar
    return values
