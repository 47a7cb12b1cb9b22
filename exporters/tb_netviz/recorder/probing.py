"""When a probe is run: by steps, by what all probes of a training cost, and by the bytes that its records may take."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from statistics import median

from tb_netviz.recorder.budget import FOR_CHECKS, HEAD_START_STEPS, SPARSER_ABOVE, STEP_SAMPLES
from tb_netviz.recorder.schedule import positive_integer

PER_OCTAVE = 8
"""Records for each doubling of the step count at most."""
HORIZON = 2**17
"""Steps for which the bytes are to last; from then on, for two more doublings at any time."""
SHARE = 1 - SPARSER_ABOVE - FOR_CHECKS
"""Part of the budget of time that statistics and checks leave to probes."""
HEAD_START_OCTAVES = 10
"""Doublings of the step count over which a run's beginning may cost more, by HEAD_START_STEPS in all."""
COSTS = 5
FREE_RUNS = 2
"""Runs of a probe that are not held against anyone."""
BYTES_OF_A_TAG = 192 << 20
"""TensorBoard hands over a tag at once, in 256 MB at most."""


class TimeBudget:
    """What the probes of one training may cost together.

    Args:
        share: Of the training time, for everything that is recorded.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._steps = 0
        self._trainings: deque[float] = deque(maxlen=STEP_SAMPLES)
        self._spent = 0.0

    def trained(self, seconds: float) -> None:
        """Learn what a training step took, without the probes."""
        self._steps += 1
        self._trainings.append(seconds)

    def spend(self, seconds: float) -> None:
        """Learn what a run of a probe took."""
        self._spent += seconds

    def afforded(self, due: Iterable[ProbeSchedule]) -> list[ProbeSchedule]:
        """Return those that may be followed now, of these that are due.

        Each that waits has a claim to an equal part of what may be spent, as far as it has not had that: what is cheap
        leaves something for what is dear, and the other way round.
        """
        allowed, spent = self._allowed(), self._spent
        wanted = list(due)
        waiting = sorted((one for one in wanted if one.price), key=lambda one: one.spent)
        part = allowed / max(len(waiting), 1)
        for schedule in tuple(waiting):
            claims = sum(max(part - other.spent, 0.0) for other in waiting if other is not schedule)
            if spent + schedule.price + claims <= allowed:
                waiting.remove(schedule)
                spent += schedule.price
        return [schedule for schedule in wanted if schedule not in waiting]

    def _allowed(self) -> float:
        if not self._trainings:
            return 0.0
        started = min(1.0, math.log2(self._steps + 2) / HEAD_START_OCTAVES)
        return self._share * median(self._trainings) * (HEAD_START_STEPS * started + SHARE * self._steps)


class ProbeSchedule:
    """Decides at which steps a probe is run.

    Without `every` records thin out as the run grows: 8 for each doubling of the step count, or as few as let the bytes
    last. A record that would cost more time than is left for it is put off. With `every` it is run whatever that costs,
    and half as often each time that half of the remaining bytes are used up.

    Args:
        every: Every how many steps, or None.
        time: What the probes of the training may cost. One with `every` takes nothing from the others.
        budget_bytes: Bytes that its records may take.

    Attributes:
        spent: Seconds that were taken from `time`.

    Raises:
        ValueError: If `every` or `budget_bytes` is no positive whole number.
    """

    def __init__(self, every: int | None, time: TimeBudget, budget_bytes: int) -> None:
        self._every = None if every is None else positive_integer("every", every)
        self._time = time
        self._bytes = budget_bytes
        self._left = budget_bytes
        self._size = 0  # Of one record, once that is known.
        self._last: int | None = None
        self._next = 0
        self._costs: deque[float] = deque(maxlen=COSTS)
        self._runs = 0
        self.spent = 0.0

    @property
    def exhausted(self) -> bool:
        """Whether another record does not fit into the bytes that are left."""
        return self._size > self._left

    def limit(self, size: int, largest: int) -> None:
        """Learn what one record takes.

        Args:
            size: Bytes of a record.
            largest: Those that its largest tag takes of it.
        """
        records = min(self._bytes // max(size, 1), BYTES_OF_A_TAG // max(largest, 1))
        used = self._bytes - self._left
        self._bytes = min(self._bytes, records * size)
        self._left = max(0, self._bytes - used)
        self._size = size

    @property
    def price(self) -> float:
        """Seconds of the budget that the next run will take; 0 where that is not known."""
        return median(self._costs) if self._costs else 0.0

    def due(self, step: int) -> bool:
        """Whether the steps and the bytes let the probe run now, at the end of `step`."""
        if self._last is not None and step < self._last:  # The training went back to an earlier state.
            self._last, self._next = None, step
        return step >= self._next and not self.exhausted

    def ran(self, step: int) -> None:
        """Note that the probe was run, and when it is next."""
        self._last = step
        self._plan(step)

    def wrote(self, size: int) -> None:
        """Note that the record of the last run was written."""
        self._left -= size
        if self._last is not None:
            self._plan(self._last)

    def _plan(self, step: int) -> None:
        records = self._left // max(self._size, 1)
        self._next = self._following(step) if self._every else _growing(step, records)

    def cost(self, seconds: float) -> None:
        """Learn what a run of the probe took.

        The first one is full of first allocations, and the price of the second nobody knew: they are not held against
        it, nor against the others.
        """
        self._runs += 1
        if self._every is not None or self._runs == 1:
            return
        self._costs.append(seconds)
        if self._runs > FREE_RUNS:
            self._time.spend(seconds)
            self.spent += seconds

    def _following(self, step: int) -> int:
        assert self._every is not None
        halvings = int(math.log2(self._bytes / self._left)) if self._left > 0 else 0
        interval = self._every << halvings
        return step - step % interval + interval


def _growing(step: int, records: int) -> int:
    """Return the step of the next record, so that `records` of them reach the horizon."""
    horizon = max(HORIZON, 4 * step)
    growth: float = max(2 ** (1 / PER_OCTAVE), (horizon / max(step, 1)) ** (1 / max(records, 1)))
    return max(step + 1, math.ceil(step * growth))
