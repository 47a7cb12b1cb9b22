"""From how much evidence on a unit is called what it is called."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UnitThresholds:
    """The numbers in the definitions of the states.

    Attributes:
        samples: Samples that a silent stretch has to hold at least.
        windows: Consecutive records that it has to span at least.
        sparse: Share of the samples below which a unit that fires is sparse.
        saturated: Share of its values from which on a unit is saturated.
        flat: Share of the deviation that the units of its activation have, at or below which a unit doesn't vary.
        chance: How likely it may be that a unit which fires as rarely as it did before is silent for so long.
    """

    samples: int = 1000
    windows: int = 2
    sparse: float = 0.01
    saturated: float = 0.95
    flat: float = 1e-3
    chance: float = 1e-3
