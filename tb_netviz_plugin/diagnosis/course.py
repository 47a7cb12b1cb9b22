"""How a loss went: where it began, how low it got, where it ended, and how much it scatters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.diagnosis.case import Case, Curve
from tb_netviz_plugin.diagnosis.stretches import PERSISTING, at_end, smooth

_BEGINNING = 3
"""Records that the beginning of a loss is the median of."""
_LEAP = 5.0
"""Deviations above its first value at which a loss no longer says where it began."""
_NORMAL = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


@dataclass(frozen=True, slots=True)
class Course:
    """How a loss went, over the T of its records that are finite.

    Attributes:
        name: Under which it was logged.
        steps: Last step of each, [T].
        values: The loss, [T].
        level: Without what only single records show, [T].
        start: Where it began.
        best: The lowest level.
        end: The median of its end.
        noise: Standard deviation of a single record around the level.
    """

    name: str
    steps: Floats
    values: Floats
    level: Floats
    start: float
    best: float
    end: float
    noise: float

    @property
    def gain(self) -> float:
        """How far it fell at best."""
        return max(self.start - self.best, 0.0)

    @property
    def lost(self) -> float:
        """Share of what was gained that is lost in the end, above 1 beyond the start; 0 where nothing was gained."""
        return (self.end - self.best) / self.gain if self.gain > 0 else 0.0

    @property
    def learned(self) -> float:
        """How far it fell from start to end, as a share of the start's magnitude."""
        return (self.start - self.end) / abs(self.start) if self.start else 0.0

    @property
    def has_scale(self) -> bool:
        """Whether shares of its first value mean anything: zero is its lower end, or near it, as it began."""
        return self.start > 0 and self.start >= -float(self.values.min())

    def stands(self, share: float, errors: float = 2.0) -> bool:
        """Whether the last third of its last `share` lies no lower than the first third, by standard errors."""
        late = self.values[self.steps >= self.steps[-1] - share * (self.steps[-1] - self.steps[0])]
        third = len(late) // 3
        if third < PERSISTING:
            return False
        first, last = late[:third], late[-third:]
        error = float(np.sqrt((first.var() + last.var()) / third))
        return bool(first.mean() - last.mean() <= errors * error)

    def upto(self, step: float) -> Course | None:
        """Return how it went up to a step, or None where it did not begin before."""
        held = self.steps <= step
        return _course(self.name, self.steps[held], self.values[held])

    def since(self, step: float) -> Course | None:
        """Return how it went from a step on, or None where it had ended before."""
        held = self.steps >= step
        return _course(self.name, self.steps[held], self.values[held])


def course(curve: Curve | None) -> Course | None:
    """Return how a scalar went, or None where none of its values is finite."""
    if curve is None:
        return None
    finite = np.isfinite(curve.values)
    return _course(curve.name, curve.steps[finite], curve.values[finite])


def training(case: Case) -> Course | None:
    """Return how the training loss went, if one was logged."""
    return course(case.curve("train_loss"))


def _course(name: str, steps: Floats, values: Floats) -> Course | None:
    if not values.size:
        return None
    level = smooth(values)
    noise = float(_NORMAL * np.median(np.abs(np.diff(values))) / np.sqrt(2)) if values.size > 1 else 0.0
    return Course(
        name=name,
        steps=steps,
        values=values,
        level=level,
        start=_start(values, noise),
        best=float(level.min()),
        end=float(np.median(values[at_end(steps)])),
        noise=noise,
    )


def _start(values: Floats, noise: float) -> float:
    """Return the first of `values`, without its scatter; where it was left far behind at once, as it is."""
    first, middle = float(values[0]), float(np.median(values[:_BEGINNING]))
    return first if middle - first > _LEAP * noise else middle
