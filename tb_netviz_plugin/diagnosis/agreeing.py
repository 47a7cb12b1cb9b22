"""Losses that ask for nothing but that outputs agree with each other, and have it: all may be made the same for that.

What such a loss is tells the gradient by the outputs. That of a distance to targets is as the root of the loss, whoever
wrote it and whatever its weight; that of an angle between outputs is smaller by as much as these are larger, too; and
that of a cross-entropy of pairs that all belong together is as the loss itself.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tb_netviz_plugin.analysis.activations import ActivationRow
from tb_netviz_plugin.analysis.outputs import Outputs
from tb_netviz_plugin.diagnosis.answers import answers, last_activation
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.course import Course, course, training
from tb_netviz_plugin.diagnosis.stretches import PERSISTING, at_end
from tb_netviz_plugin.schema.description import Response

_LEAST, _APART, _AGREED, _NEARLY = -1.05, -0.7, -0.8, 0.05
"""What a loss that is minus a cosine never falls below, and where it is at first at the least, and at the end; and how
much of what it was above -1 at first is left at most where it began lower."""
_NOTHING, _LESS_THAN_THAT = 0.01, 0.001
"""Share of its first value at which a loss ends that all-equal targets leave nothing to ask, or one of angles; and one
of which only the gradient tells that it is no distance: rare labels leave little, too."""
_FEWEST, _LATE = 20, 0.2
"""Records that tell how the gradient goes with the loss, and the share of the run, at its end, that is compared."""
_SMALLER, _CONSTANT, _SCATTER = 0.3, 2.5, 3.0
"""What is left at most of the square of the gradient over the loss where that is of angles; factor by which it may
change, times the square of the size; and between a tenth and nine tenths of all records."""
_FAR_SMALLER = 0.02
"""What is left of it at most of other losses that are no distance."""


class Pull(NamedTuple):
    """How alike a loss that asks for nothing else makes outputs at the least.

    Attributes:
        wider: Factor over the share that may vary: where only directions are compared, more says all the same.
        falls: Factor by which the share has to fall.
        ends: Layers to look at from the last one on: a predictor may stand behind what is compared.
    """

    wider: float
    falls: float
    ends: int


_DIRECTIONS, _ANGLES, _PAIRS = Pull(3.5, 2.0, 3), Pull(2.5, 2.0, 3), Pull(4.0, 1.7, 1)
"""Told by the values of the loss, or by the gradient: that of angles, or of pairs that all belong together."""
_LEAST_WIDE = 4
"""Units of a last layer from which on it makes embeddings, and no scores of a few classes."""


def asks_nothing(given: Outputs, loss: Course | None) -> bool:
    """Whether all targets are one number, such as pairs that all belong together, and the loss is next to none."""
    same = bool((given.targets.smallest == given.targets.largest).all())
    same = same and len(set(given.targets.largest.tolist())) == 1
    return same and loss is not None and 0 <= loss.end <= _NOTHING * loss.start


def agrees(loss: Course | None) -> bool:
    """Whether a loss seems to be minus the cosine of two outputs, and to have reached nearly all there is."""
    if loss is None or loss.values.min() < _LEAST or loss.end > _AGREED:
        return False
    return loss.start >= _APART or 1 + loss.end <= _NEARLY * (1 + loss.start)


def pulled_together(case: Case, model: str) -> Pull | None:
    """Return how alike outputs are then where a loss asks only that they agree, and has it; else None."""
    given, loss, last = answers(case), training(case), last_activation(case, model)
    found = None
    if last is not None and last.activation.response is Response.NONE and len(last.units) >= _LEAST_WIDE:
        found = _by_its_gradient(case, last, loss or _lone(case))
    if found is None and (agrees(loss) or (given is not None and given.model == model and asks_nothing(given, loss))):
        return _DIRECTIONS
    return found


def _lone(case: Case) -> Course | None:
    """Return how the only scalar went that is called a loss, such as "loss/similarity"; None where it is not alone."""
    called = [curve for curve in case.curves("") if "loss" in curve.name.lower()]
    return course(called[0]) if len(called) == 1 else None


def _by_its_gradient(case: Case, row: ActivationRow, loss: Course | None) -> Pull | None:
    """Return it where the gradient by the outputs tells, and the loss falls to next to nothing."""
    if loss is None or not 0 < loss.end <= _NOTHING * loss.start:
        return None
    at = case.network.activations.index(row)
    gradients, sizes = (case.column_of_activations(name)[at] for name in ("act_grad_norm", "act_norm"))
    losses = np.interp(case.activation_steps, loss.steps, loss.values)
    known = np.isfinite(gradients) & (sizes > 0) & (losses > 0)
    if known.sum() < _FEWEST or not np.median(gradients[known][:PERSISTING]) > 0:
        return None
    squares, late = gradients[known] ** 2 / losses[known], at_end(case.activation_steps[known], _LATE)
    of_size = squares * sizes[known] ** 2
    left, changed = (float(np.median(one[late]) / np.median(one[:PERSISTING])) for one in (squares, of_size))
    tenth, most = np.quantile(of_size, [0.1, 0.9])
    if left <= _SMALLER and 1 / _CONSTANT <= changed <= _CONSTANT and most <= _SCATTER * tenth:
        return _ANGLES
    return _PAIRS if left <= _FAR_SMALLER and loss.end <= _LESS_THAN_THAT * loss.start else None
