"""What the vectors of a step tell by themselves, whatever the picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tb_netviz.embedding.neighbours import MOST_ASKED, NEIGHBOURS, Indices, nearest, sample
from tb_netviz.embedding.pca import centred, narrowed

Array = npt.NDArray[np.floating[Any]]
Float64 = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

_MOST_POINTS = 5_000
"""Points that measures stand on."""
_MOST_SQUARE = 1_024
"""Of these where there are as many numbers to a vector, whose eigenvalues would take minutes otherwise."""
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
    some = held[sample(len(held), _MOST_POINTS, seed)]
    found = {"points": float(len(held)), "effective_rank": effective_rank(centred(vectors[some]))}
    told = held[:0] if classes is None else held[_of_several(classes[held])]
    if not told.size or classes is None:
        return found | {"fisher_ratio": NAN, "probe_accuracy": NAN, "knn_accuracy": NAN}
    told = told[sample(len(told), _MOST_POINTS, seed)]
    labels = np.unique(classes[told], return_inverse=True)[1]
    values = narrowed(centred(vectors[told]))
    return found | {
        "fisher_ratio": fisher_ratio(values, labels),
        "probe_accuracy": probe_accuracy(values, labels, seed),
        "knn_accuracy": knn_accuracy(values, labels, seed),
    }


def effective_rank(values: Float64) -> float:
    """Return the exponential of the entropy of the eigenvalues of the covariance: how many directions are in use.

    Roy and Vetterli, *The effective rank*, 2007, over eigenvalues instead of singular values.
    """
    if not values.size or not values.any():
        return NAN
    if min(values.shape) > _MOST_SQUARE:
        values = values[sample(len(values), _MOST_SQUARE)]
        values = values - values.mean(axis=0)
    narrow = values if values.shape[1] <= values.shape[0] else values.T
    sizes = np.maximum(np.linalg.eigvalsh(narrow.T @ narrow), 0.0)
    shares = sizes[sizes > 0] / sizes.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def fisher_ratio(values: Float64, labels: Labels) -> float:
    """Return the scatter of the class means over the scatter within classes; infinite where there is none within."""
    counts = np.bincount(labels)
    means = _sums(values, labels, len(counts)) / counts[:, None]
    within = float(np.square(values - means[labels]).sum())
    between = float((counts * np.square(means - values.mean(axis=0)).sum(axis=1)).sum())
    if within <= 0:
        return float("inf") if between > 0 else NAN
    return between / within


def probe_accuracy(values: Float64, labels: Labels, seed: int) -> float:
    """Return the share of points that a ridge classifier, fitted to the half that they are not in, gets right."""
    order = np.random.default_rng([seed, len(values)]).permutation(len(values))
    right = [_right(values, labels, order[half::2], order[1 - half :: 2]) for half in range(2)]
    return float(np.concatenate(right).mean())


def knn_accuracy(values: Float64, labels: Labels, seed: int) -> float:
    """Return the share of points whose class is that of most of their nearest neighbours; the nearer win a draw."""
    asked = sample(len(values), MOST_ASKED, seed)
    near = min(NEIGHBOURS, len(values) - 1)
    neighbours, _ = nearest(values, near, asked)
    votes = np.zeros((len(asked), int(labels.max()) + 1))
    for place in range(near):
        votes[np.arange(len(asked)), labels[neighbours[:, place]]] += 1 + (near - place) / NEIGHBOURS**3
    return float((votes.argmax(axis=1) == labels[asked]).mean())


def _of_several(classes: Array) -> Indices:
    """Return the points whose class has others too; none where there are fewer than two such classes, or too many."""
    known = np.flatnonzero(np.isfinite(classes))
    _, labels, counts = np.unique(classes[known], return_inverse=True, return_counts=True)
    return known[counts[labels] > 1] if 2 <= (counts > 1).sum() <= _MOST_CLASSES else known[:0]


def _right(values: Float64, labels: Labels, fitted: Indices, asked: Indices) -> npt.NDArray[np.bool_]:
    """Return whether each of `asked` is told right by a ridge classifier of `fitted`."""
    targets = np.zeros((len(fitted), int(labels.max()) + 1))
    targets[np.arange(len(fitted)), labels[fitted]] = 1.0
    middle, mean = values[fitted].mean(axis=0), targets.mean(axis=0)
    scores = (values[asked] - middle) @ _ridge(values[fitted] - middle, targets - mean) + mean
    right: npt.NDArray[np.bool_] = scores.argmax(axis=1) == labels[asked]
    return right


def _ridge(inputs: Float64, targets: Float64) -> Float64:
    """Return the weights of a ridge regression, by whichever of the two normal equations is the smaller."""
    points, width = inputs.shape
    penalty = _RIDGE * float(np.square(inputs).sum()) / max(min(points, width), 1) + 1e-300
    if width <= points:
        solved = np.linalg.solve(inputs.T @ inputs + penalty * np.eye(width), inputs.T @ targets)
    else:
        solved = inputs.T @ np.linalg.solve(inputs @ inputs.T + penalty * np.eye(points), targets)
    return np.asarray(solved, np.float64)


def _sums(values: Float64, labels: Labels, classes: int) -> Float64:
    sums = np.zeros((classes, values.shape[1]))
    np.add.at(sums, labels, values)
    return sums
