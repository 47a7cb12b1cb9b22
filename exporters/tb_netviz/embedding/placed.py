"""Where points are at a step, and what a picture leaves for the next one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tb_netviz.embedding.neighbours import sample
from tb_netviz.embedding.pca import centred
from tb_netviz_plugin.analysis.similarity import cka
from tb_netviz_plugin.schema.embedding import Method

Vectors = npt.NDArray[np.floating[Any]]
Float64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

FEWEST = 4
_MOST_COMPARED = 1_024
"""Points that vectors are compared over from step to step."""


class CannotPlaceError(Exception):
    """Points have no positions; the message says why."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where points are.

    Attributes:
        method: How that came about.
        positions: Float32 [points, dims]; NaN where the vector is not finite.
        figures: Those of LAYOUT_COLUMNS that are known here; NaN where one makes no sense.
    """

    method: Method
    positions: npt.NDArray[np.float32]
    figures: dict[str, float]


@dataclass(frozen=True, slots=True)
class Last:
    """What a picture leaves for the next one.

    Attributes:
        positions: [points, dims].
        vectors: Those of the points that are compared, as they were given.
        exaggerated: The same of the fit that was exaggerated last; empty where there are no fits.
    """

    positions: Float64
    vectors: Vectors
    exaggerated: Vectors = field(default_factory=lambda: np.empty((0, 0)))


def compared(vectors: Vectors) -> Vectors:
    """Return the vectors by which a step is compared with others, the same points each time."""
    return np.array(vectors[sample(len(vectors), _MOST_COMPARED)])


def similarity(one: Vectors, other: Vectors) -> float:
    """Return the linear CKA of vectors of the same points, over those that are finite in both; NaN where none vary.

    Args:
        one: [points, width].
        other: [points, other width].
    """
    both = np.isfinite(one).all(axis=1) & np.isfinite(other).all(axis=1)
    return cka(centred(one[both]), centred(other[both]))


def finite(vectors: Vectors) -> Bools:
    """Return which vectors are finite.

    Raises:
        CannotPlaceError: If they are too few.
    """
    if vectors.ndim != 2 or vectors.shape[1] == 0:
        raise CannotPlaceError(f"needs vectors, [points, width], and got the shape {vectors.shape}")
    held: Bools = np.asarray(np.isfinite(vectors).all(axis=1))
    if held.sum() < FEWEST:
        raise CannotPlaceError(f"needs at least {FEWEST} points with finite vectors, and there are {int(held.sum())}")
    return held


def spread(positions: Float64, held: Bools) -> Float64:
    """Return positions for all points, NaN for those that were not held."""
    found = np.full((len(held), positions.shape[1]), np.nan)
    found[held] = positions
    return found
