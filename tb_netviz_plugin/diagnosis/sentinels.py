"""A number among the targets that stands for none, such as -999 where nothing was measured."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tb_netviz_plugin.analysis.outputs import NUMBERS, Outputs
from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.analysis.wording import number
from tb_netviz_plugin.diagnosis.answers import answers, logged_loss
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.stretches import at_end

_RECORDS, _AGAIN = 20, 0.3
"""Records that it takes to tell, and share of them at which the very same number is at one end of the targets."""
_OTHER = 0.3
"""Share of them at which the other end may be one and the same: where both are, targets are of a few kinds, or of the
same samples."""
_FAR = 5.0
"""Distance of that number from the middle of the others, over that of the largest of these, from which on it is none
of them."""
_RARE = 0.3
"""Share of the targets that it makes up at most: what is so most of the time is an answer."""
_LATE, _UNLEARNED = 0.3, 0.9
"""Share of the run, at its end, and loss over the variance of the targets, from which on the network can't tell where
that number stands: of a rare event that is left to chance it would know how likely it is."""

_REMEDIES = (
    Remedy(
        "Leave out the samples that have no target, before targets are scaled.",
        "known = targets != -999\nloss = criterion(model(inputs)[known], targets[known])",
    ),
    Remedy("Look at what the smallest and largest targets are, and how often each occurs.", "targets.unique().sort()"),
    Remedy("If they are real, and rare, take a loss that they weigh less in.", "criterion = nn.HuberLoss()"),
)


class _Odd(NamedTuple):
    """A number that stands far off.

    Attributes:
        value: It.
        share: Share of the targets that it makes up.
        middle: Mean of the others.
        reach: Distance of the farthest of these from that.
        records: At how many it is at the end of the targets.
    """

    value: float
    share: float
    middle: float
    reach: float
    records: int


def sentinels(case: Case) -> Finding | None:
    """Find one and the same number far off all other targets, again and again, which nothing in the inputs tells."""
    given = answers(case)
    if given is None or given.criterion != "MSELoss" or not (given.target_kind == NUMBERS).all():
        return None
    ends = (given.targets.smallest, given.targets.largest)
    found = (_odd(given, *pair) for pair in (ends, ends[::-1]))
    odd = next((one for one in found if one is not None), None)
    late = at_end(given.steps, _LATE)
    with np.errstate(divide="ignore", invalid="ignore"):
        left = float(np.nanmedian((logged_loss(case, given.steps) / given.targets.std**2)[late]))
    if odd is None or not left >= _UNLEARNED:
        return None
    return _finding(given, odd, left)


def _odd(given: Outputs, end: Floats, other: Floats) -> _Odd | None:
    """Return the number that is at one end of the targets again and again, if it is far off the others."""
    values, counts = np.unique(end, return_counts=True)
    value, at = float(values[counts.argmax()]), end == values[counts.argmax()]
    if at.sum() < _RECORDS or at.mean() < _AGAIN or _most_frequent(other) > _OTHER:
        return None
    mean, variance = given.targets.mean[at], np.square(given.targets.std[at])
    # Where p of the targets are that number and the others are near their middle, the mean lies p of the way from
    # there to it, and the variance is p (1 - p) times the square of that way.
    middle = float(np.median(mean - variance / (value - mean)))
    reach, way = float(np.median(np.abs(other[at] - middle))), abs(value - middle)
    share = float(np.median((mean - middle) / (value - middle)))
    if not 0 < share <= _RARE or not 0 < _FAR * reach <= way:
        return None
    return _Odd(value, share, middle, reach, int(at.sum()))


def _most_frequent(values: Floats) -> float:
    """Return the share of the values that the most frequent one has."""
    return float(np.unique(values, return_counts=True)[1].max() / len(values))


def _finding(given: Outputs, odd: _Odd, left: float) -> Finding:
    way = abs(odd.value - odd.middle) / odd.reach
    return Finding(
        rule="label_noise",
        severity=Severity.WARNING,
        layers=(),
        first_step=float(given.steps[0]),
        last_step=float(given.steps[-1]),
        message=f"About {odd.share:.0%} of the targets are {number(odd.value)}, exactly, {way:.0f} times as far from "
        f"the middle of the others, {number(odd.middle)}, as the farthest of these, and the loss is still {left:.0%} "
        "of the targets' variance: it seems to stand for a value that is not there.",
        beyond=Beyond("distance from the middle of the targets over that of the farthest of the others", way, _FAR),
        evidence=(
            Line("smallest target", "outputs", given.steps, given.targets.smallest),
            Line("largest target", "outputs", given.steps, given.targets.largest),
        ),
        remedies=_REMEDIES,
        excluded=(
            f"Not an outlier: it is the same number at {odd.records:,} records.",
            "Not targets of a few kinds: the others go on to differ.",
            "Not something that can be foretold, nor how likely it is: the loss would be lower.",
        ),
        view="overview",
    )
