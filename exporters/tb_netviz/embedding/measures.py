"""What the vectors of a step tell by themselves, whatever the picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tb_netviz.embedding.neighbours import NEIGHBOURS, distances, sample
from tb_netviz.embedding.pca import centred

Array = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.int64]

_MOST_POINTS = 5_000
"""Points that measures stand on; of the nearest neighbours as many as _MOST_PAIRED."""
_MOST_PAIRED = 2_000
_MOST_CLASSES = 1_000
"""Classes beyond which none of the measures says anything."""
_RIDGE = 1e-2
"""Penalty of the probe, over the mean of the eigenvalues of the covariance."""

NAN = float("nan")


def measure(vectors: Array, classes: Array | None, seed: int = 0) -> dict[str, float]:
    """Return the measures of a step: MEASURE_COLUMNS of the schema, but for the set.

    Args:
        vectors: [points, dims]; points whose vectors are not finite are left out.
        classes: Of each point an index, NaN where it has none; None where there are no classes.
        seed: Of the samples, and of which points the probe is tested on.
    """
    finite = np.isfinite(vectors).all(axis=1) if vectors.size else np.zeros(len(vectors), np.bool_)
    held = np.flatnonzero(finite)
    held = held[sample(len(held), _MOST_POINTS, seed)]
    values = centred(vectors[held])
    found = {"points": float(finite.sum()), "effective_rank": effective_rank(values)}
    labelled = np.zeros(len(held), np.bool_) if classes is None else np.isfinite(classes[held])
    labels = np.zeros(0, np.int64) if classes is None else np.unique(classes[held][labelled], return_inverse=True)[1]
    values, count = values[labelled], int(labels.max(initial=-1)) + 1
    tells = 2 <= count <= _MOST_CLASSES and count < len(labels)
    return found | {
        "fisher_ratio": fisher_ratio(values, labels) if tells else NAN,
        "probe_accuracy": probe_accuracy(values, labels, seed) if tells else NAN,
        "knn_accuracy": knn_accuracy(values, labels, seed) if tells else NAN,
    }


def effective_rank(values: npt.NDArray[np.float64]) -> float:
    """Return the exponential of the entropy of the eigenvalues of the covariance: how many directions are in use.

    Roy and Vetterli, *The effective rank*, 2007, over eigenvalues instead of singular values.
    """
    if not values.size or not values.any():
        return NAN
    narrow = values if values.shape[1] <= values.shape[0] else values.T
    sizes = np.maximum(np.linalg.eigvalsh(narrow.T @ narrow), 0.0)
    shares = sizes[sizes > 0] / sizes.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def fisher_ratio(values: npt.NDArray[np.float64], labels: Labels) -> float:
    """Return the scatter of the class means over the scatter within classes; infinite where there is none within."""
    counts = np.bincount(labels)
    means = _sums(values, labels, len(counts)) / counts[:, None]
    within = float(np.square(values - means[labels]).sum())
    between = float((counts * np.square(means - values.mean(axis=0)).sum(axis=1)).sum())
    if within <= 0:
        return float("inf") if between > 0 else NAN
    return between / within


def probe_accuracy(values: npt.NDArray[np.float64], labels: Labels, seed: int) -> float:
    """Return the share of one half of the points that a ridge classifier fitted to the other half gets right."""
    order = np.random.default_rng([seed, len(values)]).permutation(len(values))
    fitted, tested = order[::2], order[1::2]
    if not tested.size:
        return NAN
    inputs, middle = values[fitted], values[fitted].mean(axis=0)
    inputs = inputs - middle
    targets = np.zeros((len(fitted), int(labels.max()) + 1))
    targets[np.arange(len(fitted)), labels[fitted]] = 1.0
    mean = targets.mean(axis=0)
    weights = _ridge(inputs, targets - mean)
    scores = (values[tested] - middle) @ weights + mean
    return float((scores.argmax(axis=1) == labels[tested]).mean())


def knn_accuracy(values: npt.NDArray[np.float64], labels: Labels, seed: int) -> float:
    """Return the share of points whose class is that of most of their nearest neighbours; of a draw the lowest."""
    chosen = sample(len(values), _MOST_PAIRED, seed)
    near = min(NEIGHBOURS, len(chosen) - 1)
    if near < 1:
        return NAN
    nearest = np.argpartition(distances(values[chosen]), near - 1, axis=1)[:, :near]
    votes = np.sort(labels[chosen][nearest], axis=1)
    # How often each vote stands among those of its point.
    counts = (votes[:, :, None] == votes[:, None, :]).sum(axis=2)
    winners = np.take_along_axis(votes, counts.argmax(axis=1)[:, None], axis=1)[:, 0]
    return float((winners == labels[chosen]).mean())


def _ridge(inputs: npt.NDArray[np.float64], targets: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the weights of a ridge regression, by whichever of the two normal equations is the smaller."""
    points, width = inputs.shape
    penalty = _RIDGE * float(np.square(inputs).sum()) / max(min(points, width), 1) + 1e-300
    if width <= points:
        solved = np.linalg.solve(inputs.T @ inputs + penalty * np.eye(width), inputs.T @ targets)
    else:
        solved = inputs.T @ np.linalg.solve(inputs @ inputs.T + penalty * np.eye(points), targets)
    return np.asarray(solved, np.float64)


def _sums(values: npt.NDArray[np.float64], labels: Labels, classes: int) -> npt.NDArray[np.float64]:
    sums = np.zeros((classes, values.shape[1]))
    np.add.at(sums, labels, values)
    return sums
