"""`overfitting`: a validation loss that rises while the training loss falls."""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.analysis.series import running_median
from tb_netviz_plugin.analysis.wording import number
from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.answers import guess
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.course import Course, course, training
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.rule import Limits, Rule, Threshold

_AFTER = 3
"""Values after the lowest that a rise rests on."""
_SCATTER = 3.0
"""Deviations of a single value that a rise is above."""
_SHARE = 0.1
"""Share of what the validation loss had gained that it loses, where that matters."""
_HALF = 0.5
"""Rise over the lowest value that matters whatever had been gained."""
_NOTHING, _ALL = 0.9, 0.05
"""Shares of the first training loss: the validation loss never was below this, that of training ends below that."""
_SMALL = 0.5
"""Share of the threshold that is enough of a rise then: all that was learned, was learned by heart."""
_FAR, _FELL = 0.4, 0.5
"""Shares of the first training loss, and of its own first value, above which a validation loss learns next to nothing
while that of training ends below `_ALL`."""
_SIZE = 2.0
"""Factor between the first validation loss and that of training at which they are of one size."""
_STILL = 0.05
"""Share by which the training loss falls meanwhile, at the least."""

_REMEDIES = (
    Remedy(
        "Stop where the validation loss is lowest, and keep the weights of that step.",
        'if val_loss < best:\n    best = val_loss\n    torch.save(model.state_dict(), "best.pt")',
    ),
    Remedy("Let the weights decay.", "torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.05)"),
    Remedy("Leave units out in training.", "nn.Dropout(0.3)"),
    Remedy("Get more data, or vary what there is; else take a smaller network."),
)


def find(case: Case, limits: Limits) -> list[Finding]:
    """Find a validation loss that has its lowest value behind it, while the training loss goes on falling."""
    held_out, trained = course(case.curve("val_loss")), training(case)
    if held_out is None or trained is None or len(held_out.values) < 2 * _AFTER:
        return []
    ignorance = max([trained.start, *(cost for model in case.network.models if (cost := guess(case, model)))])
    found = [one for one in (_rising(held_out, trained, limits["rise"]), _apart(held_out, trained, ignorance)) if one]
    return sorted(found, key=lambda one: -one.severity)[:1]


def _rising(held_out: Course, trained: Course, limit: float) -> Finding | None:
    level = running_median(held_out.values, _AFTER)
    at = int(np.argmin(level))
    if len(level) - 1 - at < _AFTER:
        return None
    lowest, now = float(level[at]), float(np.median(held_out.values[-_AFTER:]))
    gained = max(float(held_out.values[0]), trained.start) - lowest
    # Of a loss that goes below zero only what it had gained is a measure.
    scale = abs(lowest) if held_out.has_scale else gained
    rise = (now - lowest) / scale if scale > 0 else np.inf
    by_heart = lowest >= _NOTHING * trained.start > 0 and trained.end <= _ALL * trained.start
    if (
        rise < limit * (_SMALL if by_heart else 1.0)
        or now - lowest < _SCATTER * _scatter(held_out)
        or not _trains(trained, held_out, at)
        or (now <= trained.end and _of_one_unit(held_out, trained))
    ):
        return None
    since = float(held_out.steps[at])
    lost = (now - lowest) / gained if gained > 0 else np.inf
    return Finding(
        rule="overfitting",
        severity=Severity.WARNING if lost >= _SHARE or rise >= _HALF else Severity.INFO,
        layers=(),
        first_step=since,
        last_step=float(held_out.steps[-1]),
        message=f"{held_out.name} was {number(lowest)} at step {since:,.0f} and is {number(now)}, {rise:.0%} above "
        f"it, while {trained.name} went on to fall, to {number(trained.end)}.",
        beyond=Beyond("rise of the validation loss over its lowest value", rise, limit),
        evidence=(
            Line(held_out.name, held_out.name, held_out.steps, held_out.values, lowest * (1 + limit)),
            Line(trained.name, trained.name, trained.steps, trained.values),
        ),
        remedies=_REMEDIES,
        excluded=(
            "Not a gap that stays, as between data that differ: it rises.",
            f"Not the scatter of the validation loss, {number(_scatter(held_out))} from value to value.",
            "Not a training that goes astray: its loss falls.",
        ),
        view="overview",
    )


def _apart(held_out: Course, trained: Course, ignorance: float) -> Finding | None:
    """Find a validation loss that hardly fell at all, while that of training fell to next to nothing.

    That of `ignorance` is the first training loss, or what guessing costs where that is known and more.
    """
    lowest, first = float(running_median(held_out.values, _AFTER).min()), float(held_out.values[0])
    if not trained.start > 0 or trained.end > _ALL * ignorance or first > _SIZE * ignorance:
        return None
    if lowest < _FAR * ignorance or lowest < _FELL * first:
        return None
    return Finding(
        rule="overfitting",
        severity=Severity.WARNING,
        layers=(),
        first_step=float(held_out.steps[0]),
        last_step=float(held_out.steps[-1]),
        message=f"{trained.name}, {number(ignorance)} of a network that knows nothing, is {number(trained.end)}, and "
        f"{held_out.name} never went below {number(lowest)}: what was learned was learned by heart.",
        beyond=Beyond("lowest validation loss over that of a network that knows nothing", lowest / ignorance, _FAR),
        evidence=(
            Line(held_out.name, held_out.name, held_out.steps, held_out.values, _FAR * ignorance),
            Line(trained.name, trained.name, trained.steps, trained.values),
        ),
        remedies=_REMEDIES[1:] + _REMEDIES[:1],
        excluded=("Not a gap between two losses that both fall: hardly anything carries over.",),
        view="overview",
    )


def _of_one_unit(held_out: Course, trained: Course) -> bool:
    """Whether the two losses are of one size when the validation begins."""
    beside = float(np.interp(held_out.steps[0], trained.steps, trained.level))
    return bool(beside / _SIZE <= held_out.values[0] <= beside * _SIZE)


def _trains(trained: Course, held_out: Course, at: int) -> bool:
    """Whether the training loss is lower in the end than around the step of the lowest validation loss."""
    nearest = int(np.argmin(np.abs(trained.steps - held_out.steps[at])))
    then = float(np.median(trained.values[max(0, nearest - 2) : nearest + 3]))
    return then - trained.end > _STILL * abs(then)


def _scatter(held_out: Course) -> float:
    """Return the deviation of single values, from how far each lies from the middle of its neighbours."""
    bends = held_out.values[1:-1] - (held_out.values[:-2] + held_out.values[2:]) / 2
    return float(1.4826 * np.median(np.abs(bends)) / np.sqrt(1.5))


RULE = Rule(
    id="overfitting",
    title="Overfitting",
    needs=(
        needs.curve("train_loss", "training loss was logged", 2 * _AFTER),
        needs.curve("val_loss", "validation loss was logged", 2 * _AFTER),
    ),
    thresholds=(Threshold("rise", 0.2, "rise of the validation loss over its lowest value", 0.01, 100.0),),
    find=find,
)
