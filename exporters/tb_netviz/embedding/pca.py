"""Principal components: the picture that is there at once, and where t-SNE begins."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]

_MOST_SQUARE = 1_024
"""Dimensions up to which the covariance is decomposed; beyond, or with fewer points, the points' own products."""


def principal_components(vectors: Array, dims: int) -> npt.NDArray[np.float64]:
    """Return the scores of the points on the first principal components, [points, dims]; 0 where there are no more.

    Args:
        vectors: Finite, [points, any].
        dims: How many components.
    """
    values = centred(vectors)
    points, width = values.shape
    scores = np.zeros((points, dims))
    if not values.any():
        return scores
    if width <= min(_MOST_SQUARE, points):
        _sizes, axes = np.linalg.eigh(values.T @ values)
        found = values @ axes[:, ::-1][:, :dims]
    elif points <= _MOST_SQUARE:
        sizes, axes = np.linalg.eigh(values @ values.T)
        found = axes[:, ::-1][:, :dims] * np.sqrt(np.maximum(sizes[::-1][:dims], 0.0))
    else:
        found = _by_power(values, dims)
    scores[:, : found.shape[1]] = found
    return scores


def centred(vectors: Array) -> npt.NDArray[np.float64]:
    """Return vectors around their mean in float64, divided by their largest magnitude so that squares stay in range."""
    values = np.asarray(vectors, np.float64)
    largest = float(np.abs(values).max(initial=0.0))
    values = values / largest if largest > 0 else values
    return values - values.mean(axis=0) if len(values) else values


def _by_power(values: npt.NDArray[np.float64], dims: int) -> npt.NDArray[np.float64]:
    """Return the scores of many points of many dimensions: a randomised range finder with power iterations.

    Halko, Martinsson and Tropp, *Finding structure with randomness*, 2011.
    """
    axes = np.linalg.qr(values.T @ np.random.default_rng(0).standard_normal((len(values), dims + 8)))[0]
    for _ in range(4):
        axes = np.linalg.qr(values.T @ (values @ axes))[0]
    left, sizes, _ = np.linalg.svd(values @ axes, full_matrices=False)
    scores: npt.NDArray[np.float64] = left[:, :dims] * sizes[:dims]
    return scores
