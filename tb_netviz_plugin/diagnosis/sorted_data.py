"""Data that come sorted: a loss that leaps as another kind begins, which is learned while the last one is forgotten."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from tb_netviz_plugin.analysis.wording import fold, number
from tb_netviz_plugin.diagnosis.answers import answers
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.causes import SORTED
from tb_netviz_plugin.diagnosis.course import Course
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.leaps import steps_were_ordinary
from tb_netviz_plugin.diagnosis.movement import set_from_outside
from tb_netviz_plugin.diagnosis.rates import rate_returns

_LATE = 0.3
"""Share of the run over which it has to leap at the least."""
_BEGAN = 0.5
"""Share of the usual loss that its first value has at the least where that is what it costs to know nothing."""
_FEWEST_SAMPLES = 8
"""Samples of a batch from which on it is a matter of their order that their targets are alike."""
_MIDDLE = (0.1, 0.9)
"""Quantiles of the means of batches that most of them lie between."""
_ALIKE, _MOSTLY = 0.3, 0.8
"""Deviation of the targets within a record, over half of what the means span, where they are of one kind, and the share
of the records."""
_CHANGE = 0.2
"""Share of that by which the mean moves where another kind follows."""
_SIDE = 2
"""Records on either side of such a change whose losses are compared."""
_LEAPS, _MANY = 1.25, 0.4
"""Factor by which the loss is higher after such a change, and comes down again, and the share of such changes."""
_BACK = 0.4
"""Share of the stretches of one kind that had come before: else it is the task that changes."""
_ABOVE, _LEFT = 2.0, 0.5
"""Factor by which two records lie above the three before where a block of other data begins, and share of that leap
which is left over the first records of it: a single wrong batch is over at once."""
_BLOCK = 5
"""Records that a block has at the least."""

_SHUFFLE = (
    Remedy("Shuffle the data: each batch has to hold targets of all kinds.", "DataLoader(dataset, shuffle=True)"),
    Remedy("If they come as a stream, draw batches from a buffer of what came before."),
)


def of_order(case: Case, loss: Course, least: float, rule: str) -> list[Finding]:
    """Find a loss that leaps each time that the batches begin to hold targets of another kind, as sorted data do.

    Args:
        case: The run.
        loss: That of training.
        least: Such changes after which the loss is higher that it takes.
        rule: Id of the rule that tells of it.
    """
    given = answers(case)
    if given is None or not (given.samples >= _FEWEST_SAMPLES).all():
        return []
    known = np.isfinite(given.targets.mean) & np.isfinite(given.targets.std)
    means, within, steps = given.targets.mean[known], given.targets.std[known], given.steps[known]
    # Half of what the middle of the means spans: a few targets far out say nothing of the others.
    apart = float(np.ptp(np.quantile(means, _MIDDLE))) / 2 if known.any() else 0.0
    if not apart > 0 or (within <= _ALIKE * apart).mean() < _MOSTLY:
        return []
    at = 1 + np.flatnonzero(np.abs(np.diff(means)) >= _CHANGE * apart)
    changes = steps[at]
    kinds = np.array([np.median(part) for part in np.split(means, at)])
    back = [bool((np.abs(kinds[:late] - kind) < _CHANGE * apart).any()) for late, kind in enumerate(kinds)]
    leaps = np.array([_leap(loss, step, end) for step, end in pairwise([*changes, np.inf])])
    count = int((leaps >= _LEAPS).sum())
    if count < least or count < _MANY * len(changes) or np.mean(back) < _BACK:
        return []
    return [
        Finding(
            rule=rule,
            severity=Severity.WARNING,
            layers=(),
            first_step=float(loss.steps[0]),
            last_step=float(loss.steps[-1]),
            message=f"The targets of a batch are of one kind, which changes {len(changes):,} times: {count:,} times "
            f"{loss.name} was higher then than before, {fold(float(np.median(leaps)))} at the median. It learns the "
            "one and forgets the other.",
            beyond=Beyond("changes after which the loss is higher", float(count), least),
            evidence=(
                Line(loss.name, loss.name, loss.steps, loss.values),
                Line("mean of a batch's targets", "targets", steps, means),
            ),
            remedies=_SHUFFLE,
            excluded=(
                f"Not single samples: there are at least {given.samples.min():,.0f} to a batch.",
                "Not the size of the steps: the loss leaps as the targets change.",
            ),
            view="overview",
            subject=SORTED,
        )
    ]


def of_blocks(case: Case, loss: Course, least: float, rule: str) -> list[Finding]:
    """Find a loss that leaps beyond its beginning again and again, behind no large step, and is learned down each time.

    Only where targets are not known: else it is seen whether they are of one kind, and whether kinds come back. The
    arguments are those of `of_order`.
    """
    if answers(case) is not None or not loss.has_scale or rate_returns(case):
        return []
    if loss.start < _BEGAN * np.median(loss.values):
        return []  # What is asked grows, as what an agent expects does: a loss that began low is no measure.
    at = [place for place in _block_starts(loss) if steps_were_ordinary(case, float(loss.steps[place]))]
    if len(at) < max(least, 2) or loss.steps[at[-1]] - loss.steps[at[0]] < _LATE * (loss.steps[-1] - loss.steps[0]):
        return []
    if set_from_outside(case, range(len(case.network.layers))).sum() >= len(at):
        return []
    before, after = (float(np.median(loss.values[np.array(at) + side])) for side in (-1, 0))
    return [
        Finding(
            rule=rule,
            severity=Severity.WARNING,
            layers=(),
            first_step=float(loss.steps[at[0]]),
            last_step=float(loss.steps[at[-1]]),
            message=f"{loss.name} leapt beyond its first value {len(at):,} times, from {number(before)} to "
            f"{number(after)} at the median, though no step before was large, and was learned down each time: as if "
            "data came in blocks of one kind, of which it learns the one and forgets the other.",
            beyond=Beyond("leaps beyond the first value", float(len(at)), least),
            evidence=(Line(loss.name, loss.name, loss.steps, loss.values, loss.start),),
            remedies=_SHUFFLE,
            excluded=(
                "Not single batches: each time it took several records to come down.",
                "Not the size of the steps: those before a leap were no larger than usual.",
            ),
            view="overview",
            subject=SORTED,
        )
    ]


def _block_starts(loss: Course) -> list[int]:
    """Return the records from which on a loss has leapt beyond its first value, and come down slowly."""
    found: list[int] = []
    for at in range(_BLOCK, len(loss.values) - _BLOCK):
        past, first, block = loss.values[at - 3 : at], loss.values[at : at + 2], loss.values[at : at + _BLOCK]
        if found and at - found[-1] < _BLOCK:
            continue
        high = first.min() >= max(_ABOVE * float(past.max()), loss.start)
        if high and np.median(block) >= _LEFT * first.max():
            found.append(at)
    return found


def _leap(loss: Course, step: float, end: float) -> float:
    """Return the loss just after a step over that just before; 0 where it does not come down again until `end`.

    Of tasks that take turns each has a loss of its own, and none of them is forgotten.
    """
    at, until = (int(np.searchsorted(loss.steps, when)) for when in (step, end))
    stretch = loss.values[at:until]
    parts = (loss.values[max(0, at - _SIDE) : at], stretch[:_SIDE], stretch[-_SIDE:])
    if not all(part.size for part in parts):
        return 0.0
    before, after, last = (float(np.median(part)) for part in parts)
    return after / before if last * _LEAPS <= after and before > 0 else 0.0
