"""How far a quantity falls or rises between two depths of a network, at every record."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.analysis.series import logarithm

_FEWEST = 3
"""Layers that make a depth."""
_AROUND = 3
"""Layers that a layer is seen among, so that what a single one differs in is no fall."""


@dataclass(frozen=True, slots=True)
class Fall:
    """How log10 of a quantity falls from the output of a network towards its input, at each of T records.

    Attributes:
        profile: Of each layer, without what only single ones differ in, input first, [L, T].
        size: Decades from the highest value down to the lowest that lies nearer the input, [T]; NaN where unknown.
    """

    profile: Floats
    size: Floats


def fall(values: Floats) -> Fall:
    """Return the fall of positive values, [L, T], of layers in the order of the forward pass.

    The layers from the lowest value on to the input have to lie low, too: a gradient that has vanished does not come
    back. A record at which fewer than three layers have a value has no fall.
    """
    profile = _without_single_ones(logarithm(values))
    if len(profile) < _FEWEST:
        return Fall(profile, np.full(profile.shape[1], np.nan))
    known = np.isfinite(profile)
    filled = np.where(known, profile, np.inf)
    emptied = np.where(known, profile, -np.inf)
    below = np.maximum.accumulate(emptied, axis=0)
    # At each candidate for the lower end, all that lies nearer the input is no higher than halfway up.
    top = np.maximum.accumulate(emptied[::-1], axis=0)[::-1]
    with np.errstate(invalid="ignore"):
        sizes = np.where(known & (below <= (top + filled) / 2), top - filled, 0.0)
    size = np.where(known.sum(axis=0) >= _FEWEST, sizes.max(axis=0), np.nan)
    return Fall(profile, np.where(np.isfinite(size), size, np.nan))


def rise(values: Floats) -> Fall:
    """Return likewise how much a quantity grows from the output towards the input."""
    turned = fall(values[::-1])
    return Fall(turned.profile[::-1], turned.size)


def _without_single_ones(logs: Floats) -> Floats:
    """Return the median of each layer and its neighbours; one at an end may go on as these do."""
    if len(logs) <= _AROUND + 1:
        return logs
    windows = np.stack([logs[at : len(logs) - _AROUND + 1 + at] for at in range(_AROUND)])
    ordered = np.sort(windows, axis=0)  # NaN last.
    count = np.isfinite(windows).sum(axis=0)
    low = np.take_along_axis(ordered, np.maximum(count - 1, 0)[None] // 2, axis=0)[0]
    high = np.take_along_axis(ordered, np.minimum(count, _AROUND - 1)[None] // 2, axis=0)[0]
    middle = np.where(count > 0, (low + high) / 2, np.nan)
    first, last = (_at_end(logs[end], middle[end], middle[inner]) for end, inner in ((0, 1), (-1, -2)))
    return np.concatenate([first[None], middle, last[None]])


def _at_end(own: Floats, next_one: Floats, inner: Floats) -> Floats:
    """Return the median of a value at the end, its neighbour's, and what these lead to (Tukey's end-point rule)."""
    ordered = np.sort(np.stack([own, next_one, 3 * next_one - 2 * inner]), axis=0)
    return np.where(np.isfinite(ordered[2]), ordered[1], next_one)
