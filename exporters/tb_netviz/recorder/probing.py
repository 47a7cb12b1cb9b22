"""When a probe is run: by steps, by what it costs, and by the bytes that its pictures may take."""

from __future__ import annotations

import math
from collections import deque
from statistics import median

from tb_netviz.recorder.budget import HEAD_START_STEPS, SPARSER_ABOVE, STEP_SAMPLES
from tb_netviz.recorder.schedule import positive_integer

PER_OCTAVE = 8
"""Records for each doubling of the step count at most."""
HORIZON = 2**17
"""Steps for which the bytes are to last; from then on, for two more doublings at any time."""
SHARE = 1 - SPARSER_ABOVE
"""Part of the budget of time that the statistics leave to probes."""
HEAD_START_OCTAVES = 10
"""Doublings of the step count over which a run's beginning may cost more, by HEAD_START_STEPS in all."""
COSTS = 5
BYTES_OF_A_TAG = 192 << 20
"""TensorBoard hands over a tag at once, in 256 MB at most."""


class ProbeSchedule:
    """Decides at which steps a probe is run.

    Without `every` records thin out as the run grows: 8 for each doubling of the step count, or as few as let the bytes
    last. A record that would cost more time than is left for it is put off. With `every` it is run whatever that costs,
    and half as often each time that half of the remaining bytes are used up.

    Args:
        every: Every how many steps, or None.
        budget: Share of the training time for everything that is recorded.
        budget_bytes: Bytes that the pictures may take.

    Raises:
        ValueError: If `every` or `budget_bytes` is no positive whole number.
    """

    def __init__(self, every: int | None, budget: float, budget_bytes: int) -> None:
        self._every = None if every is None else positive_integer("every", every)
        self._budget = budget
        self._bytes = budget_bytes
        self._left = budget_bytes
        self._size = 0  # Of one record, once that is known.
        self._last: int | None = None
        self._next = 0
        self._steps = 0
        self._trainings: deque[float] = deque(maxlen=STEP_SAMPLES)
        self._costs: deque[float] = deque(maxlen=COSTS)
        self._spent = 0.0
        self._warm = False

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

    def trained(self, seconds: float) -> None:
        """Learn what a training step took, without the probe."""
        self._steps += 1
        self._trainings.append(seconds)

    def due(self, step: int) -> bool:
        """Whether to run the probe now, at the end of `step`."""
        if self._last is not None and step < self._last:  # The training went back to an earlier state.
            self._last, self._next = None, step
        return step >= self._next and not self.exhausted and (self._every is not None or self._affordable())

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
        """Learn what a run of the probe took. The first one is not held against it, being full of first allocations."""
        if self._warm:
            self._costs.append(seconds)
            self._spent += seconds
        self._warm = True

    def _affordable(self) -> bool:
        if not self._costs:
            return True
        if not self._trainings:
            return False
        started = min(1.0, math.log2(self._steps + 2) / HEAD_START_OCTAVES)
        allowed = self._budget * median(self._trainings) * (HEAD_START_STEPS * started + SHARE * self._steps)
        return self._spent + median(self._costs) <= allowed

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
