"""What a unit can be, with the words for it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class UnitState(IntEnum):
    """State of a unit at a record. The codes travel to the tab and are final."""

    ALIVE = 0
    SPARSE = 1
    DEAD = 2
    SATURATED = 3
    FROZEN = 4
    NEVER_RUN = 5
    NOT_RECORDED = 6
    REVIVED = 7
    SILENT = 8

    @property
    def id(self) -> str:
        """Its name in URLs, commands and answers."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class StateWords:
    """A state, what a reader sees of it, and what it means."""

    state: UnitState
    label: str
    definition: str


UNIT_STATES: tuple[StateWords, ...] = (
    StateWords(UnitState.ALIVE, "Alive", "It responds to some samples, and none of the others holds."),
    StateWords(
        UnitState.SPARSE,
        "Sparse",
        "It fires, but in less than 1 % of the samples that were counted, which were 1,000 at least.",
    ),
    StateWords(
        UnitState.DEAD,
        "Dead",
        "It fired for no sample, over at least two records in a row that hold at least 1,000 samples, and for longer "
        "than a unit that fires as rarely as it did before stays silent by chance, once in 1,000 times. Of functions "
        "that are never exactly zero, such as GELU: its output no longer varied.",
    ),
    StateWords(
        UnitState.SATURATED,
        "Saturated",
        "At least 95 % of its values lie where the function is flat, over as many records and samples.",
    ),
    StateWords(
        UnitState.FROZEN, "Frozen", "It would be dead or saturated, but all parameters of its layer are frozen."
    ),
    StateWords(UnitState.NEVER_RUN, "Never run", "No sample has passed through it so far."),
    StateWords(
        UnitState.NOT_RECORDED,
        "Not recorded",
        "Nothing is known of it at this record: it was not observed, or its values are not finite.",
    ),
    StateWords(UnitState.REVIVED, "Revived", "It was dead before, and fires."),
    StateWords(UnitState.SILENT, "Silent", "It did not fire, but over too few samples or records to be called dead."),
)
"""In the order of their codes."""
