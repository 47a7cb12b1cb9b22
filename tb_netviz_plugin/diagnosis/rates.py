"""Learning rates that were raised in the midst of a training that went well, or return to higher values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.course import training
from tb_netviz_plugin.diagnosis.movement import learning_rate

_BEGINS = 1.5
"""Factor over the rate before from which on it is being raised."""
_LEARNED = 0.5
"""Share of what the loss had gained in all that it had gained at the lower rate: in a warm-up it has not begun to."""
OUTGROWN = 3.0
"""Factor over the rate at which a loss was at its best to which one that rises and rises gets."""
_STILL_RISING = 0.95
"""Share of the highest rate that there was, from which on one has not come down again."""


@dataclass(frozen=True, slots=True)
class Raise:
    """A learning rate that was raised.

    Attributes:
        before: The rate at which the training went well.
        now: The rate at the step in question.
        first_step: The first at which it was higher than before.
        step: The first at which it was higher by the factor that was asked for.
    """

    before: float
    now: float
    first_step: float
    step: float

    @property
    def factor(self) -> float:
        """How many times as high it is."""
        return self.now / self.before


def raised(case: Case, layers: Sequence[int], step: float, factor: float) -> Raise | None:
    """Return by how much the rate of these layers had been raised at a step, if by `factor` at least.

    What they learn must have begun at the lower rate: a warm-up comes before that.
    """
    curve, loss = learning_rate(case, layers), training(case)
    if curve is None or loss is None:
        return None
    held = (curve.steps <= step) & np.isfinite(curve.values)
    steps, rates = curve.steps[held], curve.values[held]
    if not rates.size:
        return None
    low = np.flatnonzero((rates > 0) & (rates <= rates[-1] / factor))
    if not low.size or low[-1] + 1 == len(rates):
        return None
    before = float(np.median(rates[low]))
    begun = np.flatnonzero(rates > _BEGINS * before)
    early, whole = loss.upto(steps[low[-1]]), loss.upto(step - 1)
    if early is None or whole is None or early.gain <= max(whole.noise, _LEARNED * whole.gain):
        return None
    first = float(steps[begun[begun > low[0]][0]])
    return Raise(before, float(rates[-1]), first, float(steps[low[-1] + 1]))


def rate_returns(case: Case) -> bool:
    """Whether a learning rate rises again after it fell: the loss then follows the schedule."""
    for curve in case.curves("learning_rate"):
        rates = curve.values[np.isfinite(curve.values)]
        if (
            rates.size
            and (rates > 1.5 * np.minimum.accumulate(rates))[np.argmax(rates[: max(1, rates.size // 4)]) :].any()
        ):
            return True
    return False


def outgrown(case: Case, layers: Sequence[int], factor: float, share: float) -> Raise | None:
    """Return by how much the rate of these layers rose beyond that at which the loss was at its best, if to its end.

    It has to end `factor` times higher than it began at least, as of a warm-up that never ends, and to have risen
    before the loss first lost `share` of what it had gained.
    """
    curve, loss = learning_rate(case, layers), training(case)
    if curve is None or loss is None:
        return None
    known = np.isfinite(curve.values) & (curve.values > 0)
    steps, rates, at = curve.steps[known], curve.values[known], int(np.argmin(loss.level))
    lost = np.flatnonzero(loss.level[at:] >= loss.best + share * loss.gain)
    upto = int((steps <= loss.steps[at]).sum())
    if not 0 < upto < len(rates) or not lost.size:
        return None
    before, now, later = float(rates[:upto].max()), float(rates[-1]), steps[upto:]
    meanwhile = rates[steps <= loss.steps[at + lost[0]]]
    rises = now >= _STILL_RISING * float(rates.max()) and meanwhile[-1] >= _BEGINS * before
    if not rises or now < max(factor * rates[0], OUTGROWN * before):
        return None
    return Raise(before, now, float(later[0]), float(loss.steps[at + lost[0]]))
