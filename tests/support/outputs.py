"""What is recorded of outputs, straight from their definitions in docs/wire-format.md, in float64.

Outputs are [samples, units] or [samples, units, places], gradients of the loss by them have the same shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from tests.support.runs import OUTPUT_NAMES, UNIT_NAMES, Array

FLAT: dict[str, Callable[[Array], npt.NDArray[np.bool_]]] = {
    "ReLU6": lambda values: values >= 6,
    "Tanh": lambda values: np.abs(values) >= 0.99,
    "Sigmoid": lambda values: np.abs(values - 0.5) >= 0.49,
    "Softmax": lambda values: values >= 0.99,
}
"""Where a function is flat at its ends, by kind; of the others no value counts as saturated."""
COUNTED = 4
"""A sample in so many is counted for shares and moments of single units."""


def flat(kind: str, outputs: Array) -> npt.NDArray[np.bool_]:
    """Return where the function `kind` is flat."""
    where = FLAT.get(kind)
    return np.zeros(outputs.shape, np.bool_) if where is None else where(outputs)


def output_row(kind: str, outputs: Array, gradient: Array | None = None) -> Array:
    """Return the columns of an activation at one step, [columns]; NaN where nothing was measured."""
    row = dict.fromkeys(OUTPUT_NAMES, math.nan)
    row |= {"act_values": float(outputs.size), "act_samples": float(len(outputs))}
    nonfinite = int((~np.isfinite(outputs)).sum())
    row["act_nonfinite"] = nonfinite
    if not nonfinite and outputs.size:
        row |= {
            "act_sum": outputs.sum(),
            "act_norm": math.sqrt((outputs**2).sum()),
            "act_abs_max": np.abs(outputs).max(),
            "act_zeros": float((outputs == 0).sum()),
            "act_saturated": float(flat(kind, outputs).sum()),
        }
        if math.prod(outputs.shape[2:]) > 1:
            places = outputs.reshape(*outputs.shape[:2], -1)
            row["act_within_norm"] = math.sqrt(((places - places.mean(2, keepdims=True)) ** 2).sum())
    if gradient is not None:
        row["act_grad_norm"] = math.sqrt((gradient**2).sum())
    return np.array([row[name] for name in OUTPUT_NAMES])


def absent_output() -> Array:
    """Return the columns of an activation that did not run, [columns]."""
    return np.where(np.isin(OUTPUT_NAMES, ("act_values", "act_samples")), 0.0, np.nan)


def unit_rows(kind: str, outputs: Array, gradient: Array | None = None, *, counted: int = COUNTED) -> Array:
    """Return the columns of each unit over the samples of a record, [units, columns]."""
    samples, units = outputs.shape[:2]
    values = outputs.reshape(samples, units, -1)
    some = values[::counted]
    columns = {
        "fired": (some > 0).any(axis=2).mean(axis=0),
        "mean": some.mean(axis=(0, 2)),
        "std": some.std(axis=(0, 2)),
        "largest": values.max(axis=(0, 2)),
        "saturated": flat(kind, some).mean(axis=(0, 2)),
        "gradient": np.full(units, np.nan),
        "twin": np.zeros(units),
    }
    if gradient is not None:
        columns["gradient"] = np.sqrt((gradient.reshape(values.shape)[::counted] ** 2).sum(axis=2).mean(axis=0))
    return np.stack([columns[name] for name in UNIT_NAMES], axis=1)


def absent_units(units: int) -> Array:
    """Return the columns of units that did not run, [units, columns]."""
    return np.full((units, len(UNIT_NAMES)), np.nan)
