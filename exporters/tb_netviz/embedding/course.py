"""The pictures of one embedding over the steps of a training: each is fitted from the last, and turned as it lies."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tb_netviz.embedding.alignment import align, drift
from tb_netviz.embedding.neighbours import faithfulness, sample
from tb_netviz.embedding.pca import centred, principal_components
from tb_netviz.embedding.tsne import COLD, STILL, WARM, Effort, backend, chosen, missing_words
from tb_netviz_plugin.schema.embedding import Method

__all__ = ["CannotPlaceError", "Course", "Placed", "backend", "backwards", "missing_words"]

Vectors = npt.NDArray[np.floating[Any]]

LANDMARKS, MOST_FITTED = 2_000, 10_000
"""Points that are fitted where there are more than the latter; the others are placed among them."""
FEWEST = 4
ALIKE = 0.98
"""Linear CKA from which on vectors are nearly those of the fit that was exaggerated last."""
_NOISE = 0.02
"""Share of their deviation by which vectors are disturbed to see how far points move for nothing."""
_SMALL = 1e-4
"""Deviation of the positions that a cold fit begins with, so that its first steps are not held back."""
_EPOCHS = 50
"""Of UMAP, from where the points were: its own 200 to 500 are for a fit from anywhere."""
NAN = float("nan")


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


@dataclass(slots=True)
class _Last:
    """What a picture left for the next one.

    Attributes:
        vectors: [points, width], as they were given.
        positions: [points, dims].
        exaggerated: Vectors of the fit that was exaggerated last, [points, width].
    """

    vectors: Vectors
    positions: npt.NDArray[np.float64]
    exaggerated: Vectors


class Course:
    """The pictures of one embedding, step after step.

    Args:
        dims: 2 or 3.
        perplexity: About how many neighbours a point has in t-SNE; less where there are few points.
        seed: Of whatever is drawn.

    Raises:
        ValueError: If `dims` or `perplexity` makes no sense.
    """

    def __init__(self, dims: int = 2, perplexity: float = 30, seed: int = 0) -> None:
        if dims not in (2, 3):
            raise ValueError(f"dims must be 2 or 3, got {dims!r}")
        if not 1 <= perplexity < np.inf:
            raise ValueError(f"perplexity must be a number from 1 on, got {perplexity!r}")
        self._dims = dims
        self._perplexity = float(perplexity)
        self._seed = seed
        self.restart()

    def restart(self) -> None:
        """Begin anew: the points are others from now on."""
        self._last: dict[Method, _Last] = {}
        self._floor = NAN

    def pca(self, vectors: Vectors) -> Placed:
        """Return the points on their first principal components, turned as they lay the last time.

        Args:
            vectors: [points, width].

        Raises:
            CannotPlaceError: If too few of them are finite.
        """
        began = time.process_time()
        held = _held(vectors)
        last = self._known(Method.PCA, vectors)
        found = _spread(principal_components(vectors[held], self._dims), held)
        positions = found if last is None else align(found, last.positions)
        figures = {"fitted": float(held.sum()), "exaggerated": 0.0, "noise_floor": NAN}
        return self._placed(Method.PCA, vectors, positions, last, figures, began, exaggerated=False)

    def tsne(self, vectors: Vectors) -> Placed:
        """Return the points as t-SNE lays them out, from where they were the last time.

        Args:
            vectors: [points, width].

        Raises:
            CannotPlaceError: If too few of them are finite, or there is no library that could.
        """
        began = time.process_time()
        held = _held(vectors)
        last = self._known(Method.TSNE, vectors)
        effort = COLD if last is None else STILL if similarity(vectors, last.exaggerated) >= ALIKE else WARM
        positions, fitted = self._lay_out(vectors, held, last, effort)
        if last is not None:
            positions = align(positions, last.positions)
        exaggerated = effort is not STILL
        figures = {"fitted": float(fitted), "exaggerated": float(exaggerated), "noise_floor": NAN}
        placed = self._placed(Method.TSNE, vectors, positions, last, figures, began, exaggerated=exaggerated)
        if last is None:
            self._floor = self._noise_floor(vectors, held)
        placed.figures["noise_floor"] = self._floor
        placed.figures["cpu_seconds"] = time.process_time() - began
        return placed

    def _known(self, method: Method, vectors: Vectors) -> _Last | None:
        last = self._last.get(method)
        return last if last is not None and len(last.vectors) == len(vectors) else None

    def _lay_out(
        self, vectors: Vectors, held: npt.NDArray[np.bool_], last: _Last | None, effort: Effort
    ) -> tuple[npt.NDArray[np.float64], int]:
        """Return where the points are, and how many of them were fitted."""
        if backend() is None:
            raise CannotPlaceError(missing_words())
        values = centred(vectors[held])
        fitted = sample(len(values), LANDMARKS, self._seed) if len(values) > MOST_FITTED else np.arange(len(values))
        start = self._start(values[fitted], None if last is None else last.positions[held][fitted])
        perplexity = min(self._perplexity, max((len(fitted) - 1) / 3, 1.0))
        others = np.setdiff1d(np.arange(len(values)), fitted)
        fit = chosen().fit(values[fitted], start, perplexity, effort, self._seed, more=others.size > 0)
        positions = np.empty((len(values), self._dims))
        positions[fitted] = fit.positions
        if others.size:
            positions[others] = fit.place(values[others])
        return _spread(positions, held), len(fitted)

    def _start(
        self, values: npt.NDArray[np.float64], before: npt.NDArray[np.float64] | None
    ) -> npt.NDArray[np.float64]:
        """Return where a fit begins; points that had no position begin in the middle of the others."""
        scatter = np.random.default_rng([self._seed, len(values)]).standard_normal((len(values), self._dims))
        if before is None or not np.isfinite(before).any():
            scores = principal_components(values, self._dims)
            size = float(scores[:, 0].std())
            # A little scatter parts points that are equal.
            return _SMALL * ((scores / size if size > 0 else scores) + 0.01 * scatter)
        known = np.asarray(np.isfinite(before).all(axis=1))
        size = float(before[known].std())
        return np.where(known[:, None], before, before[known].mean(axis=0) + 0.1 * size * scatter)

    def _noise_floor(self, vectors: Vectors, held: npt.NDArray[np.bool_]) -> float:
        """Return how far points move where nothing changes but by a little noise."""
        values = vectors[held].astype(np.float64)
        noise = np.random.default_rng([self._seed, 1]).standard_normal(values.shape)
        disturbed = np.full(vectors.shape, np.nan)
        disturbed[held] = values + _NOISE * values.std(axis=0) * noise
        last = self._last[Method.TSNE]
        again, _fitted = self._lay_out(disturbed, held, last, STILL)
        return drift(align(again, last.positions), last.positions)

    def _placed(
        self,
        method: Method,
        vectors: Vectors,
        positions: npt.NDArray[np.float64],
        last: _Last | None,
        figures: dict[str, float],
        began: float,
        *,
        exaggerated: bool,
    ) -> Placed:
        """Judge a picture, and keep what the next one needs."""
        held = np.isfinite(positions).all(axis=1)
        trust, recall = faithfulness(vectors[held], positions[held], self._seed)
        figures |= {
            "trustworthiness": trust,
            "recall": recall,
            "drift": NAN if last is None else drift(positions, last.positions),
            "similarity": NAN if last is None else similarity(vectors, last.vectors),
            "cpu_seconds": time.process_time() - began,
        }
        reference = vectors if exaggerated or last is None else last.exaggerated
        self._last[method] = _Last(vectors, positions, reference)
        return Placed(method, positions.astype(np.float32), figures)


def similarity(one: Vectors, other: Vectors) -> float:
    """Return the linear CKA of two sets of vectors of the same points, over those that are finite in both.

    Args:
        one: [points, width].
        other: [points, other width].
    """
    both = np.isfinite(one).all(axis=1) & np.isfinite(other).all(axis=1)
    first, second = centred(one[both]), centred(other[both])
    norms = np.linalg.norm(first.T @ first) * np.linalg.norm(second.T @ second)
    return float(np.linalg.norm(first.T @ second) ** 2 / norms) if norms > 0 else NAN


def backwards(
    vectors: Sequence[Callable[[], Vectors]],
    method: Method = Method.TSNE,
    dims: int = 2,
    perplexity: float = 30,
    seed: int = 0,
) -> Iterator[tuple[int, Placed]]:
    """Lay out steps from the last to the first, each from the picture of the step after it.

    The end of a training is where the structure is: what comes before is seen to grow into that.

    Args:
        vectors: By step, what returns its vectors, [points, width].
        method: How.
        dims: 2 or 3.
        perplexity: As for Course; for UMAP the number of neighbours.
        seed: Of whatever is drawn.

    Yields:
        The index of a step, and where its points are. The drift and the similarity are to the step after it.

    Raises:
        CannotPlaceError: If a step has too few finite vectors, or the library is missing.
    """
    course = _Backwards(dims, perplexity, seed)
    place = {Method.TSNE: course.tsne, Method.PCA: course.pca, Method.UMAP: course.umap}[method]
    for index in reversed(range(len(vectors))):
        yield index, place(vectors[index]())


class _Backwards(Course):
    """Pictures from the last step on: only that is fitted cold, and the others follow it without exaggeration."""

    def tsne(self, vectors: Vectors) -> Placed:
        """Return the points as t-SNE lays them out."""
        last = self._known(Method.TSNE, vectors)
        if last is not None:
            last.exaggerated = vectors
        return super().tsne(vectors)

    def umap(self, vectors: Vectors) -> Placed:
        """Return the points as UMAP lays them out.

        Raises:
            CannotPlaceError: If umap-learn is not installed.
        """
        try:
            from umap import UMAP
        except ImportError as error:
            raise CannotPlaceError("umap-learn is not installed; pip install 'tb-netviz-plugin[umap]'") from error
        began = time.process_time()
        held = _held(vectors)
        last = self._known(Method.UMAP, vectors)
        values = centred(vectors[held])
        start = self._start(values, None if last is None else last.positions[held])
        if last is None:
            start = 10 / _SMALL * start / max(float(np.abs(start).max()) / _SMALL, 1.0)
        neighbours = int(min(self._perplexity, len(values) - 1))
        epochs = None if last is None else _EPOCHS
        estimator = UMAP(max(neighbours, 2), self._dims, init=start, n_epochs=epochs, random_state=self._seed, n_jobs=1)
        positions = _spread(np.asarray(estimator.fit_transform(values), np.float64), held)
        if last is not None:
            positions = align(positions, last.positions)
        figures = {"fitted": float(held.sum()), "exaggerated": 0.0, "noise_floor": NAN}
        return self._placed(Method.UMAP, vectors, positions, last, figures, began, exaggerated=False)


def _held(vectors: Vectors) -> npt.NDArray[np.bool_]:
    """Return which vectors are finite.

    Raises:
        CannotPlaceError: If they are too few.
    """
    if vectors.ndim != 2 or vectors.shape[1] == 0:
        raise CannotPlaceError(f"needs vectors, [points, width], and got the shape {vectors.shape}")
    held = np.isfinite(vectors).all(axis=1)
    if held.sum() < FEWEST:
        raise CannotPlaceError(f"needs at least {FEWEST} points with finite vectors, and there are {int(held.sum())}")
    return np.asarray(held, np.bool_)


def _spread(positions: npt.NDArray[np.float64], held: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Return positions for all points, NaN for those that were not held."""
    found = np.full((len(held), positions.shape[1]), np.nan)
    found[held] = positions
    return found
