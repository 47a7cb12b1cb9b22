"""AutoTrainer (Zhang et al., ICSE 2021), with the thresholds of its paper.

Gradient faults and dead units are reported only where the accuracy is poor too; the training accuracy stands for
it, and what is no classifier counts as poor while its loss has not fallen by a tenth.
"""

from __future__ import annotations

import numpy as np

from benchmarks.baselines.watched import Watched, said
from tb_netviz_plugin.analysis.records import Bools, Floats
from tb_netviz_plugin.reader import Run
from tb_netviz_plugin.schema.description import Response
from tests.diagnosis.scoring import Told

RATIO_LOW, NORM_LOW = 1e-3, 1e-4
RATIO_HIGH, LOSS_HIGH = 70.0, 1e3
DYING = 0.7
ACCURATE = 0.6
LEARNS = 0.9
SWING, SWINGS = 0.03, 0.2
SLOW = 0.01
WINDOW = 50


def judge(run: Run) -> list[Told]:
    """Return what the rules say of a run."""
    watched = Watched(run)
    poor = _poor(watched)
    if not len(watched.steps) or not len(watched.gradient_norms):
        return []
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = watched.gradient_norms[0] / watched.gradient_norms[-1]
    vanishing = (ratio < RATIO_LOW) & (watched.gradient_norms[0] < NORM_LOW) & poor
    exploding = (watched.spoiled.any(axis=0) | (ratio > RATIO_HIGH)) & poor
    first, last = watched.case.network.layers[0].name, watched.case.network.layers[-1].name
    dying = watched.told_of_units("dead_units", Response.RECTIFIER, "fired", np.finfo(float).tiny, DYING)
    return [
        *said("vanishing_gradient", watched.steps, vanishing, (first,)),
        *said("exploding_gradient", watched.steps, exploding, (last,)),
        *(dying if poor[-1] else []),
        *_loss_exploding(watched),
        *_swinging(watched),
        *_slow(watched, poor),
    ]


def _poor(watched: Watched) -> Bools:
    """Return where the best so far is poor, from the end of the first epoch on, which is a tenth of the run."""
    if watched.accuracy is not None:
        poor = ~(np.fmax.accumulate(watched.accuracy) > ACCURATE)
    elif watched.train_loss is not None:
        loss = np.minimum.accumulate(watched.train_loss.values)
        poor = ~(np.interp(watched.steps, watched.train_loss.steps, loss) < LEARNS * loss[0])
    else:
        poor = np.ones(len(watched.steps), np.bool_)
    poor[: len(poor) // 10] = False
    return poor


def _loss_exploding(watched: Watched) -> list[Told]:
    loss = watched.train_loss
    return [] if loss is None else said("exploding_gradient", loss.steps, loss.values >= LOSS_HIGH)


def _swinging(watched: Watched) -> list[Told]:
    """More than a fifth of the checks lie 3 % above the one before, or below, in turn."""
    checks = _checks(watched)
    if checks is None or len(checks) < 5:
        return []
    changes = np.diff(checks)
    turns = (np.abs(changes[1:]) >= SWING) & (np.abs(changes[:-1]) >= SWING) & (changes[1:] * changes[:-1] < 0)
    return said("loss_oscillation", watched.steps, np.array([turns.mean() >= SWINGS]))


def _slow(watched: Watched, poor: Bools) -> list[Told]:
    checks = _checks(watched)
    if checks is None or not poor[-1] or len(checks) < 3:
        return []
    return said("lr_too_low", watched.steps, np.array([float(checks[-1] - checks[0]) < SLOW]))


def _checks(watched: Watched) -> Floats | None:
    """Return the accuracy at every so many records: AutoTrainer looks at an epoch."""
    if watched.accuracy is None:
        return None
    known = watched.accuracy[np.isfinite(watched.accuracy)]
    stride = max(1, min(WINDOW, len(known) // 10))
    whole = known[: len(known) // stride * stride]
    return whole.reshape(-1, stride).mean(axis=1) if whole.size else None
