"""Stretches of records over which something holds, and the levels of curves over such stretches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tb_netviz_plugin.analysis.records import Bools, Floats
from tb_netviz_plugin.analysis.series import running_median

PERSISTING = 5
"""Records in a row that evidence has to hold for, at least."""
_NEAR, _MOST = 0.8, 0.5
"""Share of a limit that is near it, and share of a stretch that has to be above it."""
END = 0.1
"""Share of the run that its end is."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Records in a row, by index: from `first` up to and including `last`."""

    first: int
    last: int


def longest(holds: Bools, known: Bools | None = None) -> Stretch | None:
    """Return the longest stretch of the known records over which `holds` is true; the latest of those of equal length.

    Args:
        holds: By record, [T].
        known: Records that say anything, [T]; the others neither end a stretch nor make it longer. All by default.
    """
    indices = np.arange(len(holds)) if known is None else np.flatnonzero(known)
    edges = np.diff(np.concatenate([[0], holds[indices].astype(np.int8), [0]]))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    if not starts.size:
        return None
    chosen = len(starts) - 1 - int(np.argmax((ends - starts)[::-1]))
    return Stretch(int(indices[starts[chosen]]), int(indices[ends[chosen] - 1]))


def above(values: Floats, limit: float) -> Stretch | None:
    """Return the longest stretch over which values, [T], are above a limit.

    What swings about the limit is one stretch, and begins where it came near. Records without a number are passed over.
    """
    known = np.isfinite(values)
    filled = np.nan_to_num(values)
    stretch = longest(filled >= _NEAR * limit, known)
    if stretch is None:
        return None
    within = slice(stretch.first, stretch.last + 1)
    return stretch if (filled[within][known[within]] >= limit).mean() >= _MOST else longest(filled >= limit, known)


def lasting(stretch: Stretch | None, steps: Floats, share: float) -> bool:
    """Whether a stretch holds for enough records and for this share of the run's steps."""
    if stretch is None or stretch.last - stretch.first + 1 < PERSISTING:
        return False
    return bool(steps[stretch.last] - steps[stretch.first] >= share * (steps[-1] - steps[0]))


def to_the_end(holds: Bools, known: Bools) -> Stretch | None:
    """Return the stretch of known records at the end over which `holds` is true."""
    indices = np.flatnonzero(known)
    broken = np.flatnonzero(~holds[indices])
    first = int(broken[-1]) + 1 if broken.size else 0
    return Stretch(int(indices[first]), int(indices[-1])) if first < indices.size else None


def smooth(values: Floats, width: int = PERSISTING) -> Floats:
    """Return the running median of values without gaps, [T]."""
    return running_median(values, width) if len(values) >= width else values


def at_end(steps: Floats, share: float = END) -> Bools:
    """Return which records, [T], are in the last `share` of the run, or among the last few where it has few."""
    late: Bools = steps >= steps[-1] - share * (steps[-1] - steps[0])
    late[-PERSISTING:] = True
    return late
