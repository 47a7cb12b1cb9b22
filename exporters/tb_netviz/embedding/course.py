"""The pictures of one embedding over the steps of a training: each is fitted from the last, and turned as it lies."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from tb_netviz.embedding import umaps
from tb_netviz.embedding.alignment import align, drift
from tb_netviz.embedding.landmarks import MOST_FITTED, landmarks, lay_out, start
from tb_netviz.embedding.neighbours import faithfulness
from tb_netviz.embedding.pca import centred, narrowed, principal_components
from tb_netviz.embedding.placed import (
    Bools,
    CannotPlaceError,
    Float64,
    Last,
    Placed,
    Vectors,
    compared,
    finite,
    similarity,
    spread,
)
from tb_netviz.embedding.tsne import COLD, STILL, WARM, Effort, backend, broken, missing_words
from tb_netviz_plugin.schema.embedding import Method

__all__ = ["CannotPlaceError", "Course", "Placed", "backend", "backwards", "broken", "missing_words"]

MOVED = 1e-3
"""What CKA lacks of 1 from one step to the next where a fit gets all its iterations; they fall as its square root."""
LEAST_SHARE = 1 / 3
"""Of the iterations, where nothing has moved."""
NOISE = 0.02
"""Share of their deviation by which vectors are disturbed to see how far points move for nothing."""
NAN = float("nan")


class Course:
    """The pictures of one embedding, step after step.

    Args:
        dims: 2 or 3.
        perplexity: About how many neighbours a point has in t-SNE; less where there are few points.
        seed: Of whatever is drawn.

    Raises:
        ValueError: If `dims` or `perplexity` makes no sense.
    """

    most_fitted: int = MOST_FITTED
    alike = 0.98
    """Linear CKA from which on vectors are much the same as those of the fit that was exaggerated last."""

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
        self._last: dict[Method, Last] = {}
        self._floors: dict[Method, float] = {}

    def pca(self, vectors: Vectors) -> Placed:
        """Return the points on their first principal components, turned as they lay the last time.

        Args:
            vectors: [points, width].

        Raises:
            CannotPlaceError: If too few of them are finite.
        """
        began = time.process_time()
        held = finite(vectors)
        last = self._known(Method.PCA, vectors)
        positions = principal_components(vectors[held], self._dims)
        if Method.PCA not in self._floors:
            still = principal_components(centred(vectors[held]), self._dims)
            again = principal_components(self._disturbed(vectors[held]), self._dims)
            self._floors[Method.PCA] = drift(align(again, still), still)
        now = Last(_aligned(spread(positions, held), last), compared(vectors))
        return self._judged(Method.PCA, vectors, now, {"fitted": held.sum(), "exaggerated": 0}, began)

    def tsne(self, vectors: Vectors) -> Placed:
        """Return the points as t-SNE lays them out, from where they were the last time.

        The first time that is from nothing. Later a fit begins with some iterations in which attraction is exaggerated,
        where the vectors have changed since there were such ones, and goes on the shorter the less they have changed.

        Args:
            vectors: [points, width].

        Raises:
            CannotPlaceError: If too few of them are finite, all are the same, or there is no library that could.
        """
        began = time.process_time()
        held = finite(vectors)
        last = self._known(Method.TSNE, vectors)
        some = compared(vectors)
        effort = self._effort(some, last)
        positions, fitted = self._fit(vectors[held], held, last, effort)
        now = Last(_aligned(positions, last), some, some if last is None or effort.exaggerated else last.exaggerated)
        if Method.TSNE not in self._floors:
            again, _ = self._fit(self._disturbed(vectors[held]), held, now, STILL)
            self._floors[Method.TSNE] = drift(align(again, now.positions), now.positions)
        return self._judged(Method.TSNE, vectors, now, {"fitted": fitted, "exaggerated": effort.exaggerated > 0}, began)

    def _known(self, method: Method, vectors: Vectors) -> Last | None:
        """Return what the last picture has left, if it was of as many points."""
        if any(len(last.positions) != len(vectors) for last in self._last.values()):
            self.restart()
        return self._last.get(method)

    def _effort(self, vectors: Vectors, last: Last | None) -> Effort:
        """Return how long a fit goes on that begins with the last picture."""
        if last is None:
            return COLD
        if not similarity(vectors, last.exaggerated) >= self.alike:
            return WARM
        moved = 1 - similarity(vectors, last.vectors)
        share = np.sqrt(np.clip(moved / MOVED, LEAST_SHARE**2, 1))
        return Effort(STILL.exaggeration, STILL.exaggerated, round(STILL.plain * share))

    def _fit(self, some: Vectors, held: Bools, last: Last | None, effort: Effort) -> tuple[Float64, int]:
        """Return where the points are, [points, dims], and how many of them were fitted."""
        if backend() is None:
            raise CannotPlaceError(missing_words())
        fitted = landmarks(held, self.most_fitted, self._seed)
        before = self._before(held, last)
        positions = lay_out(_varying(some), fitted, before, self._perplexity, effort, self._seed)
        return spread(positions, held), len(fitted)

    def _before(self, held: Bools, last: Last | None) -> Float64:
        """Return where the points that are held were the last time, NaN where that was nowhere."""
        return np.full((held.sum(), self._dims), np.nan) if last is None else last.positions[held]

    def _disturbed(self, values: Vectors) -> Float64:
        """Return vectors around their mean, with a little noise."""
        exact = centred(values)
        noise = np.random.default_rng([self._seed, 1]).standard_normal(values.shape)
        return np.asarray(exact + NOISE * exact.std(axis=0) * noise)

    def _judged(self, method: Method, vectors: Vectors, now: Last, figures: dict[str, float], began: float) -> Placed:
        """Return a picture with what is known of it, and keep what the next one needs."""
        held = np.isfinite(now.positions).all(axis=1)
        trustworthiness, recall = faithfulness(narrowed(centred(vectors[held])), now.positions[held], self._seed)
        last = self._last.get(method)
        figures = {name: float(value) for name, value in figures.items()} | {
            "trustworthiness": trustworthiness,
            "recall": recall,
            "drift": NAN if last is None else drift(now.positions, last.positions),
            "noise_floor": self._floors.get(method, NAN),
            "similarity": NAN if last is None else similarity(now.vectors, last.vectors),
            "cpu_seconds": time.process_time() - began,
        }
        self._last[method] = now
        return Placed(method, now.positions.astype(np.float32), figures)


def _varying(vectors: Vectors) -> Float64:
    """Return vectors around their mean, and narrow.

    Raises:
        CannotPlaceError: If all are the same.
    """
    if (vectors == vectors[0]).all():
        raise CannotPlaceError(f"needs vectors that differ, and all {len(vectors)} are the same")
    return narrowed(centred(vectors))


def _aligned(positions: Float64, last: Last | None) -> Float64:
    return positions if last is None else align(positions, last.positions)


def backwards(
    vectors: Sequence[Callable[[], Vectors]],
    method: Method = Method.TSNE,
    dims: int = 2,
    perplexity: float = 30,
    seed: int = 0,
) -> Iterator[tuple[int, Placed]]:
    """Lay out steps from the last to the first, each from the picture of the step after it, with all points fitted.

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
    course = _Offline(dims, perplexity, seed)
    place = {Method.TSNE: course.tsne, Method.PCA: course.pca, Method.UMAP: course.umap}[method]
    for index in reversed(range(len(vectors))):
        yield index, place(vectors[index]())


class _Offline(Course):
    """Pictures that nobody waits for: all points are fitted, by UMAP too."""

    most_fitted = sys.maxsize
    alike = 0.9  # Backwards structure only dissolves, which needs exaggeration less often.

    def umap(self, vectors: Vectors) -> Placed:
        """Return the points as UMAP lays them out.

        Raises:
            CannotPlaceError: If too few of them are finite, all are the same, or umap-learn is not installed.
        """
        began = time.process_time()
        held = finite(vectors)
        last = self._known(Method.UMAP, vectors)
        values, before = _varying(vectors[held]), self._before(held, last)
        found = umaps.fit(
            values, start(values, before, self._seed), self._perplexity, self._seed, warm=last is not None
        )
        now = Last(_aligned(spread(found, held), last), compared(vectors))
        return self._judged(Method.UMAP, vectors, now, {"fitted": held.sum(), "exaggerated": 0}, began)
