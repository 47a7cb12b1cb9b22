"""UMAP, where umap-learn is installed: slower to begin with and less true than t-SNE, but liked.

McInnes, Healy and Melville, *UMAP: Uniform manifold approximation and projection for dimension reduction*, 2018.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from tb_netviz.embedding.placed import CannotPlaceError

Float64 = npt.NDArray[np.float64]

_SIZE = 10.0
"""Deviation of the positions that it likes to begin with."""
_EPOCHS = 200
"""From a picture of other vectors; from none it takes as many as it finds right."""


def fit(vectors: Float64, start: Float64, neighbours: float, seed: int, *, warm: bool) -> Float64:
    """Return where UMAP lays points, [points, dims].

    Args:
        vectors: Finite, [points, width].
        start: Where the fit begins, [points, dims].
        neighbours: Of each point; fewer where there are few points.
        seed: Of whatever is drawn.
        warm: Whether that is a picture already.

    Raises:
        CannotPlaceError: If umap-learn is not installed.
    """
    estimator = _umap()(
        n_neighbors=int(max(min(neighbours, len(vectors) - 1), 2)),
        n_components=start.shape[1],
        init=start if warm else _SIZE * start / start.std(),
        n_epochs=_EPOCHS if warm else None,
        random_state=seed,
        n_jobs=1,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of numba, and about graphs in several pieces.
        return np.asarray(estimator.fit_transform(vectors), np.float64)


def _umap() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from umap import UMAP
    except ImportError as error:
        raise CannotPlaceError("umap-learn is not installed; pip install 'tb-netviz-plugin[umap]'") from error
    return UMAP
