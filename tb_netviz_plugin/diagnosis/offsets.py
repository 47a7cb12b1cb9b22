"""Targets that lie far from zero beside their deviation, where outputs begin: these have to get there first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tb_netviz_plugin.analysis.outputs import NUMBERS, Outputs
from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.analysis.wording import layer_name, number
from tb_netviz_plugin.diagnosis.answers import answers, logged_loss, output_layers
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.causes import OFFSET
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.starts import BEGINNING
from tb_netviz_plugin.diagnosis.stretches import PERSISTING
from tb_netviz_plugin.schema.description import Response

_OF_NUMBERS = ("MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss")
_NEAR_ZERO = 0.2
"""Share of the targets' mean up to which that of the outputs is, as they begin, and their deviation."""
_ARRIVED = 1.0
"""Deviations of the targets between the two means at which the outputs have arrived."""
_FAR, _LARGE = 1.5, 50.0
"""Such a distance that is far where the targets' deviation is so many times that of the first outputs, as of prices in
single dollars, and the outputs never get there."""
_MOVED = 0.02
"""Share of the way that outputs have to go at least: others are held back by something else."""
_LATE, _LONG_ENOUGH = 0.4, 50
"""Share of the run that goes into getting there, and steps, from which on that is harm."""
_SAME = 0.2
"""Share by which the first loss may differ from the distance, or its square, where its type is not known."""

_REMEDIES = (
    Remedy(
        "Standardise the targets with the mean and deviation of the training data, and scale back what it answers.",
        "targets = (targets - train_targets.mean(0)) / train_targets.std(0)",
    ),
    Remedy(
        "Or begin at their mean: set the bias of the last layer to it.",
        "nn.init.constant_(model.head.bias, train_targets.mean())",
    ),
)


@dataclass(frozen=True, slots=True)
class _Way:
    """The way of outputs to targets, at the records that have both.

    Attributes:
        steps: Their steps, [T].
        distance: Between the two means, in deviations of the targets, [T].
        mean: Of the first targets.
        larger: Deviation of the targets over that of the first outputs.
    """

    steps: Floats
    distance: Floats
    mean: float
    larger: float

    @property
    def arrives(self) -> float | None:
        """The step at which the outputs are there, or None where they never are."""
        there = self.distance < _ARRIVED
        return float(self.steps[int(np.argmax(there))]) if there.any() else None

    @property
    def moved(self) -> float:
        """Share of the way that they have gone in the end, or went at most where they were there."""
        left = float(np.median(self.distance[-PERSISTING:])) if self.arrives is None else float(self.distance.min())
        return 1 - left / float(self.distance[0])

    def is_far(self, factor: float) -> bool:
        """Whether it is far to go."""
        return bool(self.distance[0] >= (_FAR if self.arrives is None and self.larger >= _LARGE else factor))


def far_off(case: Case, layers: list[int], factor: float) -> Finding | None:
    """Find outputs that begin about zero while the targets lie far from it, and that take long to get there."""
    found, model = answers(case), case.network.layers[layers[0]].model
    if found is None or found.model != model or not _is_open(case, model):
        return None
    way = _way(case, found)
    if way is None or not way.is_far(factor) or way.moved < _MOVED:
        return None
    since, end, arrives = float(way.steps[0]), float(way.steps[-1]), way.arrives
    taken = (end if arrives is None else arrives) - since
    if taken < max(_LONG_ENOUGH, _LATE * (end - since)):
        return None
    blamed = output_layers(case, model)
    went = (
        f"they are still {number(float(way.distance[-1]))} deviations off at step {end:,.0f}"
        if arrives is None
        else f"they get there at step {arrives:,.0f} only"
    )
    return Finding(
        rule="poor_init",
        severity=Severity.WARNING,
        layers=blamed,
        first_step=since,
        last_step=end if arrives is None else arrives,
        message=f"The targets lie at {number(way.mean)}, {number(float(way.distance[0]))} times their deviation away "
        f"from where the outputs of {layer_name(case.network, blamed[0])} begin: all goes into moving there, and "
        f"{went}.",
        beyond=Beyond(
            "distance of the first outputs from the targets, in their deviations", float(way.distance[0]), factor
        ),
        evidence=(
            Line("mean of the outputs", "outputs", found.steps, found.outputs.mean),
            Line("mean of the targets", "outputs", found.steps, found.targets.mean),
        ),
        remedies=_REMEDIES,
        excluded=(
            "Not outputs that begin too large: they begin about zero, and next to each other.",
            "Not outputs that can't get there: they move towards the targets.",
        ),
        view="overview",
        subject=OFFSET,
    )


def _is_open(case: Case, model: str) -> bool:
    """Whether what the model puts out can be any number, as far as that was measured."""
    last = next((row for row in reversed(case.network.activations) if row.model == model), None)
    return last is None or last.activation.response is Response.NONE


@np.errstate(invalid="ignore")
def _way(case: Case, found: Outputs) -> _Way | None:
    """Return the way of numbers that begin about zero, and whose loss is of their distance to the targets."""
    given, asked = found.outputs, found.targets
    known = np.isfinite(given.mean) & np.isfinite(asked.mean) & (found.target_kind == NUMBERS)
    if not known.any() or found.steps[known][0] > BEGINNING:
        return None
    means, first = asked.mean[known], int(np.flatnonzero(known)[0])
    spread = float(np.sqrt(np.mean(asked.std[known] ** 2) + np.var(means)))
    size = _NEAR_ZERO * abs(float(means[0]))
    if not spread > 0 or abs(given.mean[first]) > size or not given.std[first] <= size:
        return None
    if found.criterion not in _OF_NUMBERS and not _is_of_distance(case, found, first):
        return None
    larger = float(spread / given.std[first]) if given.std[first] > 0 else np.inf
    return _Way(found.steps[known], np.abs(given.mean[known] - means) / spread, float(means[0]), larger)


def _is_of_distance(case: Case, found: Outputs, first: int) -> bool:
    """Whether the first loss that was logged is the distance of outputs from targets, or its square."""
    apart = abs(float(found.outputs.mean[first] - found.targets.mean[first]))
    logged = float(logged_loss(case, found.steps[first : first + 1])[0])
    return any(abs(logged - loss) <= _SAME * loss for loss in (apart, apart**2))
