"""Leaps of a loss that came of what went in, and of no step of the optimizer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tb_netviz_plugin.analysis.outputs import Values
from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.course import Course
from tb_netviz_plugin.diagnosis.movement import movement, set_from_outside
from tb_netviz_plugin.diagnosis.stretches import PERSISTING

_BEFORE = 31
"""Records before a leap that it is compared with."""
AT_ONCE = 2
"""Records by which what was seen of a leap may lie apart from it."""
RISEN = 0.1
"""Share of its height that a leap has reached where it begins."""
_HIGH = 10.0
"""Deviations of single records before it that it is high."""
_SUDDEN = 0.5
"""Share of its height that it has reached in its first record."""
_LARGE, _ORDINARY = 0.9, 1.5
"""Quantile of the steps so far that is a large one, and its factor up to which a step did not bring a leap about."""
_FAR, _OTHER = 2.0, 1.2
"""Factor over those before to which outputs go that blew up, and by which values differ that are of another kind."""


@dataclass(frozen=True, slots=True)
class Leap:
    """The highest leap of a loss.

    Attributes:
        step: At which it began.
        before: How the loss went up to it.
        since: How it went from then on.
    """

    step: float
    before: Course
    since: Course


def leap_of_data(case: Case, loss: Course) -> Leap | None:
    """Return the highest leap of a loss, if it was that of other data: of a wrong batch, or of a harder task."""
    found = _highest(loss)
    if found is None or not steps_were_ordinary(case, found.step) or not _differs(case, found.step):
        return None
    near = np.abs(case.steps - found.step) <= _reach(case)
    return None if (set_from_outside(case, range(len(case.network.layers))) & near).any() else found


def steps_were_ordinary(case: Case, step: float) -> bool:
    """Whether the steps just before this one were no larger than those before, so that they brought no leap about."""
    past = np.flatnonzero(case.steps < step)[-_BEFORE:]
    sizes = movement(case, range(len(case.network.layers))).ratios[past]
    if np.isfinite(sizes).sum() < 2 * PERSISTING:
        return False
    return bool(np.nanmax(sizes[-AT_ONCE - 1 :], initial=0.0) <= _ORDINARY * np.nanquantile(sizes, _LARGE))


def _highest(loss: Course) -> Leap | None:
    """Return the highest leap that came at once, after something had been learned."""
    if len(loss.values) < 3 * PERSISTING:
        return None
    usual = np.array([np.median(loss.values[max(0, at - 2 * PERSISTING) : at]) for at in range(1, len(loss.values))])
    worst = 2 * PERSISTING + int(np.argmax((loss.values[1:] - usual)[2 * PERSISTING - 1 :]))
    level = float(usual[worst - 1])
    height = float(loss.values[worst]) - level
    if height <= 0:
        return None
    onset = int(np.flatnonzero(loss.values[:worst] <= level + RISEN * height)[-1]) + 1
    before, since = loss.upto(loss.steps[onset - 1]), loss.since(loss.steps[onset])
    if before is None or since is None or height < max(before.gain, _HIGH * before.noise):
        return None
    sudden = loss.values[onset] - level >= _SUDDEN * height
    return Leap(float(loss.steps[onset]), before, since) if sudden else None


def _differs(case: Case, step: float) -> bool:
    """Whether what went in was of another kind, or wrong outputs were none that the network didn't give before."""
    found = case.outputs
    if found is None:
        return False
    at = np.flatnonzero((found.steps >= step) & (found.steps <= step + _reach(case)))
    first = int(np.searchsorted(found.steps, step))
    past = slice(max(0, first - _BEFORE), first)
    if not at.size or first < 2 * PERSISTING:
        return False
    far = _reached(found.outputs)
    ordinary = far[at[0]] <= _FAR * np.fmax.reduce(far[past])
    return bool(ordinary) or any(_is_other(values, past, int(at[0])) for values in (found.inputs, found.targets))


def _is_other(values: Values, past: slice, at: int) -> bool:
    """Whether values go further than any before, or deviate by more or less."""
    far, deviations = _reached(values), values.std[past]
    least, most = np.fmin.reduce(deviations) / _OTHER, np.fmax.reduce(deviations) * _OTHER
    return bool(far[at] > _OTHER * np.fmax.reduce(far[past]) or values.std[at] < least or values.std[at] > most)


def _reached(values: Values) -> Floats:
    return np.fmax(np.abs(values.smallest), np.abs(values.largest))


def _reach(case: Case) -> float:
    return AT_ONCE * float(np.median(np.diff(case.steps))) if case.steps.size > 1 else 0.0
