"""t-SNE by openTSNE, or by scikit-learn where that is all there is, on one thread.

Van der Maaten and Hinton, *Visualizing data using t-SNE*, 2008; how a fit begins is Kobak and Berens, *The art of using
t-SNE for single-cell transcriptomics*, 2019; the learning rate is that of Belkina et al., *Automated optimized
parameters for t-distributed stochastic neighbor embedding*, 2019. `benchmarks/embedding.py` measures what comes of it.
"""

from __future__ import annotations

import functools
import importlib
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tb_netviz.events import warn

Array = npt.NDArray[np.float64]

_MANY = 10_000
"""Points from which on interpolation by FFT pays; it knows two dimensions only."""
_ANGLE = 0.8
"""How coarsely Barnes and Hut's tree sees what is far: a third faster than .5, and the pictures are as good."""
_LEAST_RATE = 50.0
"""Learning rate of few points, which would take too long otherwise."""
_NEAREST = 5
"""Perplexity with which a further point is placed, and fitted points that it is placed among."""
_TURNS_OF_A_PLACE = 100
"""Iterations for a further point; 250 find the same place in twice the time."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How long a fit goes on.

    Attributes:
        exaggeration: By how much attraction is exaggerated at first, so that clusters find their places.
        exaggerated: Iterations of that.
        plain: Iterations after that.
    """

    exaggeration: float
    exaggerated: int
    plain: int


COLD, WARM, STILL = Effort(12.0, 250, 500), Effort(4.0, 50, 75), Effort(1.0, 0, 75)
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

    def fit(self, vectors: Array, start: Array, perplexity: float, effort: Effort, seed: int) -> Fit:
        """Fit `vectors` [points, width], beginning with the positions `start` [points, dims]."""


def backend() -> str | None:
    """Return which library lays points out: "openTSNE", "scikit-learn", or None where neither can be imported."""
    return _libraries()[0]


def broken() -> dict[str, str]:
    """Return which libraries are installed and can't be imported, and in words what becomes of that."""
    return _libraries()[1]


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

    def fit(self, vectors: Array, start: Array, perplexity: float, effort: Effort, seed: int) -> Fit:
        """Fit `vectors`."""
        from openTSNE import TSNEEmbedding
        from openTSNE.affinity import PerplexityBasedNN

        # All neighbours are looked at: with so few points that is as fast as a forest of trees, and right.
        affinities = PerplexityBasedNN(vectors, perplexity, method="exact", n_jobs=1)
        # Said and not left to it: beyond 10,000 points its own choice fails in three dimensions.
        method = "fft" if start.shape[1] == 2 and len(vectors) > _MANY else "bh"
        embedding = TSNEEmbedding(
            start.copy(), affinities, negative_gradient_method=method, theta=_ANGLE, n_jobs=1, random_state=seed
        )
        for exaggeration, turns, momentum in ((effort.exaggeration, effort.exaggerated, 0.5), (1.0, effort.plain, 0.8)):
            if turns:
                rate = max(len(vectors) / exaggeration, _LEAST_RATE)
                embedding.optimize(
                    turns, learning_rate=rate, exaggeration=exaggeration, momentum=momentum, inplace=True
                )
        return _OfOpenTSNE(embedding)


class _OfOpenTSNE:
    def __init__(self, embedding: Any) -> None:
        self._embedding = embedding
        self.positions: Array = np.array(embedding, np.float64)

    def place(self, vectors: Array) -> Array:
        """Return where further points belong."""
        placed = self._embedding.transform(vectors, perplexity=_NEAREST, n_iter=_TURNS_OF_A_PLACE)
        # It has moved what was fitted to the middle, and so the further points.
        moved = self.positions[0] - np.asarray(self._embedding)[0]
        return np.asarray(placed + moved, np.float64)


class ScikitLearn:
    """scikit-learn: a fit takes 250 iterations at least, and a further point lies among its nearest ones."""

    _LEAST = 250
    """Iterations that it always begins with, and exaggerates in."""

    def fit(self, vectors: Array, start: Array, perplexity: float, effort: Effort, seed: int) -> Fit:
        """Fit `vectors`."""
        from sklearn.manifold import TSNE

        rate = max(len(vectors) / effort.exaggeration, _LEAST_RATE)
        if not effort.exaggerated:  # As far as the iterations that were asked for would go.
            rate *= effort.plain / self._LEAST
        estimator = TSNE(
            start.shape[1],
            perplexity=perplexity,
            init=start.astype(np.float32),
            learning_rate=rate / 4,  # Its gradient is four times that of others.
            early_exaggeration=effort.exaggeration,
            max_iter=self._LEAST + effort.plain * (effort.exaggerated > 0),
            angle=_ANGLE,
            random_state=seed,
            n_jobs=1,
        )
        return _OfScikitLearn(vectors, np.asarray(estimator.fit_transform(vectors.astype(np.float32)), np.float64))


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


@functools.cache
def _libraries() -> tuple[str | None, dict[str, str]]:
    """Return the first library that can be imported, and why those before it can't although they are installed."""
    failures: dict[str, Exception] = {}
    found = None
    for name, module in (("openTSNE", "openTSNE"), ("scikit-learn", "sklearn.manifold")):
        try:
            importlib.import_module(module)
        except Exception as error:  # Such as one that was built for another NumPy.
            if not (isinstance(error, ModuleNotFoundError) and error.name in (module, module.partition(".")[0])):
                failures[name] = error
        else:
            found = name
            break
    instead = f"{found or 'nothing'} lays points out in its place"
    reasons = {
        name: f"is installed, but can't be imported ({type(error).__name__}: {error}); {instead}"
        for name, error in failures.items()
    }
    for name, reason in reasons.items():
        warn(f"{name} {reason}.")
    return found, reasons
