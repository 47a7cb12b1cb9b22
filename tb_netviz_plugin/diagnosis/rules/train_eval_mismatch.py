"""`train_eval_mismatch`: modes that were not switched, and networks far worse in evaluation than in training.

Where no module does something else in evaluation, data that are prepared differently look the same to the losses.
"""

from __future__ import annotations

import re

import numpy as np

from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.analysis.wording import number
from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.answers import guess
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.course import Course, course, training
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.modes import MODE, RULE_ID, begins, confused, modal_types, normalisations
from tb_netviz_plugin.diagnosis.padding import padded
from tb_netviz_plugin.diagnosis.prepared import OUTPUTS, SPREAD, falls_along, larger, prepared
from tb_netviz_plugin.diagnosis.rule import Limits, Rule, Threshold
from tb_netviz_plugin.diagnosis.unlike_batches import of_unlike_batches

_SETTLED = 50
"""Steps after which running statistics have left their first values behind, at torch's momentum of 0.1."""
_FEWEST = 3
"""Validations that it takes to tell."""
_MOSTLY = 0.8
"""Share of the validations that are that bad."""
_LEARNED = 0.3
"""Share of the first loss by which training has to have fallen."""
_FRESH = 0.2
"""Share of the first loss that is left at the first validation, where little can have been learned by heart yet."""
_GROWTH = 1.5
"""Factor by which the validation loss grows at most: what is learned by heart makes it worse all the time."""
_FAR = 3.0
"""First validation loss over the first training loss that can't come of that so early, however it goes on."""
_WILD = 4.0
"""The same that can't, though training had learned a lot by then."""
_BETTER = 0.7
"""Share of what guessing costs at which a network began that knows something."""
_NEVER, _AT_FIRST = 0.7, 0.9
"""Shares of the first loss above which a validation loss is by the middle, and at first, where nothing carries over."""
_BY_THEN, _WELL = 0.75, 0.6
"""Share of its first value at which training has learned something, and by which it falls in all, meanwhile."""
_OTHER, _STAYS = 2.0, 0.8
"""Factor over the first training loss at which a validation loss begins that is of another unit, and the share of its
own first value below which it falls nevertheless."""
_RISE, _RISE_BESIDE = 1.15, 1.6
"""Factors by which such a validation loss rises at most, and where running statistics drift beside what is learned:
what is learned by heart makes it worse all the time."""
_LEFT, _LONG = 0.5, 100
"""Share of the first values that is left in running statistics which lag behind, after so many steps at least."""
_APART = 2.0
"""Factor of the validation loss over that of training that such statistics cost."""

_REMEDIES = (
    Remedy(
        "Compare the loss of one training batch in both modes: they have to be about the same.",
        "for mode in (True, False):\n    print(mode, criterion(model.train(mode)(inputs), targets))",
    ),
    Remedy("Let running statistics follow faster, or take larger batches.", "nn.BatchNorm2d(channels, momentum=0.1)"),
    Remedy("Take a normalisation that does the same in both modes.", "nn.GroupNorm(8, channels)"),
    Remedy("Prepare training and validation data alike."),
)


def find(case: Case, limits: Limits) -> list[Finding]:
    """Find modes that were not switched, inputs that differ, or a loss that does not follow from what was learned."""
    modes, inputs = confused(case, limits["mode"]), prepared(case, limits["inputs"])
    for known in (modes, inputs):
        if any(finding.severity > Severity.INFO for finding in known):
            return known
    return _that_tells_most(_by_data(case) or _by_losses(case, limits), larger(case, limits["outputs"])) + (
        modes or inputs
    )


def _by_data(case: Case) -> list[Finding]:
    """Find data that training or evaluation alone has, as the cause of a loss that differs."""
    unlike = of_unlike_batches(case)
    return padded(case) or ([unlike] if unlike else [])


def _that_tells_most(losses: list[Finding], outputs: list[Finding]) -> list[Finding]:
    """Return what is told by the losses, unless outputs say which layers do it."""
    named = any(finding.layers and finding.severity > Severity.INFO for finding in outputs)
    return outputs if not losses or (named and not losses[0].layers) else losses


def _by_losses(case: Case, limits: Limits) -> list[Finding]:
    """Find a validation loss that is no better than before training from the first, while training goes well."""
    held_out, trained, modal = course(case.curve("val_loss")), training(case), modal_types(case)
    if held_out is None or trained is None or trained.start <= 0 or trained.learned < _LEARNED:
        return []
    settled = held_out.steps - trained.steps[0] >= _SETTLED
    steps, values = held_out.steps[settled], held_out.values[settled]
    if lagging := _lagging(case, held_out, trained):
        return lagging
    if len(steps) < _FEWEST or falls_along(held_out, trained):
        return []
    bad = values >= limits["loss"] * trained.start
    # Dropout does no harm in evaluation, so that a rise is not its doing.
    drifts = any("Dropout" not in kind for kind in modal)
    growth, rise = (_GROWTH, _RISE_BESIDE) if drifts else (_RISE, _RISE)
    wild = _WILD if drifts and not _knew(case, trained) else np.inf
    worse = bool(modal and bad[0] and bad.mean() >= _MOSTLY and _from_the_first(held_out, trained, growth, wild))
    if worse or _carries_nothing_over(held_out, trained, rise):
        return [_finding(held_out, trained, steps, float(np.median(values)), limits["loss"], modal)]
    return []


