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
