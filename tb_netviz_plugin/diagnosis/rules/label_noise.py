"""`label_noise`: errors spread over samples and classes as evenly as if labels had been drawn at random."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tb_netviz_plugin.analysis.outputs import Classes, Outputs
from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.analysis.wording import number
from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.answers import answers
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.course import course, training
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.rule import Limits, Rule, Threshold
from tb_netviz_plugin.diagnosis.stretches import smooth

_STRETCH, _APART, _BEGINNING = 0.3, 0.1, 0.1
"""Share of the run that is judged at once, how far such stretches begin apart, and what comes before the first."""
_FEWEST_CLASSES = 3
"""Classes from which on even errors tell: between two, all errors look alike."""
_FEWEST_SAMPLES = 500
_ABOVE_CHANCE = 0.2
"""Share of the way from the accuracy of chance to 1 from which on the network has learned what labels mean."""
_MOST_RIGHT = 0.93
"""Accuracy up to which there are enough errors to tell what they are like."""
_FLAT = 0.1
"""Share of itself by which the loss falls at most over a stretch."""
_MOST = 1.15
"""Loss, and its deviation, over those of labels drawn at random, up to which they may be of these."""
_ALIKE = 0.1
"""By how much the one may differ from the other: classes that overlap make their losses less even than that."""
_AS_LOW, _LAST = (0.85, 1.2), 3
"""Validation loss, at the median of the last ones, over the training loss, between which nothing tells labels that are
wrong from answers that are drawn at random: labels that are right make it lower, and labels learned by heart higher."""
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
class _Stretch:
    """What the cross-entropies of single samples are like for a while.

    Attributes:
        first: Its first step.
        last: Its last step.
        accuracy: Share of samples that are right.
        loss: Mean of their cross-entropies.
        spread: Standard deviation.
        classes: How many there are.
    """

    first: float
    last: float
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
    """Find a classifier that is wrong as often, and as surely, as random labels make it, at the end or for a while."""
    given, classes = answers(case), case.classes
    if given is None or classes is None:
        return []
    stretches = (_stretch(given, first, last) for first, last in _spans(given.steps))
    found = (one for one in stretches if one is not None and _as_random(one, limits["even"]) and _same(classes, one))
    noisy = next(found, None)
    if noisy is None:
        return []
    severity = Severity.WARNING if _validation_differs(case) else Severity.INFO
    return [_finding(given, noisy, limits["even"], severity)]


def _validation_differs(case: Case) -> bool:
    """Whether the validation loss is known to be another one than that of training in the end."""
    held_out, trained = course(case.curve("val_loss")), training(case)
    if held_out is None or trained is None or not trained.has_scale or not trained.end > 0:
        return False
    low, high = _AS_LOW
    return not low <= float(np.median(held_out.values[-_LAST:])) / trained.end <= high


def _finding(given: Outputs, noisy: _Stretch, lowest: float, severity: Severity) -> Finding:
    before = noisy.last < given.steps[-1]
    stay = f"stayed wrong from step {noisy.first:,.0f} to step {noisy.last:,.0f}" if before else "stay wrong"
    return Finding(
        rule="label_noise",
        severity=severity,
        layers=(),
        first_step=float(given.steps[0]),
        last_step=float(given.steps[-1]),
        message=f"{1 - noisy.accuracy:.0%} of the training samples {stay}, alike in all {noisy.classes:,.0f} classes, "
        f"and the loss {'was' if before else 'is'} {number(noisy.loss)} where as many labels drawn at random make "
        f"{number(noisy.even_loss)}: about so many labels seem to be wrong, or drawn at random.",
        beyond=Beyond("loss over that which labels drawn at random make", noisy.loss / noisy.even_loss, lowest),
        evidence=(
            Line("cross-entropy", "outputs", given.steps, given.loss, noisy.even_loss),
            Line("deviation of the cross-entropy over samples", "outputs", given.steps, given.loss_std),
            Line("accuracy in training", "outputs", given.steps, given.accuracy),
        ),
        remedies=_REMEDIES,
        excluded=(
            "Not classes that are hard to tell apart: errors would gather in these, and in samples between them.",
            f"Not too early to tell: the loss was flat, and its deviation over samples {number(noisy.spread)}.",
        ),
        view="overview",
    )


def _spans(steps: Floats) -> Iterator[tuple[float, float]]:
    """Yield the first and last step of each stretch, that at the end first."""
    begin, span = float(steps[0]), float(steps[-1] - steps[0])
    for index in range(round((1 - _STRETCH - _BEGINNING) / _APART) + 1):
        last = 1 - index * _APART
        yield begin + (last - _STRETCH) * span, begin + last * span


def _stretch(given: Outputs, first: float, last: float) -> _Stretch | None:
    """Return what single samples are like from `first` to `last`, or None where that can't tell of their labels."""
    at = (given.steps >= first) & (given.steps <= last) & (given.labelled > 0)
    weights, losses = given.labelled[at], given.loss[at]
    if weights.sum() < _FEWEST_SAMPLES or not np.isfinite(losses).all() or not _flat(losses):
        return None
    accuracy, loss = _mean(given.accuracy[at], weights), _mean(losses, weights)
    squares = _mean(np.square(given.loss_std[at]) + np.square(losses), weights)
    classes = float(np.nanmax(given.classes))
    if classes < _FEWEST_CLASSES:
        return None
    learned = (accuracy - 1 / classes) / (1 - 1 / classes) >= _ABOVE_CHANCE and accuracy < _MOST_RIGHT
    if not learned:
        return None
    return _Stretch(first, last, accuracy, loss, float(np.sqrt(max(squares - loss**2, 0.0))), classes)


def _as_random(stretch: _Stretch, lowest: float) -> bool:
    """Whether the losses of single samples are those that labels drawn at random make."""
    shares = (stretch.loss / stretch.even_loss, stretch.spread / stretch.even_spread)
    return all(lowest <= share <= _MOST for share in shares) and abs(shares[0] - shares[1]) <= _ALIKE


def _mean(values: Floats, weights: Floats) -> float:
    return float(np.average(values, weights=weights))


def _flat(losses: Floats) -> bool:
    """Whether the loss hardly falls."""
    level = smooth(losses)
    third = max(1, len(level) // 3)
    return bool(level[:third].mean() - level[-third:].mean() <= _FLAT * level[:third].mean())


def _same(classes: Classes, stretch: _Stretch) -> bool:
    """Whether the share of right answers is the same in all classes, as far as their samples tell."""
    at = (classes.steps >= stretch.first) & (classes.steps <= stretch.last)
    targets, hits = classes.targets[:, at].sum(axis=1), classes.hits[:, at].sum(axis=1)
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
    thresholds=(Threshold("even", 0.93, "loss over that which labels drawn at random make", 0.5, 1.0),),
    find=find,
)
