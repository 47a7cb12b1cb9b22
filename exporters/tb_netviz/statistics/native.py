"""The reductions of _native.c, where it was compiled when the package was installed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tb_netviz.statistics.partials import Array
from tb_netviz.statistics.units import UNIT_SUMS
from tb_netviz_plugin.schema.bins import COUNT

_native: Any
try:
    from tb_netviz.statistics import _native
except ImportError:  # No compiler was there.
    _native = None

Job = tuple[int, int, int]
"""Address of a contiguous float32 vector, another number, and the number of elements."""

GRADIENT_RESULTS = ("squares", "magnitudes", "total", "zeros", "nonfinite", "largest", "product", "last_squares")
WEIGHT_RESULTS = ("weight_squares", "update_squares")


class Grid(NamedTuple):
    """How the float32 values of the units of an output lie in memory.

    Attributes:
        shape: Length along axis 0, values of a unit at each index along it, and units.
        steps: Elements from one to the next, of the same three; that of the units, or of a unit's values, is 1.
    """

    shape: tuple[int, int, int]
    steps: tuple[int, int, int]


def available() -> bool:
    """Whether the functions of this module can be called."""
    return _native is not None


def gradients(jobs: Sequence[Job]) -> Array:
    """Return GRADIENT_RESULTS, float64 [jobs, 8]; the other number is the address of the last gradient, or 0."""
    return _reduce("gradients", jobs, np.empty((len(jobs), len(GRADIENT_RESULTS))))


def weights(jobs: Sequence[Job]) -> Array:
    """Return WEIGHT_RESULTS, float64 [jobs, 2]; the other number is the address of the weights before, or 0."""
    return _reduce("weights", jobs, np.empty((len(jobs), len(WEIGHT_RESULTS))))


def bins(jobs: Sequence[Job]) -> npt.NDArray[np.uint16]:
    """Count magnitudes by power of two, uint16 [jobs, bins.COUNT]; the other number is the stride, at least 1."""
    return _reduce("bins", jobs, np.empty((len(jobs), COUNT), dtype=np.uint16))


def units(
    address: int, grid: Grid, flat: tuple[float, float], stride: int = 1, start: int = 0, *, by_row: bool
) -> Array:
    """Return UNIT_SUMS, float64 [len(UNIT_SUMS), units].

    Args:
        address: Of the first value.
        grid: How the values lie.
        flat: The function is flat for values up to the first and from the second on.
        stride: Only every stride-th index along axis 0 counts, from `start` on; for the largest value all do.
        start: At least 0.
        by_row: Whether each value is a sample, and not all of a unit at one index along axis 0.
    """
    results = np.empty((len(UNIT_SUMS), grid.shape[2]))
    _native.units(address, *grid, (stride, start), by_row, flat, results)
    return results


def squares(address: int, grid: Grid, stride: int = 1, start: int = 0) -> Array:
    """Return the sum of squares of each unit over what counts, float64 [units], not finite where a value is not.

    The arguments are those of `units`.
    """
    results = np.empty(grid.shape[2])
    _native.squares(address, *grid, (stride, start), results)
    return results


def copy(jobs: Sequence[Job]) -> None:
    """Copy each vector to another address, which is the other number."""
    _native.copies(np.array(jobs, dtype=np.int64).reshape(-1, 3))


def _reduce(name: str, jobs: Sequence[Job], results: npt.NDArray[Any]) -> npt.NDArray[Any]:
    getattr(_native, name)(np.array(jobs, dtype=np.int64).reshape(-1, 3), results)
    return results
