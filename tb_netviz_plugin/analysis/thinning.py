"""Fewer points of a series, such that a drawing of them looks the same."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from tb_netviz_plugin.analysis.placement import Indices
from tb_netviz_plugin.analysis.records import Floats

_KEPT = 3
"""Points that are kept of each stretch: the lowest, the highest, and the first that is no number."""
_MARKED = 4
"""The first point, the last, the one where something begins, and the one before that."""


def thin(steps: Floats, values: Floats, most: int, onset: float = np.nan) -> Indices:
    """Return the indices of the points that are kept, in increasing order.

    Kept are the first and the last, the last one before `onset` and the one from there on, and of equally long
    stretches between them the lowest, the highest, and the first that is NaN or infinite.

    Args:
        steps: Increasing, [T].
        values: [T].
        most: How many are kept at most; at least 7.
        onset: The step at which something begins; NaN for none.
    """
    count = len(steps)
    if count <= most:
        return np.arange(count)
    edges = np.linspace(0, count, (most - _MARKED) // _KEPT + 1).astype(np.intp)
    finite = np.isfinite(values)
    kept = [0, count - 1, *_around(steps, onset)]
    for first, after in pairwise(edges):
        numbers = first + np.flatnonzero(finite[first:after])
        others = first + np.flatnonzero(~finite[first:after])[:1]
        if numbers.size:
            kept += [numbers[values[numbers].argmin()], numbers[values[numbers].argmax()]]
        kept += others.tolist()
    return np.unique(np.array(kept, np.intp))


def _around(steps: Floats, onset: float) -> list[int]:
    if np.isnan(onset):
        return []
    at = int(np.searchsorted(steps, onset))
    return [index for index in (at - 1, at) if 0 <= index < len(steps)]
