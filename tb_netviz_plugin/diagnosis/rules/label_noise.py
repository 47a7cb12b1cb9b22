"""`label_noise`: errors spread as evenly as if labels had been drawn at random, or answers that are true elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tb_netviz_plugin.analysis.outputs import Outputs
from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.analysis.wording import number
from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.answers import answers
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.course import course, training
from tb_netviz_plugin.diagnosis.errors import Errors, errors_of, same_in_all
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.rule import Limits, Rule, Threshold
from tb_netviz_plugin.diagnosis.sentinels import sentinels
from tb_netviz_plugin.diagnosis.truer import HELD_OUT, truer

_STRETCH, _APART, _BEGINNING = 0.3, 0.1, 0.1
"""Share of the run that is judged at once, how far such stretches begin apart, and what comes before the first."""
_MOST = 1.15
"""Loss, and its deviation, over those of labels drawn at random, up to which they may be of these."""
_ALIKE = 0.1
"""By how much the one may differ from the other: classes that overlap make their losses less even than that."""
_AS_LOW, _LAST = (0.85, 1.2), 3
"""Validation loss, at the median of the last ones, over the training loss, between which nothing tells labels that are
wrong from answers that are drawn at random: labels that are right make it lower, and labels learned by heart higher."""
_FALLS = 0.9
"""Validation loss in the end, over that in a stretch before, below which what was learned in between carries over."""
_MANY = 5
"""Classes from which on answers that are drawn by their nature, such as a player's moves, are seldom spread evenly."""
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


def find(case: Case, limits: Limits) -> list[Finding]:
    """Find answers that are wrong, by the errors in training, by answers that were held out, or by what they are."""
    found = _even(case, limits["even"])
    if found is not None and found.severity > Severity.INFO:
        return [found]
    others = (truer(case, _REMEDIES, limits["held_out"]), sentinels(case))
    return [one for one in (*others, found) if one is not None][:1]


def _even(case: Case, lowest: float) -> Finding | None:
    """Find a classifier that is wrong as often, and as surely, as random labels make it, at the end or for a while."""
    given, classes = answers(case), case.classes
    if given is None or classes is None:
        return None
    stretches = (errors_of(given, first, last) for first, last in _spans(given.steps))
    found = (one for one in stretches if one is not None and _as_random(one, lowest) and same_in_all(classes, one))
    noisy = next((one for one in found if not _carries_over(case, one)), None)
    if noisy is None:
        return None
    sure = noisy.classes >= _MANY or _validation_differs(case)
    return _finding(given, noisy, lowest, Severity.WARNING if sure else Severity.INFO)


def _carries_over(case: Case, errors: Errors) -> bool:
    """Whether validation went on to fall after a stretch: the network was learning, and nothing by heart."""
    held_out = course(case.curve("val_loss"))
    if held_out is None or errors.last >= case.last_step or len(held_out.values) < _LAST:
        return False
    then = float(np.interp((errors.first + errors.last) / 2, held_out.steps, held_out.level))
    return float(np.median(held_out.values[-_LAST:])) < _FALLS * then


def _validation_differs(case: Case) -> bool:
    """Whether the validation loss is known to be another one than that of training in the end."""
    held_out, trained = course(case.curve("val_loss")), training(case)
    if held_out is None or trained is None or not trained.has_scale or not trained.end > 0:
        return False
    low, high = _AS_LOW
    return not low <= float(np.median(held_out.values[-_LAST:])) / trained.end <= high


def _finding(given: Outputs, noisy: Errors, lowest: float, severity: Severity) -> Finding:
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


def _as_random(errors: Errors, lowest: float) -> bool:
    """Whether the losses of single samples are those that labels drawn at random make."""
    shares = (errors.loss / errors.even_loss, errors.spread / errors.even_spread)
    return all(lowest <= share <= _MOST for share in shares) and abs(shares[0] - shares[1]) <= _ALIKE


RULE = Rule(
    id="label_noise",
    title="Labels seem to be wrong",
    needs=(
        needs.outputs(
            "targets were recorded; give the loss to watch(criterion=…), or call observe(outputs=…, targets=…)",
            targets=True,
        ),
        needs.records(20),
    ),
    thresholds=(
        Threshold("even", 0.93, "loss over that which labels drawn at random make", 0.5, 1.0),
        Threshold("held_out", HELD_OUT, "validation loss over the training loss", 0.1, 1.0),
    ),
    find=find,
)
