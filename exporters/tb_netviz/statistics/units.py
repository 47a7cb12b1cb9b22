"""What is measured of the units of an output, and the columns that follow: the reference in NumPy and float64.

A unit is an index along one axis of an output, a sample one over axis 0 where the units lie along axis 1, and one over
all axes but the last where they lie along that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tb_netviz.statistics.partials import Array
from tb_netviz_plugin.schema.columns import ACTIVATION_COLUMNS, UNIT_COLUMNS

UNIT_SUMS: Final = (
    "total",  # Sum of the finite values.
    "squares",  # Sum of their squares.
    "means",  # Sum, over entries along axis 0, of (sum of the finite values)² / their number. NaN where each has one
    # value of a unit, or all units are reduced as one: then no deviation from a mean is defined.
    "zeros",  # Values that are exactly zero.
    "saturated",  # Finite values where the function is flat.
    "nonfinite",  # Values that are NaN or infinite, and NOTED for those that don't count.
    "fired",  # Samples in which some value is above zero; infinity is.
    "largest",  # Largest value over all samples, counted or not, NaN aside; -inf where there is none.
    "magnitude",  # Largest magnitude of the finite values.
)
"""Of each unit over the counted samples. The first ADDED are added over looks, shards and ranks, the last compared."""

ADDED: Final = UNIT_SUMS.index("largest")

NOTED = 2.0**-10
"""Added where only values that don't count are not finite: no share or moment stands on those."""

NOISE = 1e-13
"""A variance is none below this share of the mean square: float32 holds steps of 1.2e-7, whose square is 1.4e-14."""


def unit_sums(output: npt.ArrayLike, axis: int, flat: tuple[float, float], stride: int = 1, start: int = 0) -> Array:
    """Return UNIT_SUMS, float64 [len(UNIT_SUMS), units], of an output with its units along axis 1 or -1.

    Args:
        output: Real or complex numbers, [samples, units, ...] or [..., units]; of complex ones the magnitude.
        axis: That of the units: 1, or -1.
        flat: The function is flat for values up to the first and from the second on, as float32 where the output is
            no wider.
        stride: Only every stride-th index along axis 0 counts; for the largest value all do.
        start: The first index that counts.
    """
    output = np.atleast_2d(output)
    limits = flat if output.dtype in (np.float64, np.complex128) else np.asarray(flat, np.float32).astype(float)
    samples = _by_sample(output, axis)
    counted = _by_sample(output[start::stride], axis)
    finite = np.isfinite(counted)
    clean = np.where(finite, counted, 0.0)
    flats = finite & ((counted <= limits[0]) | (counted >= limits[1]))
    sums = {
        "total": clean.sum((0, 2)),
        "squares": np.square(clean).sum((0, 2)),
        "means": _squared_means(output[start::stride], axis),
        "zeros": (counted == 0).sum((0, 2)),
        "saturated": flats.sum((0, 2)),
        "nonfinite": (~finite).sum((0, 2)),
        "fired": (counted > 0).any(2).sum(0),
        "largest": np.where(np.isnan(samples), -np.inf, samples).max((0, 2), initial=-np.inf),
        "magnitude": np.abs(clean).max((0, 2), initial=0.0),
    }
    return np.stack([sums[name] for name in UNIT_SUMS]).astype(np.float64)


def _squared_means(output: npt.NDArray[Any], axis: int) -> Array:
    """Return the sum, over entries along axis 0, of a unit's mean squared times its finite values there, [units]."""
    entries = np.moveaxis(_wide(output), axis, 1)
    entries = entries.reshape(*entries.shape[:2], int(np.prod(entries.shape[2:])))
    if entries.shape[2] == 1:
        return np.full(entries.shape[1], np.nan)
    finite = np.isfinite(entries)
    totals = np.where(finite, entries, 0.0).sum(2)
    squares: Array = (np.square(totals) / np.maximum(finite.sum(2), 1)).sum(0)
    return squares


def _by_sample(output: npt.NDArray[Any], axis: int) -> Array:
    """Return float64 [samples, units, values of a unit in a sample]."""
    values = _wide(output)
    if axis == -1:
        return values.reshape(-1, values.shape[-1], 1) if values.size else np.zeros((0, values.shape[-1], 1))
    return values.reshape(*values.shape[:2], int(np.prod(values.shape[2:])))


