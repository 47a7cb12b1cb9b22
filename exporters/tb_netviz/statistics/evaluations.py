"""What a model gets and gives in an evaluation beside what it gets and gives in training: in NumPy and float64."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from tb_netviz.statistics.partials import Array
from tb_netviz.statistics.units import spread
from tb_netviz_plugin.schema.columns import EVALUATION_COLUMNS

FEATURE_SUMS: Final = (
    "values",  # Finite values.
    "total",  # Their sum.
    "squares",  # Sum of their squares.
    "zeros",  # Values that are exactly zero.
    "lowest",  # The smallest finite one, inf where there is none.
    "highest",  # The largest, -inf where there is none.
)
"""Of each feature: the first ADDED are added over passes, the others compared."""

ADDED = FEATURE_SUMS.index("lowest")


class Side(NamedTuple):
    """What was measured of some passes.

    Attributes:
        samples: Entries along the first axis of their inputs.
        kind: What the inputs are.
        inputs: FEATURE_SUMS, float64 [len(FEATURE_SUMS), features].
        outputs: The same of the outputs; None where there are none.
    """

    samples: int
    kind: int
    inputs: Array
    outputs: Array | None


@np.errstate(all="ignore")  # What is not finite is left out where it shows.
def feature_sums(rows: Array) -> Array:
    """Reduce float64 [samples, features] to FEATURE_SUMS, float64 [len(FEATURE_SUMS), features]."""
    squares = np.einsum("nf,nf->f", rows, rows)
    if np.isfinite(squares.sum()):
        zeros = len(rows) - np.count_nonzero(rows, axis=0)
        return np.stack([np.full(len(squares), len(rows)), rows.sum(0), squares, zeros, rows.min(0), rows.max(0)])
    finite = np.isfinite(rows)
    clean = np.where(finite, rows, 0.0)
    lowest, highest = (np.where(finite, rows, end) for end in (np.inf, -np.inf))
    sums = [finite.sum(0), clean.sum(0), np.einsum("nf,nf->f", clean, clean), (rows == 0).sum(0)]
    return np.stack([*sums, lowest.min(0), highest.max(0)])


@np.errstate(all="ignore")  # Where nothing is known there is nothing to divide by.
def evaluation_columns(evaluated: Side, trained: Side) -> Array:
    """Return EVALUATION_COLUMNS, float64; NaN where nothing is known."""
    found = _compared(evaluated.inputs, trained.inputs)
    for prefix, side in (("", evaluated), ("trained_", trained)):
        numbers = {f"in_{name}": value for name, value in _numbers(side.inputs).items()}
        numbers |= {"samples": float(side.samples), "in_kind": float(side.kind)}
        found |= {f"{prefix}{name}": value for name, value in numbers.items()}
    outputs, trained_outputs = evaluated.outputs, trained.outputs
    if outputs is not None and trained_outputs is not None and outputs.shape == trained_outputs.shape:
        found |= {"out_size": _size(outputs), "trained_out_size": _size(trained_outputs)}  # Others don't compare.
    columns = np.array([found.get(column.id, np.nan) for column in EVALUATION_COLUMNS], np.float64)
    columns[np.isinf(columns)] = np.nan
    return columns


def _numbers(sums: Array) -> dict[str, float]:
    """Return what is known of all features together."""
    values, total, _, zeros, lowest, highest = sums
    _, stds = _moments(sums)
    varying = stds[stds > 0]
    return {
        "mean": total.sum() / values.sum(),
        "size": _size(sums),
        "min": lowest.min(initial=np.inf),
        "max": highest.max(initial=-np.inf),
        "std_min": varying.min(initial=np.inf),
        "std_max": varying.max(initial=-np.inf),
        "zeros": zeros.sum() / values.sum(),
    }


def _compared(evaluated: Array, trained: Array) -> dict[str, float]:
    """Return how far features lie apart, of those that vary on both sides; nothing where they are not the same ones."""
    if evaluated.shape != trained.shape:
        return {}
    (means, stds), (trained_means, trained_stds) = _moments(evaluated), _moments(trained)
    varying = (stds > 0) & (trained_stds > 0)
    if not varying.any():
        return {}
    pooled = np.sqrt((np.square(stds) + np.square(trained_stds)) / 2)
    shifts = (np.abs(means - trained_means) / pooled)[varying]
    factors = (stds / trained_stds)[varying]
    return {
        "in_shift": float(np.median(shifts)),
        "in_shift_max": shifts.max(),
        "in_factor": float(np.median(factors)),
        "in_factor_min": factors.min(),
        "in_factor_max": factors.max(),
    }


def _moments(sums: Array) -> tuple[Array, Array]:
    """Return mean and standard deviation of each feature, [features]; NaN where no value is finite."""
    values, total, squares = sums[:3]
    mean = total / values
    return mean, spread(mean, squares / values)


def _size(sums: Array) -> float:
    return float(np.sqrt(sums[2].sum() / sums[0].sum()))
