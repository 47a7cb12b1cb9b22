"""Where the values of units lie in the host's memory, for the compiled reductions to read them there."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor

from tb_netviz.statistics import native

_PLAIN = (Tensor, torch.nn.Parameter)
_MOST_VALUES = 2**31
"""Values of a unit, whose numbers are counted in 32 bits."""


def readable(output: Tensor, axis: int) -> native.Grid | None:
    """Return how the values of the units along `axis`, 1 or -1, lie; None if the compiled reductions can't read them.

    They read float32 where the units, or the values of a unit in a sample, lie side by side, and the latter at one
    distance from each other.
    """
    return grid_of(output, axis) if is_plain(output) else None


def grid_of(output: Tensor, axis: int) -> native.Grid | None:
    """Return the same for what `is_plain` at every call; it follows from the shape and the strides."""
    if axis not in (1, -1) or output.dim() < 2:
        return None
    if axis == 1:
        (items, units, *inner), (item_step, unit_step, *steps) = output.shape, output.stride()
    else:
        (items, *inner, units), (item_step, *steps, unit_step) = output.shape, output.stride()
    rows, row_step = _collapsed(inner, steps) if inner else (1, 1)
    side_by_side = unit_step == 1 or (row_step == 1 and rows > 1)
    if row_step == 0 or not side_by_side or not 0 < items * rows < _MOST_VALUES:
        return None
    return native.Grid((items, rows, units), (item_step, row_step, unit_step))


def is_plain(output: Tensor) -> bool:
    """Whether the elements are float32 in the host's memory, as they are, where compiled reductions are."""
    return (
        output.dtype is torch.float32
        and type(output) in _PLAIN
        and output.layout is torch.strided
        and output.is_cpu
        and native.available()
        and not output.is_neg()
        and not is_functorch_wrapped_tensor(output)
        and output.data_ptr() != 0  # As where its memory was given back, or it is known to be zero.
    )


def _collapsed(shape: Sequence[int], steps: Sequence[int]) -> tuple[int, int]:
    """Return the length and the step of one axis that runs over all of these; a step of 0 where none does."""
    length, step = 1, 1
    for size, far in zip(reversed(shape), reversed(steps), strict=True):
        if size == 1:
            continue
        if length == 1:
            step = far
        elif far != length * step:
            return 0, 0
        length *= size
    return length, step