def _wide(output: npt.NDArray[Any]) -> Array:
    return (np.abs(output) if np.iscomplexobj(output) else output).astype(np.float64)


@dataclass(frozen=True)
class Activity:
    """What one activation did over the looks at one step or at many.

    Attributes:
        sums: UNIT_SUMS, float64 [len(UNIT_SUMS), units].
        samples: Samples whose largest value was read.
        counted: Samples that all else is of.
        values: Values of each unit in those.
        squares: Sum of the squares of each unit's gradient over the counted samples, [units]; None where there is none.
    """

    sums: Array
    samples: int
    counted: int
    values: int
    squares: Array | None = None


def merged(activities: Sequence[Activity]) -> Activity:
    """Return what several looks at one activation tell together; their gradient only where each has one.

    Raises:
        ValueError: If there is none.
    """
    if not activities:
        raise ValueError("expected at least one activity")
    sums = np.stack([activity.sums for activity in activities])
    squares = [activity.squares for activity in activities if activity.squares is not None]
    return Activity(
        np.concatenate([sums[:, :ADDED].sum(0), sums[:, ADDED:].max(0)]),
        sum(activity.samples for activity in activities),
        sum(activity.counted for activity in activities),
        sum(activity.values for activity in activities),
        np.sum(squares, axis=0) if len(squares) == len(activities) else None,
    )


def activation_row(activity: Activity) -> Array:
    """Return ACTIVATION_COLUMNS, float64 [len(ACTIVATION_COLUMNS)], of all units together.

    Without any finite value the columns that tell of them are NaN; so is the gradient where there is none.
    """
    sums = dict(zip(UNIT_SUMS, activity.sums, strict=True))
    values = activity.values * activity.sums.shape[1]
    nonfinite = sums["nonfinite"].sum()
    some = 1.0 if np.floor(nonfinite) < values else np.nan
    columns = {
        "act_values": values,
        "act_samples": activity.counted,
        "act_sum": sums["total"].sum() * some,
        "act_norm": np.sqrt(sums["squares"].sum()) * some,
        "act_abs_max": sums["magnitude"].max(initial=0.0) * some,
        "act_zeros": sums["zeros"].sum(),
        "act_saturated": sums["saturated"].sum(),
        "act_nonfinite": np.ceil(nonfinite),
        "act_grad_norm": np.nan if activity.squares is None else np.sqrt(activity.squares.sum()),
        "act_within_norm": within(sums["squares"].sum(), sums["means"].sum()) * some,
    }
    return np.array([columns[column.id] for column in ACTIVATION_COLUMNS], dtype=np.float64)


def unit_rows(activity: Activity) -> Array:
    """Return UNIT_COLUMNS, float64 [units, len(UNIT_COLUMNS)].

    Moments and shares are of finite values, and NaN where there are none; a largest value is known without. Values that
    float32 can hardly tell apart have no spread: the sums would leave some noise of it even to a constant unit. Outputs
    alone tell nothing of twins: NaN.
    """
    sums = dict(zip(UNIT_SUMS, activity.sums, strict=True))
    with np.errstate(all="ignore"):  # Without values there is nothing to divide by.
        finite = activity.values - np.floor(sums["nonfinite"])
        mean = sums["total"] / finite
        counted = np.float64(activity.counted)
        columns = {
            "fired": sums["fired"] / counted,
            "mean": mean,
            "std": spread(mean, sums["squares"] / finite),
            "largest": sums["largest"] if activity.samples else np.full_like(mean, np.nan),
            "saturated": sums["saturated"] / finite,
            "gradient": np.full_like(mean, np.nan) if activity.squares is None else np.sqrt(activity.squares / counted),
            "twin": np.full_like(mean, np.nan),
        }
    return np.stack([columns[column.id] for column in UNIT_COLUMNS], axis=1)


def spread(mean: Array, mean_square: Array) -> Array:
    """Return standard deviations; 0 where rounding leaves nothing of one."""
    return within(mean_square, np.square(mean))


def within(squares: Array, means: Array) -> Array:
    """Return the roots of what sums of squares have more than those of means; 0 where rounding leaves nothing of it."""
    rest: Array = squares - means
    return np.sqrt(np.where(rest < NOISE * squares, 0.0, rest))
