"""Puts the scalars that a user logs at training steps, whatever the user counts: steps, epochs, samples or batches."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

NEAR = 1
"""Steps by which a number may differ from that of the training step in progress, to be taken for it."""


@dataclass
class _Axis:
    """What was last heard of one scalar.

    Attributes:
        number: The step that it was logged with; -1 before the first one.
        now: Training step then; -1 before the first one.
        otherwise: Whether something else than training steps is counted.
        told: Whether a history was told, with the numbers of steps that are over.
    """

    number: int = -1
    now: int = -1
    otherwise: bool = False
    told: bool = False


class StepAxes:
    """Tells at which training step a value belongs.

    A number about that of the training step in progress is taken at its word; so are those of a history, of which
    several come while training stands still, and that none is left out of. Else something other than steps is counted,
    and a value belongs to the step in which it was logged. Of a history told at the end the first number can't be told
    from that of an epoch.
    """

    def __init__(self) -> None:
        self._axes: dict[Hashable, _Axis] = {}

    def place(self, scalar: Hashable, number: int, now: int) -> int:
        """Return the training step of a value.

        Args:
            scalar: Tells the scalar from others.
            number: The step that it was logged with.
            now: Index of the training step in progress.
        """
        axis = self._axes.setdefault(scalar, _Axis())
        step = _place(axis, number, now)
        axis.number, axis.now = number, now
        return step


def _place(axis: _Axis, number: int, now: int) -> int:
    if abs(number - now) <= NEAR:
        axis.otherwise = False
        return number
    if number > now:
        axis.otherwise = True
    if axis.otherwise:
        return now
    if axis.now == now and number > axis.number:
        axis.told = True
    elif not (axis.told and axis.now < number):
        axis.otherwise = 0 <= axis.now < now
        return now
    return number
