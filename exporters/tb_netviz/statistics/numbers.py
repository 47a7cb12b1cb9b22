"""Arrays of any numeric type as float64, a block at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

BLOCK = 2**18
"""Elements that are widened at once, so that a huge array needs no second copy."""

Array = npt.NDArray[Any]
Wide = npt.NDArray[np.float64] | npt.NDArray[np.complex128]


def flat(array: npt.ArrayLike) -> Array:
    """Return `array` as a vector.

    Raises:
        TypeError: If its elements are no numbers.
    """
    vector = np.asarray(array).ravel()
    if vector.dtype.kind in "OSUMm":
        raise TypeError(f"expected an array of numbers, got elements of type {vector.dtype}")
    return vector


def blocks(vector: Array) -> Iterator[Wide]:
    """Yield a vector in order as blocks of float64, or of complex128."""
    for first in range(0, vector.size, BLOCK):
        yield widened(vector[first : first + BLOCK])


def widened(vector: Array) -> Wide:
    """Return a vector as float64, or as complex128 where it is complex."""
    return vector.astype(np.complex128) if vector.dtype.kind == "c" else vector.astype(np.float64)


def norm(vector: Array) -> float:
    """Return the Euclidean norm in float64: what float32 can hold neither over- nor underflows."""
    return math.sqrt(sum(float(np.vdot(block, block).real) for block in blocks(vector)))
