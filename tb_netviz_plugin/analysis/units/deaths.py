"""The moments at which single units died."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tb_netviz_plugin.analysis.placement import Indices
from tb_netviz_plugin.analysis.records import Bools, Floats
from tb_netviz_plugin.analysis.units.stretches import Stretches


@dataclass(frozen=True, slots=True)
class Deaths:
    """Silent stretches that made units dead, D of them; a unit that is revived may have several.

    Attributes:
        units: Index of the unit, [D].
        first: Index of the first record of the stretch, [D].
        samples: Samples that it holds, [D].
        revived: Whether the unit fires again by the end, [D].
    """

    units: Indices
    first: Indices
    samples: Floats
    revived: Bools


def find_deaths(dead: Stretches, alive: Bools, samples: Floats) -> Deaths:
    """Return when units died.

    Args:
        dead: Their silent stretches, [U, N].
        alive: Where they fire, [U, N].
        samples: Samples of each record, [N].
    """
    onset = dead.held.copy()
    onset[:, 1:] &= ~dead.held[:, :-1]
    units, places = np.nonzero(onset)
    first = dead.first[units, places].astype(np.intp)
    # A record that belongs to no stretch, or to a later one, has a later beginning.
    ends = (dead.first[units] <= first[:, None]).sum(axis=1)
    before = np.concatenate([[0.0], np.cumsum(samples)])
    last_fired = np.where(alive, np.arange(alive.shape[1]), -1).max(axis=1, initial=-1)
    return Deaths(units, first, before[ends] - before[first], last_fired[units] > places)
