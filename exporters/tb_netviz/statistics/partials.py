"""What is measured of a parameter before it becomes columns: numbers that merge exactly over blocks, shards and ranks.

All but one are added, the largest magnitude is compared. They stay in float64, which holds the squares of all that
float32 holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

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

_PLACE = {name: place for place, name in enumerate(SUMS)}
_TINIEST = float(np.finfo(np.float32).tiny)


def columns_from(sums: Array, largest: Array, columns: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return the columns of all rows.

    Args:
        sums: SUMS of each row, float64 [rows, len(SUMS)].
        largest: Largest magnitude of each row's gradient, float64 [rows].
        columns: Ids of the columns that are wanted.

    Returns:
        float64 [rows, len(columns)], NaN where something was not measured. A missing gradient is 0 in `present`; of a
        gradient with non-finite elements these are counted, and the columns that they spoil are NaN.
    """
    merged = {name: sums[:, place] for name, place in _PLACE.items()} | {"largest": largest}
    with np.errstate(all="ignore"):  # Non-finite weights have non-finite norms.
        return np.stack([_COLUMNS[column](merged) for column in columns], axis=1)


_Merged = Mapping[str, Array]


def _present(merged: _Merged) -> Array:
    return np.where(merged["asked"] > 0, merged["present"] > 0, np.nan)


def _of_gradient(value: Callable[[_Merged], Array]) -> Callable[[_Merged], Array]:
    return lambda merged: np.where((merged["present"] > 0) & (merged["nonfinite"] == 0), value(merged), np.nan)


def _nonfinite(merged: _Merged) -> Array:
    return np.where(merged["present"] > 0, merged["nonfinite"], np.nan)


def _norm(name: str, where: str) -> Callable[[_Merged], Array]:
    return lambda merged: np.where(merged[where] > 0, np.sqrt(merged[name]), np.nan)


def _product(merged: _Merged) -> Array:
    """Where the product of the norms leaves float32, a 0 would be read as a right angle."""
    together = np.sqrt(merged["squares"]) * np.sqrt(merged["last_squares"])
    told = (together >= _TINIEST) | (together == 0)
    return np.where(_has_pair(merged) & told, merged["product"], np.nan)


def _last_norm(merged: _Merged) -> Array:
    return np.where(_has_pair(merged), np.sqrt(merged["last_squares"]), np.nan)


def _has_pair(merged: _Merged) -> npt.NDArray[np.bool_]:
    finite: npt.NDArray[np.bool_] = np.isfinite(merged["last_squares"]) & (merged["nonfinite"] == 0)
    return finite & (merged["paired"] > 0) & (merged["present"] > 0)


_COLUMNS: Mapping[str, Callable[[_Merged], Array]] = {
    "present": _present,
    "grad_norm": _of_gradient(lambda merged: np.sqrt(merged["squares"])),
    "grad_abs_sum": _of_gradient(lambda merged: merged["magnitudes"]),
    "grad_abs_max": _of_gradient(lambda merged: merged["largest"]),
    "grad_sum": _of_gradient(lambda merged: merged["total"]),
    "grad_zeros": _of_gradient(lambda merged: merged["zeros"]),
    "grad_nonfinite": _nonfinite,
    "weight_norm": _norm("weight_squares", "weighed"),
    "update_norm": _norm("update_squares", "moved"),
    "grad_dot_last": _product,
    "grad_norm_last": _last_norm,
}
