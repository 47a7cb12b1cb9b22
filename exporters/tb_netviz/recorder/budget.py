"""A schedule that keeps what we cost under a share of the training time.

The interval is a power of two. It is chosen from medians of what an observation costs and of what a step takes without
us, rises when the cost nears the budget and falls only when there is ample room, so that noise does not make it
flutter. A run begins densely and thins out until the interval fits the budget, so that a short run shows something;
what that beginning may cost in excess is bounded.

Several processes that observe the same steps share one schedule: the first of them chooses, by its own times, and what
it proposes holds in each of them, itself included, once they have all adopted it at the same step.
"""

from __future__ import annotations

import math
from collections import deque
from statistics import median

from tb_netviz.recorder.schedule import Plan, stride

SPARSER_ABOVE = 0.6
"""Share of the budget above which the interval grows. The rest is for probes and checks."""
FOR_CHECKS = 0.15
"""Share of the budget that the thread which checks may take (`live/lookout.py`). Probes have what is left
(`probing.py`)."""
DENSER_BELOW = 0.3
"""Share of the budget below which the cost must stay after the interval shrinks."""
LONGEST_INTERVAL = 2**20
WARM_UP = 1
"""First observations whose cost says nothing: allocations, lazy imports, compiled kernels."""
SAMPLES_NEEDED = 3
COST_SAMPLES = 21
STEP_SAMPLES = 31
BEGINNING_PER_OCTAVE = 32
"""Observations for each doubling of the step count at a run's beginning, as long as its head start lasts."""
HEAD_START_STEPS = 512
"""The beginning may cost as much as the budget of so many steps,"""
HEAD_START_SECONDS = 1.0
"""or so long, if that is more: a run of a few hundred steps of a millisecond would hold next to nothing otherwise, and
what is wrong mostly shows there."""


def share_of_time(budget: object) -> float:
    """Return `budget` as a share of the training time.

    Raises:
        ValueError: If it is no number in (0, 1].
    """
    if not isinstance(budget, int | float) or isinstance(budget, bool) or not 0 < budget <= 1:
        raise ValueError(
            f"budget must be a share of the training time, above 0 and at most 1, got {budget!r}; 0.02 stands for 2 %"
        )
    return float(budget)


class BudgetSchedule:
    """Observes so often that the cost stays under `budget`, a share of the training time.

    Args:
        budget: The share.
        shared: Whether a plan holds only once `adopt` is called, as in a run of several processes.

    Attributes:
        least: The interval is no shorter than that; a power of two.

    Raises:
        ValueError: If `budget` is no number in (0, 1].
    """

    def __init__(self, budget: float, *, shared: bool = False) -> None:
        self._budget = share_of_time(budget)
        self.shared = shared
        self.least = 1
        self._interval = 1  # Until the plan holds.
        self._plan = Plan(1, 0)
        self._wanted = 1
        self._costs: deque[float] = deque(maxlen=COST_SAMPLES)
        self._trainings: deque[float] = deque(maxlen=STEP_SAMPLES)
        self._target = 1
        self._first_step: int | None = None
        self._warm_up_left = WARM_UP
        self._prepared = 0.0  # Cost of the step before an observed one, where its gradient was kept.
        self._spent = 0.0  # Cost of the observations since the warm-up.
        self._beginning = True

    def interval_at(self, step: int) -> int:
        """Return every how many steps one is observed around `step`."""
        return self._plan.interval if step >= self._plan.start else self._interval

    def observes(self, step: int) -> bool:
        """Whether `step` is observed."""
        return step % self.interval_at(step) == 0

    def finish(self, step: int, *, observed: bool, training: float, cost: float) -> None:
        """Learn what a step took, and choose the interval anew after an observed one."""
        if self._first_step is None:
            self._first_step = step
        if training > 0:
            self._trainings.append(training)
        if not observed:
            self._prepared = cost if self.observes(step + 1) else 0.0
            return
        cost, self._prepared = cost + self._prepared, 0.0
        if self._warm_up_left:
            self._warm_up_left -= 1
            return
        self._costs.append(cost)
        self._spent += cost
        self._choose(step)

    def proposal(self, step: int) -> Plan:
        """Return what is to hold from a step on that no decision of the present `step` reaches.

        A window begins there, so that the interval does not change within a record.
        """
        settled = step >= self._plan.start
        if not settled or self._wanted == self._plan.interval:
            return self._plan
        earliest = step + 2
        return Plan(self._wanted, -(-earliest // stride(earliest)) * stride(earliest))

    def adopt(self, plan: Plan) -> None:
        """Follow `plan` from its start on."""
        if plan != self._plan:
            self._interval, self._plan = self._plan.interval, plan

    def _choose(self, step: int) -> None:
        if len(self._costs) < SAMPLES_NEEDED or not self._trainings:
            return
        allowed = self._budget * median(self._trainings)  # Seconds a step.
        self._target = wanted = _fit(self._target, median(self._costs), allowed)
        if self._beginning:
            dense = _beginning_interval(step - (self._first_step or 0))
            head_start = max(HEAD_START_STEPS * allowed, HEAD_START_SECONDS)
            self._beginning = dense < self._target and self._spent <= head_start
            if self._beginning:
                wanted = dense
        self._wanted = max(wanted, self.least)
        if not self.shared:
            self.adopt(self.proposal(step))


def _fit(interval: int, cost: float, allowed: float) -> int:
    if cost / interval > SPARSER_ABOVE * allowed:
        return _power_of_two(cost / (SPARSER_ABOVE * allowed))
    if 2 * cost / interval <= DENSER_BELOW * allowed:
        return _power_of_two(cost / (DENSER_BELOW * allowed))
    return interval


def _power_of_two(least: float) -> int:
    """Return the smallest power of two from `least` on, between 1 and LONGEST_INTERVAL."""
    return 1 << math.ceil(math.log2(min(max(least, 1.0), LONGEST_INTERVAL)))


def _beginning_interval(steps: int) -> int:
    """Return the interval of a run's first steps: 1 at first, then twice as long with each doubling of the steps."""
    return 1 << max(0, (max(steps, 1) // BEGINNING_PER_OCTAVE).bit_length() - 1)
