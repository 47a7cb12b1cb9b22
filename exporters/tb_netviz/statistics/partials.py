"""What is measured of a parameter before it becomes columns: numbers that merge exactly over blocks, shards and ranks.

All but one are added, the largest magnitude is compared. They stay in float64, which holds the squares of all that
float32 holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

GRADIENT_SUMS: Final = ("asked", "present", "squares", "magnitudes", "total", "zeros", "nonfinite")
PAIR_SUMS: Final = ("paired", "product", "last_squares")
WEIGHT_SUMS: Final = ("weighed", "weight_squares")
UPDATE_SUMS: Final = ("moved", "update_squares")
SUMS: Final = (*GRADIENT_SUMS, *PAIR_SUMS, *WEIGHT_SUMS, *UPDATE_SUMS)
"""Added over blocks, shards and ranks. `asked`, `present`, `paired`, `weighed` and `moved` count what was measured:
where one is 0, nothing is known of those that follow it. `product` is that of the gradient with the last one."""

_TINIEST = float(np.finfo(np.float32).tiny)


class _Known(IntEnum):
    """What has to have been measured for a column to be known."""

    ASKED, PRESENT, FINITE, PAIR, WEIGHED, MOVED = range(6)


class _Source(NamedTuple):
    """Where a column comes from."""

    sum: str
    known: _Known
    root: bool = False


_SOURCES: Final = {
    "present": _Source("present", _Known.ASKED),
    "grad_norm": _Source("squares", _Known.FINITE, root=True),
    "grad_abs_sum": _Source("magnitudes", _Known.FINITE),
    "grad_abs_max": _Source("largest", _Known.FINITE),
    "grad_sum": _Source("total", _Known.FINITE),
    "grad_zeros": _Source("zeros", _Known.FINITE),
    "grad_nonfinite": _Source("nonfinite", _Known.PRESENT),
    "weight_norm": _Source("weight_squares", _Known.WEIGHED, root=True),
    "update_norm": _Source("update_squares", _Known.MOVED, root=True),
    "grad_dot_last": _Source("product", _Known.PAIR),
    "grad_norm_last": _Source("last_squares", _Known.PAIR, root=True),
}


def columns_from(sums: Array, largest: Array, columns: Sequence[str]) -> Array:
    """Return the columns of all rows.

    Args:
        sums: SUMS of each row, float64 [rows, len(SUMS)].
        largest: Largest magnitude of each row's gradient, float64 [rows].
        columns: Ids of the columns that are wanted.

    Returns:
        float64 [rows, len(columns)], NaN where something was not measured. A missing gradient is 0 in `present`; of a
        gradient with non-finite elements these are counted, and the columns that they spoil are NaN.
    """
    plan = _plan(tuple(columns))
    with np.errstate(all="ignore"):  # Non-finite weights have non-finite norms.
        values: Array = np.column_stack([sums, largest])[:, plan.places]
        values[:, plan.roots] = np.sqrt(values[:, plan.roots])
        values[~_known(sums)[:, plan.known]] = np.nan
        if plan.product is not None:
            values[_lost_product(sums), plan.product] = np.nan
    if plan.present is not None:  # The number of shards that have a gradient, so far.
        values[:, plan.present] = np.minimum(values[:, plan.present], 1.0)
    return values


class _Plan(NamedTuple):
    """How columns are gathered: by column its place among the sums, whether it is a root, and what it presupposes."""

    places: npt.NDArray[np.intp]
    roots: npt.NDArray[np.bool_]
    known: npt.NDArray[np.intp]
    product: int | None
    present: int | None


@lru_cache(maxsize=8)
def _plan(columns: tuple[str, ...]) -> _Plan:
    order = (*SUMS, "largest")
    sources = [_SOURCES[column] for column in columns]
    return _Plan(
        np.array([order.index(source.sum) for source in sources], dtype=np.intp),
        np.array([source.root for source in sources], dtype=bool),
        np.array([source.known for source in sources], dtype=np.intp),
        columns.index("grad_dot_last") if "grad_dot_last" in columns else None,
        columns.index("present") if "present" in columns else None,
    )


def _known(sums: Array) -> npt.NDArray[np.bool_]:
    """Return what is known of each row, [rows, len(_Known)]."""
    known = sums[:, _COUNTS] > 0
    known[:, _Known.FINITE] = known[:, _Known.PRESENT] & (sums[:, _NONFINITE] == 0)
    known[:, _Known.PAIR] &= known[:, _Known.FINITE] & np.isfinite(sums[:, _LAST_SQUARES])
    return known


def _lost_product(sums: Array) -> npt.NDArray[np.bool_]:
    """Where the product of the norms leaves float32: a 0 would be read as a right angle."""
    together: Array = np.sqrt(sums[:, _SQUARES]) * np.sqrt(sums[:, _LAST_SQUARES])
    lost: npt.NDArray[np.bool_] = (together < _TINIEST) & (together != 0)
    return lost


_SQUARES, _NONFINITE, _LAST_SQUARES = (SUMS.index(name) for name in ("squares", "nonfinite", "last_squares"))
# By _Known the sum that counts how often it was measured.
_COUNTS = [SUMS.index(name) for name in ("asked", "present", "present", "paired", "weighed", "moved")]
