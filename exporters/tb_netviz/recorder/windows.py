"""Folding the observed steps of a window into one record."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tb_netviz.recorder.schedule import RECORDS_PER_OCTAVE, window_start
from tb_netviz_plugin.schema.columns import ACTIVATION_COLUMN, OUTPUT_COLUMN, PARAMETER_COLUMN, Merge

Float32 = npt.NDArray[np.float32]


class Span:
    """The steps of one window that were observed so far.

    A window that was written before its end is over: what follows is a record of its own. Only the very step that was
    written last goes on in it, so that the event which is then written again under that step holds everything.

    Args:
        step: The first of them.
        per_octave: Windows for each doubling of the step count.
    """

    def __init__(self, step: int, per_octave: int = RECORDS_PER_OCTAVE) -> None:
        self.first = step
        self.last = step
        self.observations = 0
        self.written = False
        self._over = False
        self._per_octave = per_octave
        self._start = window_start(step, per_octave)

    def continues(self, step: int) -> bool:
        """Whether `step` belongs into the same record."""
        if self._over:
            return step == self.last
        return step >= self.last and window_start(step, self._per_octave) == self._start

    def add(self, step: int) -> None:
        """Count an observation."""
        self.last = step
        self.observations += 1
        self.written = False

    def end(self) -> None:
        """Note that the record was written."""
        self.written = self._over = True

    @property
    def steps(self) -> int:
        """Steps from the first observed one to the last, inclusive."""
        return self.last - self.first + 1


class Folding:
    """How columns fold over steps, from the ids of the columns."""

    def __init__(self, columns: Sequence[str]) -> None:
        known = PARAMETER_COLUMN | ACTIVATION_COLUMN | OUTPUT_COLUMN
        merges = [known[column].merge for column in columns]
        self.squared = np.array([merge is Merge.ROOT_SQUARE for merge in merges], dtype=bool)
        self.highest = np.array([merge is Merge.MAX for merge in merges], dtype=bool)
        self.lowest = np.array([merge is Merge.MIN for merge in merges], dtype=bool)


class ValueWindow:
    """Values [rows, columns] of the observed steps of a window. NaN is no value, and folds to nothing."""

    def __init__(self, step: int, folding: Folding) -> None:
        self.span = Span(step)
        self._folding = folding
        self._low: Float32 | None = None
        self._high: Float32 | None = None
        self._total: npt.NDArray[np.float64] | None = None
        self._counts: npt.NDArray[np.int64] | None = None

    def add(self, step: int, values: Float32) -> None:
        """Fold in the values of a step; they are copied."""
        self.span.add(step)
        if self._low is None or self._high is None:
            self._low = self._high = values.copy()
            return
        if self._total is None or self._counts is None:
            self._total = self._summands(self._low)
            self._counts = (~np.isnan(self._low)).astype(np.int64)
        with np.errstate(invalid="ignore"):  # Infinities of both signs have no mean.
            self._total += self._summands(values)
        self._counts += ~np.isnan(values)
        self._low = np.fmin(self._low, values)
        self._high = np.fmax(self._high, values)

    def _summands(self, values: Float32) -> npt.NDArray[np.float64]:
        wide = values.astype(np.float64)  # Which holds the squares of all that float32 holds.
        np.multiply(wide, wide, out=wide, where=self._folding.squared)
        np.copyto(wide, 0.0, where=np.isnan(wide))
        return wide

    def planes(self) -> Float32:
        """Return [1, rows, columns] of a window of one observation, else [3, …]: centre, lowest and highest."""
        assert self._low is not None
        assert self._high is not None
        if self._total is None or self._counts is None:
            return self._low[np.newaxis]
        with np.errstate(all="ignore"):  # No values: 0 / 0 is NaN.
            centre = self._total / self._counts
            np.sqrt(centre, out=centre, where=self._folding.squared)
            np.copyto(centre, self._high, where=self._folding.highest)
            np.copyto(centre, self._low, where=self._folding.lowest)
            return np.stack([centre.astype(np.float32), self._low, self._high])
