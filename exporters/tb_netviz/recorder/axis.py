"""Puts the scalars that a user logs at training steps, whatever the user counts: steps, epochs, samples or batches."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

NEAR = 1
"""Steps by which a number may differ from that of the training step in progress, to be taken for it."""
MOST_HELD = 64
"""Values of one scalar that wait at most until it shows what is counted."""

_Value = TypeVar("_Value")


@dataclass
class _Axis(Generic[_Value]):
    """What is known of one scalar.

    Attributes:
        held: Values that wait: the number that they came with, the training step then, and the value.
        otherwise: Whether something else than training steps is counted.
        afterwards: Training step that stood still while a whole history was told; -1 where none did.
    """

    held: list[tuple[int, int, _Value]] = field(default_factory=list)
    otherwise: bool = False
    afterwards: int = -1


class StepAxes(Generic[_Value]):
    """Tells at which training step a value belongs. Safe to use from any thread.

    A number about that of the training step in progress is taken at its word. Of others the first values wait: if
    training has gone on by the next one, something else is counted, and each value belongs to the step in which it was
    logged; if it stands still, a history is being told, and the numbers are right.
    """

    def __init__(self) -> None:
        self._axes: dict[Hashable, _Axis[_Value]] = {}
        self._lock = threading.Lock()

    def place(self, scalar: Hashable, number: int, now: int, value: _Value) -> list[tuple[int, _Value]]:
        """Take a value, and return those whose place is known now.

        Args:
            scalar: Tells the scalar from others.
            number: The step that it was logged with.
            now: Index of the training step in progress.
            value: The value.

        Returns:
            Pairs of a step and a value, in the order in which they came.
        """
        with self._lock:
            return _place(self._axes.setdefault(scalar, _Axis()), number, now, value)

    def release(self, scalar: Hashable) -> list[tuple[int, _Value]]:
        """Return the values of a scalar that wait, where they most likely belong."""
        with self._lock:
            return _release(self._axes.setdefault(scalar, _Axis()))

    @property
    def waiting(self) -> list[Hashable]:
        """The scalars of which values wait."""
        with self._lock:
            return [scalar for scalar, axis in self._axes.items() if axis.held]


def _place(axis: _Axis[_Value], number: int, now: int, value: _Value) -> list[tuple[int, _Value]]:
    if axis.otherwise:
        return [(now, value)]
    if abs(number - now) <= NEAR or axis.afterwards == now:
        return [*_as_told(axis), (number, value)]
    axis.held.append((number, now, value))
    if now > axis.held[0][1]:
        axis.otherwise = True
        return _as_heard(axis)
    if len(axis.held) > MOST_HELD:
        axis.afterwards = now
        return _as_told(axis)
    return []


def _release(axis: _Axis[_Value]) -> list[tuple[int, _Value]]:
    """Return what waits: a single value where it was logged, several as a history."""
    return _as_heard(axis) if len(axis.held) == 1 else _as_told(axis)


def _as_told(axis: _Axis[_Value]) -> list[tuple[int, _Value]]:
    held, axis.held = axis.held, []
    return [(number, value) for number, _, value in held]


def _as_heard(axis: _Axis[_Value]) -> list[tuple[int, _Value]]:
    held, axis.held = axis.held, []
    return [(now, value) for _, now, value in held]
