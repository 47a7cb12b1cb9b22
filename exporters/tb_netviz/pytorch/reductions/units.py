"""What the output of a module comes down to: sums of each of its units, for one look at one step.

The units lie along one axis: channels along axis 1, features along the last. A *sample* is an index over axis 0 if the
units lie along axis 1, and over all axes but the last otherwise. Of complex outputs the magnitudes are reduced.

Nothing here waits for an accelerator. Results of tensors on the host are there at once.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor

from tb_netviz.pytorch.reductions.device import wide_type
from tb_netviz.pytorch.reductions.strides import readable
from tb_netviz.statistics import native
from tb_netviz.statistics.units import ADDED, NOTED, UNIT_SUMS

__all__ = [
    "ADDED",
    "UNIT_SUMS",
    "UnitCounts",
    "gradient_squares",
    "merge_units",
    "note_nonfinite",
    "unit_counts",
    "unit_sums",
]

_LARGEST = UNIT_SUMS.index("largest")
_MEANS = UNIT_SUMS.index("means")
_NONFINITE = UNIT_SUMS.index("nonfinite")


class UnitCounts(NamedTuple):
    """How much the sums of an output stand on.

    Attributes:
        units: Units of the output.
        samples: Samples whose largest value was read.
        counted: Samples that all other sums are of.
        values: Values of each unit in the counted samples.
    """

    units: int
    samples: int
    counted: int
    values: int


def unit_counts(output: Tensor, axis: int, stride: int = 1, start: int = 0) -> UnitCounts:
    """Return how much `unit_sums` with the same arguments stands on, from the shape alone."""
    rows, units, inner = _shape(output, axis)
    looked_at = len(range(start, rows, stride))
    return UnitCounts(
        units, *((rows, looked_at) if axis == 1 else (rows * inner, looked_at * inner)), looked_at * inner
    )


def unit_sums(
    output: Tensor, axis: int, flat: tuple[float, float] = (-math.inf, math.inf), stride: int = 1, start: int = 0
) -> Tensor:
    """Reduce the output of a module to sums of each unit.

    Args:
        output: Of any shape, layout in memory and type; nothing of it is changed or kept.
        axis: That of the units: 1, or -1.
        flat: The function is flat for values up to the first and from the second on, as float32 where the output is
            no wider.
        stride: Only every stride-th index along axis 0 counts; for the largest value all do.
        start: The first index that counts.

    Returns:
        UNIT_SUMS (see there), [len(UNIT_SUMS), units], in float64 where the device knows it, on the device.

    Raises:
        TypeError: If `output` is no ordinary dense tensor.
        ValueError: If it has no such axis.
    """
    grid = readable(output, axis)
    if grid is not None:
        return torch.from_numpy(native.units(output.data_ptr(), grid, flat, stride, start, by_row=axis == -1))
    values = _values(output, axis)
    part = values[start::stride]
    sums = _counted_sums(_real(part), axis, flat) if part.numel() else _nothing(values, axis)
    if values.numel():
        sums[_LARGEST] = _largest(values, axis)
    return sums


def gradient_squares(gradient: Tensor, axis: int, stride: int = 1, start: int = 0) -> Tensor:
    """Return the sum of squares of each unit's gradient over the counted samples, [units].

    The arguments, the type of the result and the errors are those of `unit_sums`; not finite where the gradient is not.
    """
    grid = readable(gradient, axis)
    if grid is not None:
        return torch.from_numpy(native.squares(gradient.data_ptr(), grid, stride, start))
    part = _values(gradient, axis)[start::stride]
    return _squares(part, _others(part, axis))


def note_nonfinite(sums: Tensor, output: Tensor, axis: int, *, bundled: bool = False) -> None:
    """Note of each unit without a counted value that is not finite whether another one is not: by NOTED.

    The sum of what is not finite is not finite either, and takes a fraction of the time that counting takes.

    Args:
        sums: UNIT_SUMS of the output, which change.
        output: As `unit_sums` takes it, and so is `axis`.
        axis: That of the units.
        bundled: Whether all units are reduced as if they were one.
    """
    values = _values(output, axis)
    if not values.is_floating_point() or (values.is_cpu and math.isfinite(_real(values).sum())):
        return
    total = values.sum([] if bundled else _others(values, axis), dtype=wide_type(values.device))
    noted = (total * 0 != 0).to(sums.dtype) * NOTED  # Zero times what is not finite is NaN.
    sums[_NONFINITE].clamp_min_(noted)


def merge_units(into: Tensor, sums: Tensor) -> None:
    """Add the sums of further samples to those in `into`, which change: most are added, the last are compared."""
    into[:ADDED].add_(sums[:ADDED])
    torch.maximum(into[ADDED:], sums[ADDED:], out=into[ADDED:])


def _values(output: Tensor, axis: int) -> Tensor:
    """Return `output` as a plain tensor of at least two axes without a history; of complex ones the magnitudes."""
    kind = type(output)
    if kind.__torch_dispatch__ is not Tensor.__torch_dispatch__ or is_functorch_wrapped_tensor(output):
        raise TypeError(f"expected an ordinary tensor, got a {kind.__name__} whose values are not at hand")
    if output.layout is not torch.strided or output.is_quantized or output.is_nested:
        raise TypeError(f"expected a dense tensor, got one of {output.dtype} with the layout {output.layout}")
    _shape(output, axis)
    with torch._C.DisableTorchFunctionSubclass():
        values = output.detach().as_subclass(Tensor)
    if values.is_complex():
        values = values.abs()
    elif values.is_floating_point() and values.element_size() == 1:
        values = values.float()  # Eight-bit floats have no arithmetic of their own.
    return values if values.dim() > 1 else values.unsqueeze(0)


def _shape(output: Tensor, axis: int) -> tuple[int, int, int]:
    """Return the length along axis 0, the units, and the values of a unit at each index along axis 0."""
    if axis not in (1, -1) or output.dim() < 1 + (axis == 1):
        raise ValueError(
            f"expected units along axis 1 or -1, got axis {axis} of a tensor of shape {tuple(output.shape)}"
        )
    rows, *rest = output.shape if output.dim() > 1 else (1, *output.shape)
    units = rest.pop(0 if axis == 1 else -1)
    return rows, units, math.prod(rest)


def _others(values: Tensor, axis: int) -> list[int]:
    """Return all axes but that of the units."""
    axes = list(range(values.dim()))
    del axes[axis]
    return axes


def _real(values: Tensor) -> Tensor:
    """Return `values` as float32, or as float64 where they are wide or whole numbers."""
    if values.dtype in (torch.float32, torch.float64):
        return values
    whole = not values.is_floating_point() and values.element_size() > 2
    return values.to(wide_type(values.device) if whole else torch.float32)


def _nothing(like: Tensor, axis: int) -> Tensor:
    """Return the sums of no value of an output like this one."""
    sums = torch.zeros(len(UNIT_SUMS), like.shape[axis], dtype=wide_type(like.device), device=like.device)
    sums[_LARGEST] = -math.inf
    if _shape(like, axis)[2] == 1:
        sums[_MEANS] = math.nan
    return sums


def _largest(values: Tensor, axis: int) -> Tensor:
    """Return the largest value of each unit, [units].

    On an accelerator a NaN hides what else that unit has at the same index along axis 0: to look for it there, all of
    the output were to be copied.
    """
    inner = [place for place in _others(values, axis) if place]
    maxima = values.amax(inner) if inner else values
    if inner and values.is_cpu and maxima.isnan().any():
        maxima = values.nan_to_num(-math.inf, math.inf, -math.inf).amax(inner)
    return _real(maxima).nan_to_num(-math.inf, math.inf, -math.inf).amax(0)


def _counted_sums(values: Tensor, axis: int, flat: tuple[float, float]) -> Tensor:
    """Reduce values all of which count, float32 or float64."""
    if values.is_cpu and values.dtype == torch.float32:
        values = values if readable(values, axis) else values.resolve_neg().contiguous()
        grid = readable(values, axis)
        if grid is not None:
            return torch.from_numpy(native.units(values.data_ptr(), grid, flat, by_row=axis == -1))
    wide, others = wide_type(values.device), _others(values, axis)
    odd = (values * 0) != 0  # Zero times what is not finite is NaN.
    clean = values.masked_fill(odd, 0.0)
    fires = values > 0
    inner = [place for place in others if place] if axis == 1 else []
    fired = fires.any(inner) if inner else fires
    counts = torch.stack([values == 0, _is_flat(values, flat) & ~odd, odd])
    zeros, saturated, nonfinite = counts.sum([place + 1 for place in others], dtype=wide)
    total, means = _total_and_means(clean, odd, others)
    return torch.stack(
        [
            total,
            _squares(clean, others),
            means,
            zeros,
            saturated,
            nonfinite,
            fired.sum(_others(fired, axis), dtype=wide),
            zeros,  # In the place of the largest of all values, which follows.
            torch.linalg.vector_norm(clean, math.inf, others).to(wide),
        ]
    )


def _total_and_means(clean: Tensor, odd: Tensor, others: list[int]) -> tuple[Tensor, Tensor]:
    """Return the sum of each unit's values, and that of the squares of its means in the entries along axis 0."""
    wide, inner = wide_type(clean.device), [place for place in others if place]
    places = math.prod(clean.shape[place] for place in inner)
    if places == 1:
        total = clean.sum(others, dtype=wide)
        return total, torch.full_like(total, math.nan)
    entries = clean.sum(inner, dtype=wide)
    # Without a finite value 0 is divided by 0.
    return entries.sum(0), (entries.square() / (places - odd.sum(inner))).nansum(0)


def _is_flat(values: Tensor, flat: tuple[float, float]) -> Tensor:
    return (values <= flat[0]) | (values >= flat[1])


def _squares(values: Tensor, axes: list[int]) -> Tensor:
    wide = wide_type(values.device)
    if values.is_cpu:
        return values.to(wide).square().sum(axes)
    norms: Tensor = torch.linalg.vector_norm(values, 2, axes, dtype=wide)
    return norms.square()
