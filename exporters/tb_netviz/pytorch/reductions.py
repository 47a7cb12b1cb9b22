"""What a gradient or a weight comes down to: a few numbers, in as few passes over memory as possible.

Tensors are reduced in blocks that stay in the cache. The operations were chosen by measurement: a dot product with the
signs is a third of a vector_norm(1), and counts non-zeros on the way; var_mean, isfinite and histc cost ten to a
hundred times a sum. Partial sums are float32 at least and are added on the host in float64, after one transfer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

GRADIENT_COLUMNS = ("present", "grad_norm", "grad_abs_sum", "grad_abs_max", "grad_sum", "grad_zeros", "grad_nonfinite")

_BLOCK = 1 << 17  # Elements: half a megabyte of float32, so that a block and its signs fit into a core's cache.
_DEVICE_BLOCK = 1 << 24  # float32 counts exactly up to here.

# Outside this range of magnitudes float32 squares lose elements that matter.
_SMALLEST, _LARGEST = 1e-12, 1e15

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
    held = [row for row, gradient in enumerate(gradients) if gradient is not None]
    dense = [dense_elements(gradient) for gradient in gradients if gradient is not None]
    sums = _block_sums(dense, _gradient_sums, width=5)
    for row, values, (squares, total, magnitudes, nonzero, largest) in zip(held, dense, sums, strict=True):
        gradient = gradients[row]
        assert gradient is not None
        columns: tuple[float, ...] = (np.sqrt(squares), magnitudes, largest, total)
        if not np.isfinite(squares + magnitudes):
            nonfinite = values.numel() - int(torch.isfinite(values).sum())
            if nonfinite:
                rows[row, 0], rows[row, -1] = 1.0, nonfinite
                continue
            columns = _wide_sums(values)
        elif 0.0 < largest < _SMALLEST or largest > _LARGEST:
            columns = (_scaled_norm(values, largest), magnitudes, largest, total)
        rows[row] = (1.0, *columns, gradient.numel() - nonzero, 0.0)
        if gradient.is_complex():
            rows[row, 4] = np.nan
    return rows


def norms(tensors: Sequence[Tensor]) -> _Array:
    """Return the Euclidean norm of each tensor, float64 [len(tensors)]."""
    dense = [dense_elements(tensor) for tensor in tensors]
    return _norms(dense, np.sqrt(_block_sums(dense, lambda block: (torch.dot(block, block),), width=1)[:, 0]))


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
        if not _SMALLEST**2 < magnitude < _LARGEST**2:
            left, right = left.to("cpu", torch.float64), right.to("cpu", torch.float64)
        blocks = zip(_blocks(left), _blocks(right), strict=True)
        scalars += [torch.dot(_wide(one), _wide(two)) for one, two in blocks]
    values = _read(scalars)
    ends = [*starts[1:], len(scalars)]
    return np.array([values[start:end].sum() for start, end in zip(starts, ends, strict=True)])


def dense_elements(tensor: Tensor) -> Tensor:
    """Return the elements of `tensor` as a real vector, without a copy where its memory allows.

    Of a sparse tensor those that are stored, of complex elements the magnitudes.
    """
    tensor = tensor.detach()
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
    return tensor.reshape(-1)


def _blocks(vector: Tensor) -> tuple[Tensor, ...]:
    return torch.split(vector, _BLOCK if vector.device.type == "cpu" else _DEVICE_BLOCK)


def _wide(block: Tensor) -> Tensor:
    return block if block.dtype in (torch.float32, torch.float64) else block.float()


def _gradient_sums(block: Tensor) -> tuple[Tensor, ...]:
    signs = torch.sign(block)
    return (
        torch.dot(block, block),
        block.sum(),
        torch.dot(block, signs),
        torch.dot(signs, signs),
        block.amax(),
        block.amin(),
    )


def _block_sums(vectors: Sequence[Tensor], kernel: Callable[[Tensor], tuple[Tensor, ...]], width: int) -> _Array:
    """Apply `kernel` to all blocks, and add up each vector's scalars; amax and amin become the largest magnitude."""
    scalars: list[Tensor] = []
    counts = []
    for vector in vectors:
        blocks = _blocks(vector) if vector.numel() else ()
        counts.append(len(blocks))
        for block in blocks:
            scalars.extend(kernel(_wide(block)))
    values = _read(scalars).reshape(sum(counts), -1)
    result = np.zeros((len(vectors), width))
    first = 0
    for row, count in enumerate(counts):
        part = values[first : first + count]
        first += count
        if count:
            result[row] = part[:, :width].sum(axis=0)
            if width > 4:
                result[row, 4] = max(part[:, 4].max(), -part[:, 5].min())
    return result


def _norms(vectors: Sequence[Tensor], plain: _Array) -> _Array:
    for row, vector in enumerate(vectors):
        if not _SMALLEST < plain[row] < _LARGEST and vector.numel():
            largest = float(vector.abs().max())
            plain[row] = _scaled_norm(vector, largest) if 0.0 < largest < np.inf else largest
    return plain


def _scaled_norm(vector: Tensor, largest: float) -> float:
    """Return the norm of a vector whose squares leave the range of float32, by way of a power of two."""
    exponent = int(np.clip(-np.frexp(largest)[1], -126, 126))
    scaled = vector.to(torch.promote_types(vector.dtype, torch.float32)) * 2.0**exponent
    return float(torch.linalg.vector_norm(scaled)) * 2.0**-exponent


def _wide_sums(vector: Tensor) -> tuple[float, ...]:
    """Return (norm, sum of magnitudes, largest magnitude, sum) of finite elements whose sums overflow float32."""
    largest = float(vector.abs().max())
    scaled = vector.to("cpu", torch.float64)
    return (
        float(torch.linalg.vector_norm(scaled / largest)) * largest,
        float(scaled.abs().sum()),
        largest,
        float(scaled.sum()),
    )


def _read(scalars: Sequence[Tensor]) -> _Array:
    """Bring scalars to the host, with one transfer a device."""
    if all(scalar.device.type == "cpu" for scalar in scalars):
        return np.array([scalar.item() for scalar in scalars], dtype=np.float64)  # Half the time of a stack.
    values = np.empty(len(scalars))
    for device in {scalar.device for scalar in scalars}:
        places = [place for place, scalar in enumerate(scalars) if scalar.device == device]
        values[places] = torch.stack([scalars[place].float() for place in places]).cpu().numpy()
    return values
