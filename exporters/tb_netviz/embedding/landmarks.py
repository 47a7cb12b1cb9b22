"""Fitting points by t-SNE: all of them, or where they are many some, among which the others are placed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tb_netviz.embedding.neighbours import Indices, squared_distances
from tb_netviz.embedding.pca import principal_components
from tb_netviz.embedding.tsne import Effort, chosen

Float64 = npt.NDArray[np.float64]

LANDMARKS, MOST_FITTED = 2_000, 10_000
"""Points that are fitted where there are more than the latter."""
_STREAM = 1
_SMALL = 1e-4
"""Deviation of the positions that a cold fit begins with, so that its first steps are not held back."""
_SCATTER = 1e-2
"""By how much of that points are moved aside, which parts those that are equal."""


def landmarks(held: npt.NDArray[np.bool_], most: int, seed: int) -> Indices:
    """Return which of the points that are held are fitted, as indices among these.

    They are the same from step to step, as far as the same points are held.

    Args:
        held: Whether each point has a vector that is finite.
        most: Points up to which all are fitted.
        seed: Of the choice.
    """
    count = int(held.sum())
    if count <= most:
        return np.arange(count)
    # Of a stream of its own: those whose neighbours are looked at would all be landmarks otherwise.
    order = np.random.default_rng([seed, len(held), _STREAM]).permutation(len(held))
    points = order[held[order]][:LANDMARKS]
    return np.sort((np.cumsum(held) - 1)[points])


def lay_out(
    vectors: Float64, fitted: Indices, before: Float64, perplexity: float, effort: Effort, seed: int
) -> Float64:
    """Return where points are, [points, dims].

    Args:
        vectors: Finite, [points, width].
        fitted: Those that are fitted; the others are placed among them.
        before: Where each was the last time, NaN where it was nowhere, [points, dims].
        perplexity: About how many neighbours a point has; less where there are few points.
        effort: How long the fit goes on.
        seed: Of whatever is drawn.
    """
    perplexity = max(min(perplexity, (len(fitted) - 1) / 3), 1.0)
    fit = chosen().fit(vectors[fitted], start(vectors[fitted], before[fitted], seed), perplexity, effort, seed)
    positions = np.empty(before.shape)
    positions[fitted] = fit.positions
    others = np.setdiff1d(np.arange(len(vectors)), fitted)
    if others.size:
        positions[others] = fit.place(vectors[others])
    return positions


def start(vectors: Float64, before: Float64, seed: int) -> Float64:
    """Return where a fit begins: where points were, beside the nearest one that was somewhere, or as PCA has them."""
    scatter = _SCATTER * np.random.default_rng([seed, len(vectors)]).standard_normal(before.shape)
    known = np.isfinite(before).all(axis=1)
    if not known.any():
        scores = principal_components(vectors, before.shape[1])
        return np.asarray(_SMALL * (scores / (scores[:, 0].std() or 1.0) + scatter))
    beginning = np.array(before)
    size = float(before[known].std())
    for rows, apart in squared_distances(vectors, np.flatnonzero(~known)):
        apart[:, ~known] = np.inf
        new = np.flatnonzero(~known)[rows]
        beginning[new] = before[apart.argmin(axis=1)] + size * scatter[new]
    return beginning
