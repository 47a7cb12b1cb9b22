"""In which order the units of an activation are shown."""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from tb_netviz_plugin.analysis.placement import Indices
from tb_netviz_plugin.analysis.units.judge import Judged
from tb_netviz_plugin.analysis.units.states import UnitState


class Sort(StrEnum):
    """What units are sorted by; those that are alike stand by index."""

    INDEX = "index"
    DEATH = "death"
    """Those that are dead at the last record first, the earliest death before all."""
    ACTIVITY = "activity"
    """The one that fired least at the last record first; those of which that is not known last."""


def ranked(judged: Judged, sort: Sort) -> Indices:
    """Return the indices of the units in that order."""
    if sort is Sort.DEATH:
        dead = judged.last == UnitState.DEAD
        return np.argsort(np.where(dead, judged.since, np.iinfo(np.intp).max), kind="stable")
    if sort is Sort.ACTIVITY:
        return np.argsort(judged.activity, kind="stable")  # NaN comes last.
    return np.arange(len(judged.states))
