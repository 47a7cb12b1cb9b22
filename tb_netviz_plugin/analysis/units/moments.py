"""Which units died together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tb_netviz_plugin.analysis.units.judge import Judged


@dataclass(frozen=True, slots=True)
class Death:
    """Units of one activation whose silence began in the same record.

    Attributes:
        activation: Its index.
        step: First step of that record.
        units: Which units.
        of: How many the activation has.
        samples: Fewest samples over which one of them is silent.
        revived: How many of them fire again by the end.
    """

    activation: int
    step: float
    units: tuple[int, ...]
    of: int
    samples: float
    revived: int


def moments(judged: Mapping[int, Judged]) -> list[Death]:
    """Return which units of which activations died together: the largest groups first, then the earliest."""
    found = [death for activation, units in judged.items() for death in _of_activation(activation, units)]
    return sorted(found, key=lambda death: (-len(death.units), death.step, death.activation))


def _of_activation(activation: int, judged: Judged) -> list[Death]:
    deaths = judged.deaths
    order = np.lexsort((deaths.units, deaths.first))
    groups = np.split(order, np.flatnonzero(np.diff(deaths.first[order])) + 1) if order.size else []
    return [
        Death(
            activation,
            float(judged.looks.first_steps[deaths.first[group[0]]]),
            tuple(deaths.units[group].tolist()),
            len(judged.states),
            float(deaths.samples[group].min()),
            int(deaths.revived[group].sum()),
        )
        for group in groups
    ]
