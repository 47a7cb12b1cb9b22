"""What recording cost, and whether TensorBoard kept all of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tb_netviz_plugin.analysis.grid import step_column, survivors
from tb_netviz_plugin.analysis.records import Floats, Records


@dataclass(frozen=True, slots=True)
class Cost:
    """What netviz took of a run.

    Attributes:
        fraction: Share of the training time, all models together.
        interval: Every how many steps one is observed at present.
        dropped: Records that were lost before they reached the disk.
    """

    fraction: float
    interval: int
    dropped: int


def cost(models: Iterable[Records]) -> Cost | None:
    """Return what recording cost, or None where no record says.

    Args:
        models: Records of the family `steps`, of each model.
    """
    parts = [part for part in map(_cost_of_model, models) if part]
    if not parts:
        return None
    return Cost(
        sum(part.fraction for part in parts), max(part.interval for part in parts), sum(part.dropped for part in parts)
    )


def _cost_of_model(records: Records) -> Cost | None:
    weights = _steps_since_the_last(records)
    training, observing = step_column(records, "step_seconds"), step_column(records, "observe_seconds")
    known = np.isfinite(training) & np.isfinite(observing) & (training > 0)
    if not known.any():
        return None
    fraction = np.sum((observing * weights)[known]) / np.sum((training * weights)[known])
    latest = np.argmax(records.walls)
    interval, dropped = step_column(records, "interval")[latest], step_column(records, "dropped")[latest]
    return Cost(float(fraction), int(np.nan_to_num(interval)), int(np.nan_to_num(dropped)))


@dataclass(frozen=True, slots=True)
class Spending:
    """What one model's records say of their cost, in increasing step; a record that was superseded is left out.

    Attributes:
        steps: Last steps, float64 [T].
        spans: Steps from the end of the record before to that step: those that the durations are the mean of, [T].
        fraction: Share of the training time, [T]; NaN where a record does not say.
        interval: Every how many steps one was observed, [T].
        dropped: Records lost until then, [T].
    """

    steps: Floats
    spans: Floats
    fraction: Floats
    interval: Floats
    dropped: Floats


def spending(records: Records) -> Spending:
    """Return what `records`, of the family `steps`, say of their cost."""
    kept = survivors(records, [records])
    training, observing = step_column(records, "step_seconds")[kept], step_column(records, "observe_seconds")[kept]
    with np.errstate(all="ignore"):
        fraction = np.where(training > 0, observing / training, np.nan)
    return Spending(
        records.steps[kept].astype(np.float64),
        _steps_since_the_last(records)[kept].astype(np.float64),
        fraction,
        step_column(records, "interval")[kept],
        step_column(records, "dropped")[kept],
    )


def _steps_since_the_last(records: Records) -> Floats:
    """Return how many training steps each record's durations are the mean of; after a step back, those it covers."""
    order = np.argsort(records.walls, kind="stable")
    spans = np.fmax(step_column(records, "span")[order], 1)
    steps = records.steps[order]
    since = np.empty(len(steps))
    since[order] = np.fmax(np.diff(steps, prepend=steps[:1] - spans[:1]), spans)
    return since


def evicted(records: Records, limit: int | None) -> bool:
    """Return whether TensorBoard kept only a sample of `records`, of the family `steps`.

    It does once a tag has more records than its limit; then there are holes between the windows that
    are wider than the interval of observation. A pause alone makes holes too, but does not fill the tag.

    Args:
        records: What it kept.
        limit: What it keeps at most, 0 for everything, None if that is unknown.
    """
    if not limit or len(records.steps) < limit:
        return False
    order = np.argsort(records.steps, kind="stable")
    steps = records.steps[order]
    spans = np.fmax(step_column(records, "span")[order], 1)
    interval = np.fmax(step_column(records, "interval")[order], 1)
    unseen = steps[1:] - spans[1:] - steps[:-1]
    return bool(np.any(unseen >= np.maximum(interval[1:], interval[:-1])))
