"""Losses that ask for nothing but that outputs agree with each other, and have it: all may be made the same for that.

What such a loss is tells the gradient by the outputs. That of a distance to targets is as the root of the loss, whoever
wrote it and whatever its weight; that of an angle between outputs is smaller by as much as these are larger, too; and
that of a cross-entropy is as the loss itself, and as the outputs, too, where it is of products of these: of pairs that
all belong together, and not of scores.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tb_netviz_plugin.analysis.activations import ActivationRow
from tb_netviz_plugin.analysis.outputs import Outputs
from tb_netviz_plugin.analysis.records import Floats
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
_OF_PRODUCTS, _BETWEEN = 0.8, (0.001, 0.5)
"""Factor by which the gradient over the loss changes at least, over that by which the size does, where the loss is of
products of outputs, while so much of the loss is left; later the rounding tells, or few samples do."""
_BESIDE = 1.5
"""Factor over the usual count of values, above which others than those of the loss are among them, as of a probe."""
_DISTANCE, _OFFSET, _LEFT = 0.5, 1.2, 0.1
"""What is left at least of the square of the gradient over the loss where that is a distance; factor by which the size
of outputs grows at least that learn a common offset, and share of the loss that is left at most once they have."""
_ELSEWHERE = 0.7
"""A loss of angles over the square of the share of outputs that varies, from which on at first what they are compared
with is no other view of the same sample: as far away as other samples are."""


class Pull(NamedTuple):
    """How alike a loss that asks for nothing else makes outputs at the least.

    Attributes:
        wider: Factor over the share that may vary: where only directions are compared, more says all the same.
        falls: Factor by which the share has to fall.
        ends: Layers to look at from the last one on: a predictor may stand behind what is compared.
        angles: Whether the gradient tells that it is a loss of angles.
    """

    wider: float
    falls: float
    ends: int
    angles: bool = False


class Pulls(NamedTuple):
    """How the gradient by the outputs goes with the loss, at N records.

    Attributes:
        steps: Step of each record, [N].
        squares: Square of the gradient's norm over the loss, [N].
        sizes: Size of the outputs, [N].
        losses: [N].
    """

    steps: Floats
    squares: Floats
    sizes: Floats
    losses: Floats

    @property
    def left(self) -> float:
        """What is left of the squares at the end."""
        return _change(self.steps, self.squares)


_DIRECTIONS, _ANGLES, _PAIRS = Pull(3.5, 2.0, 3), Pull(2.5, 2.0, 3, angles=True), Pull(4.0, 1.7, 1)
"""Told by the values of the loss, or by the gradient: that of angles, or of pairs that all belong together."""
_LEAST_WIDE = 4
"""Units of a last layer from which on it makes embeddings, and no scores of a few classes."""


def asks_nothing(case: Case, given: Outputs, loss: Course | None) -> bool:
    """Whether all targets are one number, such as pairs that all belong together, and the loss is next to none.

    Zeros that a residual is compared with are no such thing: outputs that have learned an offset are far from these.
    """
    same = bool((given.targets.smallest == given.targets.largest).all())
    same = same and len(set(given.targets.largest.tolist())) == 1
    ends = same and loss is not None and 0 <= loss.end <= _NOTHING * loss.start
    return ends and not fits_an_offset(case, given.model)


def agrees(loss: Course | None) -> bool:
    """Whether a loss seems to be minus the cosine of two outputs, and to have reached nearly all there is."""
    if loss is None or loss.values.min() < _LEAST or loss.end > _AGREED:
        return False
    return loss.start >= _APART or 1 + loss.end <= _NEARLY * (1 + loss.start)


def pulled_together(case: Case, model: str) -> Pull | None:
    """Return how alike outputs are then where a loss asks only that they agree, and has it; else None."""
    given, loss, last = answers(case), training(case), last_activation(case, model)
    found = _by_its_type(case, model, loss)
    wide = last is not None and last.activation.response is Response.NONE and len(last.units) >= _LEAST_WIDE
    if found is None and last is not None and wide:
        found = _by_its_gradient(case, last, loss or _lone(case))
    of_pairs = given is not None and given.model == model and asks_nothing(case, given, loss)
    return _DIRECTIONS if found is None and (agrees(loss) or of_pairs) else found


def _by_its_type(case: Case, model: str, loss: Course | None) -> Pull | None:
    """Return it where the loss is one of cosines, and next to none: pairs that are to differ would cost something.

    Their targets are 1 and -1; of those that are 0, as labels often are, nothing is asked at all.
    """
    of_model = next((one.criterion for one in case.network.descriptions if one.model == model), "")
    if of_model != "CosineEmbeddingLoss" or loss is None or not 0 <= loss.end <= _NOTHING * loss.start:
        return None
    return _ANGLES


def fits_an_offset(case: Case, model: str) -> bool:
    """Whether outputs grew while a loss fell that is a distance, as the gradient tells: to something far from zero.

    A distance between two outputs pulls all together, too, but makes them smaller.
    """
    last, loss = last_activation(case, model), training(case) or _lone(case)
    pulls = None if last is None or loss is None else _pulls(case, last, loss)
    if pulls is None or loss is None or not loss.end <= _LEFT * loss.values[0]:
        return False
    return pulls.left >= _DISTANCE and _change(pulls.steps, pulls.sizes) >= _OFFSET


def is_elsewhere(case: Case, share: float) -> bool:
    """Whether outputs of which this share varied at first were as far then from what they are compared with.

    Two views of a sample are nearer to each other than to other samples; a predictor's output, or a teacher's, is not.
    """
    loss = training(case) or _lone(case)
    return loss is not None and bool(loss.values[0] >= _ELSEWHERE * share**2)


def _lone(case: Case) -> Course | None:
    """Return how the only scalar went that is called a loss, such as "loss/similarity"; None where it is not alone."""
    called = [curve for curve in case.curves("") if "loss" in curve.name.lower()]
    return course(called[0]) if len(called) == 1 else None


def _by_its_gradient(case: Case, row: ActivationRow, loss: Course | None) -> Pull | None:
    """Return it where the gradient by the outputs tells, and the loss falls to next to nothing."""
    if loss is None or not 0 < loss.end <= _NOTHING * loss.start or (pulls := _pulls(case, row, loss)) is None:
        return None
    of_size = pulls.squares * pulls.sizes**2
    tenth, most = np.quantile(of_size, [0.1, 0.9])
    same = 1 / _CONSTANT <= _change(pulls.steps, of_size) <= _CONSTANT and most <= _SCATTER * tenth
    if pulls.left <= _SMALLER and same:
        return _ANGLES
    nothing = pulls.left <= _FAR_SMALLER and loss.end <= _LESS_THAN_THAT * loss.start
    return _PAIRS if nothing and _of_products(pulls) else None


def _of_products(pulls: Pulls) -> bool:
    """Whether the gradient over the loss grows as outputs do: that by scores does not, however large these become."""
    left = pulls.losses / np.median(pulls.losses[:PERSISTING])
    falling = (left >= _BETWEEN[0]) & (left <= _BETWEEN[1])
    products = np.sqrt(pulls.squares / pulls.losses) / pulls.sizes
    return bool(falling.any()) and bool(np.median(products[falling]) >= _OF_PRODUCTS * np.median(products[:PERSISTING]))


def _pulls(case: Case, row: ActivationRow, loss: Course) -> Pulls | None:
    """Return how the gradient goes with the loss; None where too few records tell."""
    at = case.network.activations.index(row)
    gradients, sizes, counts = (
        case.column_of_activations(name)[at] for name in ("act_grad_norm", "act_norm", "act_values")
    )
    losses = np.interp(case.activation_steps, loss.steps, loss.values)
    known = np.isfinite(gradients) & (sizes > 0) & (losses > 0)
    # A smaller batch has larger gradients by as much; what else the network made in the same step has none at all.
    known &= ~(counts > _BESIDE * (np.median(counts[known]) if known.any() else np.inf))
    if known.sum() < _FEWEST or not np.median(gradients[known][:PERSISTING]) > 0:
        return None
    squares = gradients[known] ** 2 / losses[known]
    return Pulls(case.activation_steps[known], squares, sizes[known], losses[known])


def _change(steps: Floats, values: Floats) -> float:
    """Return the factor by which values changed from the first records to the last part of the run."""
    return float(np.median(values[at_end(steps, _LATE)]) / np.median(values[:PERSISTING]))
