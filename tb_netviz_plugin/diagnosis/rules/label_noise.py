"""`label_noise`: errors spread over samples and classes as evenly as if labels had been drawn at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tb_netviz_plugin.analysis.outputs import Classes, Outputs
from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.analysis.wording import number
from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.answers import answers
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.rule import Limits, Rule, Threshold
from tb_netviz_plugin.diagnosis.stretches import at_end, smooth

_LATE = 0.3
"""Share of the run, at its end, that is judged."""
_FEWEST_CLASSES = 3
"""Classes from which on even errors tell: between two, all errors look alike."""
_FEWEST_SAMPLES = 500
_ABOVE_CHANCE = 1.5
"""Accuracy over that of chance from which on the network has learned what labels mean."""
_MOST_RIGHT = 0.93
"""Accuracy up to which there are enough errors to tell what they are like."""
_FLAT = 0.1
"""Share of itself by which the loss falls at most over the end."""
_MOST = 1.15
"""Loss, and its deviation, over those of labels drawn at random, up to which they may be of these."""
_EVEN = 0.1
"""Deviation of the accuracy of classes, beyond what chance makes, where errors are spread evenly."""

_REMEDIES = (
    Remedy(
        "Look at the samples with the largest losses: wrong labels stand first.",
        'losses = nn.functional.cross_entropy(model(inputs), targets, reduction="none")\n'
        "suspicious = losses.argsort(descending=True)[:100]",
    ),
    Remedy("Check that inputs and targets are shuffled alike, and how labels are read."),
    Remedy("Keep the network from learning them by heart.", "criterion = nn.CrossEntropyLoss(label_smoothing=0.1)"),
    Remedy("Stop early: wrong labels are learned last."),
)


@dataclass(frozen=True, slots=True)
class _End:
    """What the cross-entropies of single samples are like at the end.

    Attributes:
        accuracy: Share of samples that are right.
        loss: Mean of their cross-entropies.
        spread: Standard deviation.
        classes: How many there are.
    """

    accuracy: float
    loss: float
    spread: float
    classes: float

    @property
    def even_loss(self) -> float:
        """The loss of a network that is as sure of each answer as it is right, its errors spread over all classes."""
        wrong = (1 - self.accuracy) / (self.classes - 1)
        return float(-self.accuracy * np.log(self.accuracy) - (1 - self.accuracy) * np.log(wrong))

    @property
    def even_spread(self) -> float:
        """Standard deviation over samples of that loss: of one value where it is right, and one where it is not."""
        odds = self.accuracy * (self.classes - 1) / (1 - self.accuracy)
        return float(np.sqrt(self.accuracy * (1 - self.accuracy)) * np.log(odds))


def find(case: Case, limits: Limits) -> list[Finding]:
    """Find a classifier that is wrong as often, and as surely, as random labels make it."""
    given, classes = answers(case), case.classes
    if given is None or classes is None or (end := _end(given)) is None or not _plateau(given):
        return []
    loss, spread = end.loss / end.even_loss, end.spread / end.even_spread
    lowest = limits["even"]
    if not lowest <= loss <= _MOST or not lowest <= spread <= _MOST or not _same_for_all(classes):
        return []
    since, wrong = float(given.steps[0]), 1 - end.accuracy
    return [
        Finding(
            rule="label_noise",
            severity=Severity.WARNING,
            layers=(),
            first_step=since,
            last_step=float(given.steps[-1]),
            message=f"{wrong:.0%} of the training samples stay wrong, alike in all {end.classes:,.0f} classes, and the "
            f"loss is {number(end.loss)} where as many labels drawn at random make {number(end.even_loss)}: about so "
            "many labels seem to be wrong.",
            beyond=Beyond("loss over that which labels drawn at random make", loss, lowest),
            evidence=(
                Line("cross-entropy", "outputs", given.steps, given.loss, end.even_loss),
                Line("deviation of the cross-entropy over samples", "outputs", given.steps, given.loss_std),
                Line("accuracy in training", "outputs", given.steps, given.accuracy),
            ),
            remedies=_REMEDIES,
            excluded=(
                "Not classes that are hard to tell apart: errors would gather in these, and in samples between them.",
                f"Not too early to tell: the loss is flat, and its deviation over samples is {number(end.spread)}.",
            ),
            view="overview",
        )
    ]


def _end(given: Outputs) -> _End | None:
    late = at_end(given.steps, _LATE) & (given.labelled > 0)
    weights = given.labelled[late]
    if weights.sum() < _FEWEST_SAMPLES or not np.isfinite(given.loss[late]).all():
        return None
    accuracy, loss = _mean(given.accuracy[late], weights), _mean(given.loss[late], weights)
    squares = _mean(np.square(given.loss_std[late]) + np.square(given.loss[late]), weights)
    classes = float(np.nanmax(given.classes))
    learned = _ABOVE_CHANCE / classes < accuracy < _MOST_RIGHT
    spread = float(np.sqrt(max(squares - loss**2, 0.0)))
    return _End(accuracy, loss, spread, classes) if classes >= _FEWEST_CLASSES and learned else None


def _mean(values: Floats, weights: Floats) -> float:
    return float(np.average(values, weights=weights))


def _plateau(given: Outputs) -> bool:
    """Whether the loss has stopped falling."""
    level = smooth(given.loss[at_end(given.steps, _LATE) & np.isfinite(given.loss)])
    third = max(1, len(level) // 3)
    return bool(level[:third].mean() - level[-third:].mean() <= _FLAT * level[:third].mean())


def _same_for_all(classes: Classes) -> bool:
    """Whether the share of right answers is the same in all classes, as far as their samples tell."""
    late = at_end(classes.steps, _LATE)
    targets, hits = classes.targets[:, late].sum(axis=1), classes.hits[:, late].sum(axis=1)
    seen = targets > 0
    if seen.sum() < _FEWEST_CLASSES:
        return False
    shares = hits[seen] / targets[seen]
    mean = hits.sum() / targets.sum()
    by_chance = float(np.mean(mean * (1 - mean) / targets[seen]))
    return float(np.var(shares)) - by_chance <= _EVEN**2


RULE = Rule(
    id="label_noise",
    title="Labels seem to be wrong",
    needs=(
        needs.outputs(
            "class indices were recorded; give the loss to watch(criterion=…), or call observe(outputs=…, targets=…)",
            targets=True,
            classes=True,
        ),
        needs.records(20),
    ),
    thresholds=(Threshold("even", 0.9, "loss over that which labels drawn at random make", 0.5, 1.0),),
    find=find,
)
