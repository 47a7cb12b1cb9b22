"""t-SNE by openTSNE, or by scikit-learn where that is all there is, on one thread.

Van der Maaten and Hinton, *Visualizing data using t-SNE*, 2008; how a fit begins is Kobak and Berens, *The art of using
t-SNE for single-cell transcriptomics*, 2019.
"""

from __future__ import annotations

import importlib.util
import warnings
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tb_netviz.embedding.neighbours import nearest

Array = npt.NDArray[np.float64]

_EXAGGERATION = 12.0
_MANY = 10_000
"""Points from which on interpolation by FFT pays; it knows two dimensions only."""
_FEW = 4_096
"""Points up to which all distances among them fit into memory with ease."""
_NEAREST = 5
"""Fitted points that a further one is placed among."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How long a fit goes on.

    Attributes:
        exaggerated: Iterations in which attraction is exaggerated, so that clusters find their places.
        plain: Iterations after that.
    """

    exaggerated: int
    plain: int


COLD, WARM, STILL = Effort(250, 500), Effort(50, 100), Effort(0, 50)
"""From principal components; from the last picture of other vectors; from that of nearly the same ones."""


class Fit(Protocol):
    """Points that were fitted."""

    @property
    def positions(self) -> Array:
        """Where they are, [points, dims]."""

    def place(self, vectors: Array) -> Array:
        """Return where further points belong among them, [further points, dims]."""


class Backend(Protocol):
    """What fits points."""

    def fit(self, vectors: Array, start: Array, perplexity: float, effort: Effort, seed: int, *, more: bool) -> Fit:
        """Fit `vectors` [points, width], beginning with the positions `start` [points, dims].

        `more` says whether further points are to be placed.
        """


def backend() -> str | None:
    """Return which library lays points out: "openTSNE", "scikit-learn", or None where there is neither."""
    for name, module in (("openTSNE", "openTSNE"), ("scikit-learn", "sklearn")):
        if importlib.util.find_spec(module) is not None:
            return name
    return None


def missing_words() -> str:
    """Return what to install where `backend` finds nothing."""
    return "there is neither openTSNE nor scikit-learn to lay points out; pip install 'tb-netviz-plugin[embedding]'"


def chosen() -> Backend:
    """Return the library that is there.

    Raises:
        ModuleNotFoundError: If there is none.
    """
    name = backend()
    if name is None:
        raise ModuleNotFoundError(missing_words())
    return OpenTSNE() if name == "openTSNE" else ScikitLearn()


class OpenTSNE:
    """openTSNE: it starts anywhere, and can place further points."""

    def fit(self, vectors: Array, start: Array, perplexity: float, effort: Effort, seed: int, *, more: bool) -> Fit:
        """Fit `vectors`."""
        from openTSNE import TSNEEmbedding
        from openTSNE.affinity import PerplexityBasedNN
        from openTSNE.nearest_neighbors import PrecomputedNeighbors

        # Said and not left to it: beyond 10,000 points its own choice fails in three dimensions.
        method = "fft" if start.shape[1] == 2 and len(vectors) > _MANY else "bh"
        given: dict[str, Any] = {"data": vectors}
        if (
            len(vectors) <= _FEW and not more
        ):  # All distances at once take a tenth of its time; but it can't place then.
            count = min(len(vectors) - 1, int(3 * perplexity))
            given = {"knn_index": PrecomputedNeighbors(*nearest(vectors, count))}
        affinities = PerplexityBasedNN(**given, perplexity=perplexity, n_jobs=1, random_state=seed)
        embedding = TSNEEmbedding(
            start.copy(), affinities, negative_gradient_method=method, n_jobs=1, random_state=seed
        )
        if effort.exaggerated:
            embedding.optimize(effort.exaggerated, exaggeration=_EXAGGERATION, momentum=0.5, inplace=True)
        embedding.optimize(effort.plain, momentum=0.8, inplace=True)
        return _OfOpenTSNE(embedding)


class _OfOpenTSNE:
    def __init__(self, embedding: Any) -> None:
        self._embedding = embedding

    @property
    def positions(self) -> Array:
        """Where the points are."""
        return np.asarray(self._embedding, np.float64)

    def place(self, vectors: Array) -> Array:
        """Return where further points belong."""
        placed = self._embedding.transform(vectors, perplexity=_NEAREST)
        return np.asarray(placed, np.float64)


class ScikitLearn:
    """scikit-learn: each fit takes 250 iterations at least, and a further point lies among its nearest ones."""

    _LEAST = 250

    def fit(self, vectors: Array, start: Array, perplexity: float, effort: Effort, seed: int, *, more: bool) -> Fit:  # noqa: ARG002
        """Fit `vectors`."""
        from sklearn.manifold import TSNE

        estimator = TSNE(
            start.shape[1],
            perplexity=perplexity,
            init=start.astype(np.float32),
            early_exaggeration=_EXAGGERATION if effort.exaggerated else 1.0,
            max_iter=max(effort.exaggerated + effort.plain, self._LEAST),
            random_state=seed,
            n_jobs=1,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            positions = estimator.fit_transform(vectors.astype(np.float32))
        return _OfScikitLearn(vectors, np.asarray(positions, np.float64))


class _OfScikitLearn:
    def __init__(self, vectors: Array, positions: Array) -> None:
        self._vectors = vectors
        self.positions = positions

    def place(self, vectors: Array) -> Array:
        """Return where further points belong: at the mean of their nearest, the nearer the weightier."""
        from sklearn.neighbors import KNeighborsRegressor

        near = min(_NEAREST, len(self.positions))
        regressor = KNeighborsRegressor(near, weights="distance", n_jobs=1).fit(self._vectors, self.positions)
        return np.asarray(regressor.predict(vectors), np.float64)
