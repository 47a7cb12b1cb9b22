"""Reductions with torch's own operations: tensors of any layout, type and device.

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

from tb_netviz.pytorch.reductions.tensors import dense_elements, real_elements
from tb_netviz.statistics.partials import Array

_BLOCK = 1 << 17  # Elements: half a megabyte of float32, so that a block and its magnitudes fit into a core's cache.

_TINY = 1e-13
"""Gradients whose elements are all below are enlarged before they are summed."""


def gradient_sums(gradients: Sequence[Tensor]) -> tuple[Array, Array]:
    """Reduce gradients.

    Returns:
        float64 [len(gradients), 5]: squares, magnitudes, total, zeros, non-finite elements, where these five are NaN
        but for the last where there are such elements, and the total of complex ones; and the largest magnitudes,
        float64 [len(gradients)].
    """
    dense = [dense_elements(gradient) for gradient in gradients]
    scratch = _Scratch()
    values, starts = _on_blocks(dense, lambda block: _gradient_scalars(block, scratch))
    peaks = values[:, 1]
    unsure = np.logical_or.reduceat((peaks != 0) & ~(_hold(values[:, 3], _BLOCK) & np.isfinite(values[:, 4])), starts)
    largest = np.maximum.reduceat(peaks, starts)
    values[:, 3:] *= np.exp2(-values[:, :1] * _POWERS)
    total, squares, magnitudes, nonzero = np.add.reduceat(values[:, 2:], starts).T
    total = np.where([gradient.is_complex() for gradient in gradients], np.nan, total)
    zeros = np.array([gradient.numel() for gradient in gradients]) - nonzero
    sums = np.stack([squares, magnitudes, total, zeros, np.zeros(len(dense))], axis=1)
    for place in np.flatnonzero(unsure):
        largest[place] = _correct(sums[place], dense[place])
    return sums, largest


def _correct(sums: Array, vector: Tensor) -> float:
    """Mend the sums of a gradient that left the range of float32 or is not finite; return the largest magnitude."""
    nonfinite = vector.numel() - int(torch.isfinite(vector).sum())
    if nonfinite:
        sums[:-1], sums[-1] = np.nan, nonfinite
        return 0.0
    largest = float(vector.abs().max())
    sums[0] = _scaled_norm(vector, largest) ** 2
    if not np.isfinite(sums[1]):
        wide = vector.to("cpu", torch.float64)
        sums[1], sums[2] = float(wide.abs().sum()), float(wide.sum())
    return largest


def norm_squares(tensors: Sequence[Tensor]) -> Array:
    """Return the sum of squares of each tensor, float64 [len(tensors)]."""
    if not tensors:
        return np.zeros(0)
    dense = [dense_elements(tensor) for tensor in tensors]
    values, starts = _on_blocks(dense, lambda block: (torch.dot(block, block),))
    squares: Array = np.add.reduceat(values[:, 0], starts)
    for place in np.flatnonzero(~_hold(squares, np.array([vector.numel() for vector in dense]))):
        largest = float(dense[place].abs().max())
        squares[place] = _scaled_norm(dense[place], largest) ** 2 if 0.0 < largest < np.inf else largest
    return squares


def distance_squares(tensors: Sequence[Tensor], before: Sequence[Tensor]) -> Array:
    """Return the sum of squares of each `tensor - before`, float64 [len(tensors)].

    The pairs have equal shapes and types; `before` may be overwritten with the differences.
    """
    pairs = zip(tensors, before, strict=True)
    # A difference of short floats may need more digits than they have.
    return norm_squares([old.sub_(new) if old.element_size() >= 4 else new.float() - old.float() for new, old in pairs])


def products(tensors: Sequence[Tensor], others: Sequence[Tensor], magnitudes: Array) -> Array:
    """Return the inner product of each pair, float64 [len(tensors)]; of complex ones the real part.

    Args:
        tensors: Dense tensors.
        others: Tensors of the same shapes.
        magnitudes: Product of the norms of each pair: where float32 would lose it, the sum is done in float64.
    """
    results = np.empty(len(tensors))
    for place, (tensor, other) in enumerate(zip(tensors, others, strict=True)):
        left, right = real_elements(tensor), real_elements(other)
        if not _hold(magnitudes[place], left.numel()):
            left, right = left.to("cpu", torch.float64), right.to("cpu", torch.float64)
        blocks = zip(_blocks(left), _blocks(right), strict=True)
        results[place] = sum(float(torch.dot(_wide(one), _wide(two))) for one, two in blocks)
    return results


def _blocks(vector: Tensor) -> tuple[Tensor, ...]:
    if vector.numel() <= _BLOCK:
        return (vector,)
    return vector.tensor_split(math.ceil(vector.numel() / _BLOCK))  # A third of the overhead of torch.split.


def _hold(totals: Any, elements: Any) -> Any:
    """Whether float32 sums of products are right: a product that leaves the range of float32 loses less than 1e-38."""
    return (totals > 1e-32 * elements) & (totals < 1e38)


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
    exponent = _exponent(largest.item())
    if exponent:
        magnitudes.mul_(2.0**exponent)
    squares, total = torch.dot(magnitudes, magnitudes), magnitudes.sum()
    return exponent, largest, block.sum(), squares, total, magnitudes.sign_().sum()


# How the last three of them grow with the elements.
_POWERS = np.array([2.0, 1.0, 0.0])


def _exponent(peak: float) -> float:
    """Return the power of two that enlarges tiny elements: subnormal sums are inexact and fifty times slower."""
    return min(-math.frexp(peak)[1], 126) if 0.0 < peak < _TINY else 0.0


def _on_blocks(
    vectors: Sequence[Tensor], kernel: Callable[[Tensor], tuple[Tensor | float, ...]]
) -> tuple[Array, npt.NDArray[np.intp]]:
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
    return np.array([float(scalar) for scalar in scalars]).reshape(count, -1), np.array(starts)


def _scaled_norm(vector: Tensor, largest: float) -> float:
    """Return the norm of a vector whose squares leave the range of float32, by way of a power of two."""
    exponent = int(np.clip(-np.frexp(largest)[1], -126, 126))
    scaled = vector.to(torch.promote_types(vector.dtype, torch.float32)) * 2.0**exponent
    return float(torch.linalg.vector_norm(scaled)) * 2.0**-exponent