def _lagging(case: Case, held_out: Course, trained: Course) -> list[Finding]:
    """Find running statistics that mostly are what they began with, and a validation that shows it."""
    count = float(trained.steps[-1] - trained.steps[0]) + 1
    momenta = {module.name: _momentum(module.detail) for module in normalisations(case)}
    left = {name: (1 - momentum) ** count for name, momentum in momenta.items()}
    lagging = [name for name, share in left.items() if share >= _LEFT]
    beside = np.interp(held_out.steps, trained.steps, trained.level)
    apart = (held_out.values >= _APART * beside).mean() >= _MOSTLY
    if count < _LONG or not lagging or not apart or not all(begins(case, name) for name in lagging):
        return []
    name = lagging[0]
    return [
        Finding(
            rule=RULE_ID,
            severity=Severity.WARNING,
            layers=tuple(index for index, layer in enumerate(case.network.layers) if layer.name in lagging),
            first_step=float(trained.steps[0]),
            last_step=float(held_out.steps[-1]),
            message=f"With a momentum of {momenta[name]:g} the running statistics of {name} still hold "
            f"{left[name]:.0%} of what they began with after {count:,.0f} steps: in evaluation, where they are used, "
            f"{held_out.name} is {number(held_out.end)}, while {trained.name} is {number(trained.end)}.",
            beyond=Beyond("share of their first values in running statistics", left[name], _LEFT),
            evidence=tuple(Line(one.name, one.name, one.steps, one.values) for one in (held_out, trained)),
            remedies=_REMEDIES[1:3] + _REMEDIES[:1],
            excluded=("Not statistics that were learned before: the scales began at one.",),
            view="overview",
        )
    ]


def _momentum(detail: str) -> float:
    """Return the momentum that a normalisation says it has, if it is not the usual one."""
    found = re.search(r"\bmomentum ([0-9.e-]+)", detail)
    return float(found.group(1)) if found else 1.0


def _finding(
    held_out: Course, trained: Course, steps: Floats, middle: float, limit: float, modal: tuple[str, ...]
) -> Finding:
    than = "worse than" if middle > trained.start else "hardly better than"
    why = (
        f"in evaluation the network does not do what it learned ({', '.join(modal)} do something else there)"
        if modal
        else "what it is validated on is not prepared as it is in training, or the network does something else there"
    )
    return Finding(
        rule=RULE_ID,
        severity=Severity.WARNING,
        layers=(),
        first_step=float(trained.steps[0]),
        last_step=float(held_out.steps[-1]),
        message=f"{held_out.name} has been at {number(middle)} since step {steps[0]:,.0f}, {than} the "
        f"{number(trained.start)} before training, while {trained.name} fell to {number(trained.end)}: {why}.",
        beyond=Beyond("validation loss over the first training loss", middle / trained.start, limit),
        evidence=(
            Line(held_out.name, held_out.name, held_out.steps, held_out.values, limit * trained.start),
            Line(trained.name, trained.name, trained.steps, trained.values),
        ),
        remedies=_REMEDIES,
        excluded=(
            "Not overfitting: it was so from the first, when little could be learned by heart.",
            f"Not running statistics that have only begun: {_SETTLED} steps are left out.",
            "Not a loss of another unit: it does not fall along with that of training.",
        ),
        view="overview",
    )


def _knew(case: Case, trained: Course) -> bool:
    """Whether a network began better than by guessing, so that its first training loss is no measure of ignorance."""
    guesses = (guess(case, model) for model in case.network.models)
    return any(one is not None and trained.start < _BETTER * one for one in guesses)


def _from_the_first(held_out: Course, trained: Course, growth: float, wild: float) -> bool:
    """Whether it was so before much could have been learned by heart, and has not come of that."""
    beside, first = float(np.interp(held_out.steps[0], trained.steps, trained.level)), float(held_out.values[0])
    settled = _last(held_out.values) <= growth * first or first >= _FAR * trained.start
    early = beside >= _FRESH * trained.start or first >= wild * trained.start
    return early and settled


def _carries_nothing_over(held_out: Course, trained: Course, rise: float) -> bool:
    """Whether nothing that training had learned helped there when it first had learned something, nor did it later."""
    beside = np.interp(held_out.steps, trained.steps, trained.level)
    learned = np.flatnonzero(beside <= _BY_THEN * trained.start)
    if not learned.size or trained.learned < _WELL:
        return False
    first = held_out.values[: learned[0] + 1].min()
    never = first >= _AT_FIRST * trained.start and np.median(held_out.values) >= _NEVER * trained.start
    other = held_out.values[0] > _OTHER * trained.start or _last(held_out.values) < _STAYS * held_out.values[0]
    return bool(not other and never and _last(held_out.values) <= rise * held_out.values.min())


def _last(values: Floats) -> float:
    return float(np.median(values[-_FEWEST:]))


def _known(case: Case) -> list[Finding]:
    """Return what is known to be wrong without losses."""
    return confused(case) or prepared(case) or larger(case)


RULE = Rule(
    id=RULE_ID,
    title="Evaluation differs from training",
    needs=(
        needs.unless(_known, needs.curve("train_loss", "training loss was logged", 20)),
        needs.unless(_known, needs.curve("val_loss", "validation loss was logged", _FEWEST)),
    ),
    thresholds=(
        Threshold("loss", 1.1, "validation loss over the first training loss", 0.5, 100.0),
        Threshold(
            "inputs", SPREAD, "deviation of the inputs' features in evaluations over that in training", 1.5, 100.0
        ),
        Threshold("outputs", OUTPUTS, "size of the outputs in evaluations over that in training", 1.5, 100.0),
        Threshold("mode", MODE, "share of the evaluations, or of the steps, in the other mode", 0.1, 1.0),
    ),
    find=find,
)
