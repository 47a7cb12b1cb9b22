"""Which points are near each other, and how well positions keep that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]
Float64 = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

NEIGHBOURS = 10
MOST_ASKED = 1_000
"""Points of the sample whose neighbours among all points are looked at."""
_DISTANCES = 1 << 22
"""That are held at a time."""


def faithfulness(vectors: Array, positions: Array, seed: int = 0) -> tuple[float, float]:
    """Return trustworthiness and recall of the nearest neighbours, over at most MOST_ASKED points.

    Trustworthiness (Venna and Kaski, 2001) falls by how far those that are near in the picture are from each other
    really; recall is the share of the real neighbours that are neighbours in the picture.

    Args:
        vectors: Finite, [points, dims].
        positions: Finite, [points, 2 or 3].
        seed: Of the sample.

    Returns:
        Both in [0, 1]; NaN for fewer than four points.
    """
    points = len(vectors)
    near = min(NEIGHBOURS, (points - 1) // 2)
    if points < 4:
        return float("nan"), float("nan")
    asked = sample(points, MOST_ASKED, seed)
    ranks = np.concatenate(
        [
            _ranks(really, np.argpartition(shown, near - 1, axis=1)[:, :near])
            for (_, really), (_, shown) in zip(
                squared_distances(vectors, asked), squared_distances(positions, asked), strict=True
            )
        ]
    )
    worst = len(asked) * near * (2 * points - 3 * near - 1) / 2
    return float(1 - np.maximum(ranks - near, 0).sum() / worst), float((ranks <= near).mean())


def nearest(points: Array, count: int, asked: Indices | None = None) -> tuple[Indices, Float64]:
    """Return the nearest other points of some, the nearest first.

    Args:
        points: Finite, [points, dims].
        count: How many of each, fewer than there are points.
        asked: Indices of these points; by default all.

    Returns:
        Indices and distances, both [asked, count].
    """
    asked = np.arange(len(points)) if asked is None else asked
    indices, distances = np.empty((len(asked), count), np.int64), np.empty((len(asked), count))
    for rows, apart in squared_distances(points, asked):
        chosen = np.argpartition(apart, count - 1, axis=1)[:, :count]
        squares = np.take_along_axis(apart, chosen, axis=1)
        # By index where two are as near: the same on every machine.
        order = np.lexsort((chosen, squares), axis=1)
        indices[rows] = np.take_along_axis(chosen, order, axis=1)
        distances[rows] = np.sqrt(np.take_along_axis(squares, order, axis=1))
    return indices, distances


def sample(points: int, most: int, seed: int = 0) -> Indices:
    """Return the indices of at most so many of the points, the same for the same number of them."""
    if points <= most:
        return np.arange(points)
    return np.sort(np.random.default_rng([seed, points]).permutation(points)[:most])


def squared_distances(points: Array, asked: Indices) -> Iterator[tuple[slice, Float64]]:
    """Yield parts of `asked`, and the squared distances from these to all points; infinite from each to itself."""
    values = np.asarray(points, np.float64)
    values = values - values.mean(axis=0)
    squares = np.einsum("ij,ij->i", values, values)
    size = max(_DISTANCES // len(values), 1)
    for first in range(0, len(asked), size):
        rows = slice(first, min(first + size, len(asked)))
        some = asked[rows]
        apart = values[some] @ values.T
        apart *= -2
        apart += squares
        apart += squares[some][:, None]
        np.maximum(apart, 0, out=apart)
        apart[np.arange(len(some)), some] = np.inf
        yield rows, apart


def _ranks(apart: Float64, others: Indices) -> Indices:
    """Return how many points are nearer than each of `others`, and 1; [asked, others]."""
    reach = np.take_along_axis(apart, others, axis=1)
    ranks = [(apart < reach[:, [number]]).sum(axis=1) + 1 for number in range(reach.shape[1])]
    return np.stack(ranks, axis=1)
