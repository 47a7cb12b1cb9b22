"""Principal components: the picture that is there at once, where t-SNE begins, and how wide vectors become narrower."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tb_netviz.embedding.neighbours import sample

Array = npt.NDArray[np.floating[Any]]
Float64 = npt.NDArray[np.float64]

MOST_WIDE = 512
"""Numbers of a vector beyond which distances are taken along so many principal axes."""
_MOST_SQUARE = 1_024
"""Points or numbers of a vector whose products with each other are decomposed as they are."""
_LARGEST = 1e37
"""Float32 holds more, but not the square root of three times that apart."""


def principal_components(vectors: Array, dims: int) -> Float64:
    """Return the scores of the points on the first principal components, [points, dims]; 0 where there are no more.

    Where there are more than 1,024 points with more than 1,024 numbers each, the axes are found by power iterations
    (Halko, Martinsson and Tropp, *Finding structure with randomness*, 2011).

    Args:
        vectors: Finite, [points, any].
        dims: How many components.
    """
    values = centred(vectors)
    points, width = values.shape
    scores = np.zeros((points, dims))
    if not values.any():
        return scores
    found = values @ (_axes(values)[:, :dims] if min(points, width) <= _MOST_SQUARE else _by_power(values, dims))
    scores[:, : found.shape[1]] = np.clip(found * _unit(vectors), -_LARGEST, _LARGEST)
    return scores


def centred(vectors: Array) -> Float64:
    """Return vectors around their mean in float64, divided by their largest magnitude so that squares stay in range."""
    values = np.array(vectors, np.float64)
    values /= _unit(values)
    if len(values):
        values -= values.mean(axis=0)
    return values


def _unit(vectors: Array) -> float:
    return float(np.abs(vectors).max(initial=0.0)) or 1.0


def narrowed(values: Float64) -> Float64:
    """Return vectors that are about as far from each other, of MOST_WIDE numbers at most.

    Wide ones become their scores on the principal axes of at most 1,024 of them: exact for up to MOST_WIDE points, and
    several times faster where there are thousands.
    """
    if values.shape[1] <= MOST_WIDE:
        return values
    some = values[sample(len(values), _MOST_SQUARE)]
    narrow: Float64 = values @ _axes(some - some.mean(axis=0))[:, :MOST_WIDE]
    return narrow


def _axes(values: Float64) -> Float64:
    """Return the principal axes of centred vectors, the longest first, [width, at most as many as points]."""
    points, width = values.shape
    if width <= points:
        return np.linalg.eigh(values.T @ values)[1][:, ::-1]
    sizes, turned = np.linalg.eigh(values @ values.T)
    # Directions that hold nothing but rounding have no axis.
    kept = sizes > sizes[-1] * points * np.finfo(np.float64).eps
    axes: Float64 = values.T @ (turned[:, kept] / np.sqrt(sizes[kept]))
    return axes[:, ::-1]


def _by_power(values: Float64, dims: int) -> Float64:
    axes = np.linalg.qr(values.T @ np.random.default_rng(0).standard_normal((len(values), dims + 8)))[0]
    for _ in range(8):
        axes = np.linalg.qr(values.T @ (values @ axes))[0]
    turned = np.linalg.svd(values @ axes, full_matrices=False)[2]
    found: Float64 = axes @ turned.T[:, :dims]
    return found
