"""A small stand-in for the vectors of a step, from which their similarity to others is computed later."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tb_netviz.embedding.neighbours import sample
from tb_netviz.embedding.pca import centred

MOST_LANDMARKS, MOST_COMPONENTS = 512, 64
_KEPT = 0.999
"""Share of the sum of squared eigenvalues that is kept; linear CKA is made of these."""


def signature(vectors: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
    """Return the centred scores of a sample of the points on their first principal components.

    Args:
        vectors: [points, dims]. Those that are not finite count as the mean of the others.

    Returns:
        [at most MOST_LANDMARKS, at most MOST_COMPONENTS], the largest magnitude 1. The same points are taken of
        every embedding of as many.
    """
    values = np.array(vectors[sample(len(vectors), MOST_LANDMARKS)], np.float64)
    finite = np.isfinite(values).all(axis=1)
    values[finite] = centred(values[finite])
    values[~finite] = 0.0
    left, sizes, _ = np.linalg.svd(values, full_matrices=False)
    weights = np.cumsum(sizes**4)
    if not weights.size or weights[-1] <= 0:
        return np.zeros((len(values), 1), np.float32)
    components = int(np.searchsorted(weights, _KEPT * weights[-1])) + 1
    scores = (left * sizes)[:, : min(components, MOST_COMPONENTS)]
    return np.asarray(scores / np.abs(scores).max(), np.float32)
