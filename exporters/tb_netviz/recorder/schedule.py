"""When steps are observed and which of them share a record. All by step, never by time."""

from __future__ import annotations

import operator
from typing import NamedTuple, Protocol

from tb_netviz_plugin.schema.bins import EVERY_RECORDS

RECORDS_PER_OCTAVE = 128
"""Records for each doubling of the step count."""


def stride(step: int, per_octave: int = RECORDS_PER_OCTAVE) -> int:
    """Return how many steps the record of `step` stands for: a power of two that grows with the run.

    2^floor(log2(step / per_octave)), at least 1; 128 an octave give 1,348 records at 100,000 steps and 1,781 at a
    million, below the 2,000 points a tag that TensorBoard keeps.
    """
    octave = max(operator.index(step) // per_octave, 1)
    return 1 << (octave.bit_length() - 1)


def window_start(step: int, per_octave: int = RECORDS_PER_OCTAVE) -> int:
    """Return the first step of the window to which `step` belongs."""
    return step - step % stride(step, per_octave)


class Plan(NamedTuple):
    """How often steps are observed, from some step on."""

    interval: int
    start: int


class Schedule(Protocol):
    """Decides which steps are observed.

    Attributes:
        shared: Whether a plan holds only once `adopt` is called.
        least: The shortest interval that may be chosen.
    """

    shared: bool
    least: int

    def interval_at(self, step: int) -> int:
        """Return every how many steps one is observed around `step`."""

    def observes(self, step: int) -> bool:
        """Whether `step` is observed. The answer for `step` and the one after it is final once `step` has begun."""

    def finish(self, step: int, *, observed: bool, training: float, cost: float) -> None:
        """Learn what a step took: `training` seconds without us, and `cost` seconds in us."""

    def proposal(self, step: int) -> Plan:
        """Return what should hold, at `step`; the earliest start is two steps later."""

    def adopt(self, plan: Plan) -> None:
        """Follow what was proposed, here or in another process."""


class FixedSchedule:
    """Every `every`-th step.

    Raises:
        ValueError: If `every` is no positive whole number.
    """

    def __init__(self, every: int, *, shared: bool = False) -> None:
        self._every = positive_integer("every", every)
        self.shared = shared
        self.least = 1  # Nothing is chosen.

    def interval_at(self, step: int) -> int:  # noqa: ARG002  The same at every step.
        """Return `every`."""
        return self._every

    def observes(self, step: int) -> bool:
        """Whether `step` is a multiple of `every`."""
        return step % self._every == 0

    def finish(self, step: int, *, observed: bool, training: float, cost: float) -> None:
        """Nothing to learn."""

    def proposal(self, step: int) -> Plan:  # noqa: ARG002  The same at every step.
        """Return `every`, from the first step on."""
        return Plan(self._every, 0)

    def adopt(self, plan: Plan) -> None:
        """Nothing to change."""


def bins_due(step: int, interval: int) -> bool:
    """Whether the observation of `step` is to have bins, in a run of several processes.

    That is so at the first one of every eighth record. It follows from what all processes know, since what they have
    written does not.

    Args:
        step: An observed step.
        interval: Every how many steps one is observed around it.
    """
    record = max(stride(step), interval)
    return (step // record) % EVERY_RECORDS == 0 and step % record < interval


def positive_integer(name: str, value: object) -> int:
    """Return `value` as an int.

    Raises:
        ValueError: If it is no positive whole number.
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # Anything may have been given.
    except TypeError:
        number = 0
    if number < 1 or isinstance(value, bool):
        raise ValueError(f"{name} must be a whole number of steps, at least 1, got {value!r}")
    return number
