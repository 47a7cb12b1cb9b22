"""Turning a picture of points as its predecessor lies: neither t-SNE nor PCA knows which way is up."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]


def align(positions: Array, like: Array) -> npt.NDArray[np.float64]:
    """Move, turn and mirror `positions` so that they lie as near to those in `like` as they can; sizes stay.

    The orthogonal Procrustes problem (Schönemann, 1966), over the points that have a position in both.

    Args:
        positions: [points, dims]; NaN where a point has none.
        like: Likewise.
    """
    values, target = np.asarray(positions, np.float64), np.asarray(like, np.float64)
    both = np.isfinite(values).all(axis=1) & np.isfinite(target).all(axis=1)
    if not both.any():
        return values
    middle, goal = values[both].mean(axis=0), target[both].mean(axis=0)
    left, _sizes, right = np.linalg.svd((values[both] - middle).T @ (target[both] - goal))
    turned: npt.NDArray[np.float64] = (values - middle) @ (left @ right) + goal
    return turned


def drift(positions: Array, before: Array) -> float:
    """Return the mean way of the points that have a position in both, over the root mean square radius of `before`."""
    both = np.isfinite(positions).all(axis=1) & np.isfinite(before).all(axis=1)
    if not both.any():
        return float("nan")
    now, then = np.asarray(positions, np.float64)[both], np.asarray(before, np.float64)[both]
    radius = float(np.sqrt(np.square(then - then.mean(axis=0)).sum(axis=1).mean()))
    return float(np.linalg.norm(now - then, axis=1).mean() / radius) if radius > 0 else float("nan")
