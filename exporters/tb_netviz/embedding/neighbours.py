"""How well positions keep the neighbourhoods of the vectors, over a sample of the points."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]

NEIGHBOURS = 10
MOST_POINTS = 1_000
"""Points of the sample: all distances among them are worked out."""


def faithfulness(vectors: Array, positions: Array, seed: int = 0) -> tuple[float, float]:
    """Return trustworthiness and recall of the nearest neighbours among at most MOST_POINTS points.

    Trustworthiness (Venna and Kaski, 2001) falls by how far those that are near in the picture are from each other
    really; recall is the share of the real neighbours that are neighbours in the picture.

    Args:
        vectors: Finite, [points, dims].
        positions: Finite, [points, 2 or 3].
        seed: Of the sample.

    Returns:
        Both in [0, 1]; NaN for fewer than four points.
    """
    chosen = sample(len(vectors), MOST_POINTS, seed)
    points = len(chosen)
    near = min(NEIGHBOURS, (points - 1) // 2)
    if near < 1 or points < 4:
        return float("nan"), float("nan")
    really, shown = distances(vectors[chosen]), distances(positions[chosen])
    in_picture = np.argpartition(shown, near - 1, axis=1)[:, :near]
    apart = np.take_along_axis(really, in_picture, axis=1)
    # Rank of each among the real neighbours of its point; those as far away don't come before it.
    found = 1 + (really[:, None, :] < apart[:, :, None]).sum(axis=2)
    worst = points * near * (2 * points - 3 * near - 1) / 2
    return float(1 - np.maximum(found - near, 0).sum() / worst), float((found <= near).mean())


def nearest(points: Array, count: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
    """Return which neighbours of each point are nearest and how far they are, [points, count], the nearest first."""
    apart = distances(points)
    found = np.argpartition(apart, count - 1, axis=1)[:, :count]
    squares = np.take_along_axis(apart, found, axis=1)
    order = np.argsort(squares, axis=1, kind="stable")
    sorted_squares = np.take_along_axis(squares, order, axis=1)
    return np.take_along_axis(found, order, axis=1).astype(np.int32), np.sqrt(sorted_squares)


def distances(points: Array) -> npt.NDArray[np.float64]:
    """Return the squared distances of all pairs, [points, points]; infinite from each to itself."""
    values = np.asarray(points, np.float64)
    values = values - values.mean(axis=0)
    squares = np.einsum("ij,ij->i", values, values)
    apart: npt.NDArray[np.float64] = np.maximum(squares[:, None] + squares - 2 * values @ values.T, 0.0)
    np.fill_diagonal(apart, np.inf)
    return apart


def sample(points: int, most: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """Return the indices of at most so many of the points, the same for the same number of them."""
    if points <= most:
        return np.arange(points)
    return np.sort(np.random.default_rng([seed, points]).permutation(points)[:most])
