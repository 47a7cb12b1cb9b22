"""What a model gets and gives in evaluations beside what it gets and gives in training, as the writer measured both.

Two samples of the same data differ by little, whatever is learned from them: so do inputs that are augmented in
training only, drawn in another order, or of a similar source. What is scaled on one side only differs by factors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from tb_netviz_plugin.analysis.evaluations import Evaluations, Inputs
from tb_netviz_plugin.analysis.outputs import NUMBERS
from tb_netviz_plugin.analysis.records import Bools, Floats
from tb_netviz_plugin.analysis.wording import number
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.course import Course, course, training
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.modes import RULE_ID, normalisations

_EVALUATIONS = 3
"""Measured evaluations from which on it is a habit."""
_MOSTLY = 0.8
"""Share of them that have to be like that."""
_SAMPLES = 16
"""Entries on either side from which on moments mean something."""
SPREAD = 4.0
"""Factor between the middle deviations of features: augmentation makes one of 2, another source hardly one of 3."""
_NARROW = 8.0
"""The same where those in the evaluation are the smaller ones: it may be of a narrow choice of the data."""
_SIGNED = 2.0
"""The same that is enough where one side has both signs and the other has not: scaled to 0…1, and to mean 0."""
_BELOW_ZERO = 0.3
"""Share of their size by which inputs are below zero that have both signs."""
_SHIFT, _LARGER = 5.0, 2.5
"""Distance between the means of a feature in pooled deviations, beyond any trend, and factor of the size with it."""
_ONE, _REACH = 20.0, 3.0
"""Factor between the deviations of one feature, which rare ones do not reach, and between the largest inputs."""
_ALIKE = 2.0
"""Factor within which size and deviations of inputs lie that are alike,"""
_NEAR = 1.0
"""and the distance between the means of any feature."""
OUTPUTS = 3.0
"""Factor between the sizes of outputs that neither dropout nor learning by heart makes."""
_FEWEST = 3
"""Validations that it takes to tell."""
_FALLS = 0.8
"""Share of its first value at which a validation loss has fallen."""
_WORSE = 1.3
"""Factor of the validation loss over that of training from which on it is the worse one."""

_OF_INPUTS = (
    Remedy(
        "Prepare training and validation data by the same code, with the same statistics: those of the training data.",
        "mean, std = train.mean(0), train.std(0)\ntrain, held_out = (train - mean) / std, (held_out - mean) / std",
    ),
    Remedy(
        "Compare a batch of each as the model gets it.",
        "for inputs, _ in (next(iter(train_loader)), next(iter(val_loader))):\n"
        "    print(inputs.dtype, inputs.shape, inputs.mean(), inputs.std(), inputs.min(), inputs.max())",
    ),
    Remedy("If it is of another time or source, let the model see what does not change, such as differences."),
)
_OF_OUTPUTS = (
    Remedy(
        "Compare outputs for one training batch in both modes: they have to be about as large.",
        "for mode in (True, False):\n    print(mode, model.train(mode)(inputs).square().mean().sqrt())",
    ),
    Remedy(
        "Average over what is left out or drawn in training, rather than add it up, or scale it by what is missing.",
        "heard = joined @ nodes / joined.sum(1, keepdim=True)",
    ),
)


@dataclass(frozen=True, slots=True)
class _Difference:
    """What differs: in words with the numbers of both sides, what decided, what shows it, and what to try.

    Attributes:
        worst: How bad it can be at most.
    """

    words: str
    beyond: Beyond
    evidence: tuple[Line, ...]
    remedies: tuple[Remedy, ...]
    excluded: str
    worst: Severity = Severity.WARNING


def prepared(case: Case, limit: float = SPREAD) -> list[Finding]:
    """Find evaluations on inputs that are scaled otherwise than in training, where the validation loss is worse."""
    return _found(case, lambda evaluations: _of_inputs(evaluations, limit))


def larger(case: Case, limit: float = OUTPUTS) -> list[Finding]:
    """Find evaluations in which alike inputs give far larger outputs than in training, where the loss is worse."""
    found = _found(case, lambda evaluations: _of_outputs(evaluations, limit, goes_well=_goes_well(case)))
    return [replace(finding, layers=_normalised(case)) for finding in found]


def _normalised(case: Case) -> tuple[int, ...]:
    """Return the layers that normalise by batches in training, and by what they kept of these in evaluation."""
    names = {module.name for module in normalisations(case)}
    return tuple(index for index, layer in enumerate(case.network.layers) if layer.name in names)


def _found(case: Case, look: Callable[[Evaluations], _Difference | None]) -> list[Finding]:
    """Return what the first of the models shows in which there is a difference that matters."""
    differences = ((evaluations, look(evaluations)) for evaluations in case.evaluations.values())
    known = [(evaluations, difference) for evaluations, difference in differences if difference]
    severity = _severity(case) if known else None
    return [] if severity is None else [_finding(case, *known[0], min(severity, known[0][1].worst))]


def _goes_well(case: Case) -> bool:
    """Whether the validation loss falls, in whatever unit: outputs may be scaled back to that on purpose."""
    held_out = course(case.curve("val_loss"))
    return held_out is not None and held_out.end <= _FALLS * held_out.values[0]


def falls_along(held_out: Course, trained: Course, factor: float = 1.5) -> bool:
    """Whether the validation loss falls by about the same factor as that of training: it may be of another unit."""
    beside = np.interp(held_out.steps, trained.steps, trained.level)
    return bool(_last(held_out.values) * beside[0] < held_out.values[0] * factor * _last(beside))


def _finding(case: Case, evaluations: Evaluations, difference: _Difference, severity: Severity) -> Finding:
    held_out, trained = course(case.curve("val_loss")), training(case)
    losses = [Line(one.name, one.name, one.steps, one.values) for one in (held_out, trained) if one]
    words = difference.words
    if held_out is not None and trained is not None:
        words += f"; {held_out.name} is {number(held_out.end)} beside a {trained.name} of {number(trained.end)}"
    return Finding(
        rule=RULE_ID,
        severity=severity,
        layers=(),
        first_step=float(trained.steps[0]) if trained else float(evaluations.steps[0]),
        last_step=float(evaluations.steps[-1]),
        message=f"{words}.",
        beyond=difference.beyond,
        evidence=(*difference.evidence, *losses),
        remedies=difference.remedies,
        excluded=(
            difference.excluded,
            f"Not one odd batch: it was so in most of the {evaluations.steps.size} evaluations that were measured.",
        ),
        view="overview",
    )


def _severity(case: Case) -> Severity | None:
    """Return how bad it is, by the losses; None where evaluation does as well as training, or it is too early."""
    curve, trained = case.curve("val_loss"), training(case)
    held_out = course(curve)
    if curve is None or trained is None:
        return Severity.INFO
    if held_out is None or held_out.steps.size < _FEWEST:
        return None
    beside = np.interp(held_out.steps, trained.steps, trained.level)
    half = held_out.steps.size // 2
    gap = float(np.median((held_out.values - beside)[half:]))
    if gap <= (_WORSE - 1) * abs(float(np.median(beside[half:]))) or falls_along(held_out, trained):
        return None
    return Severity.WARNING


class _Mark(NamedTuple):
    """Something that tells apart how inputs are scaled, E evaluations.

    Attributes:
        label: What is measured.
        values: It, [E].
        limits: From which on it tells, [E].
        where: Where it means something, [E].
        detail: What it says of one feature; "{}" stands for the number.
    """

    label: str
    values: Floats
    limits: Floats
    where: Bools
    detail: str = ""


def _of_inputs(given: Evaluations, spread: float) -> _Difference | None:
    """Find numbers that are scaled otherwise than in training."""
    usable = (given.evaluated.kind == NUMBERS) & (given.trained.kind == NUMBERS) & _enough(given)
    for mark in _marks(given, spread):
        if _mostly(usable & mark.where & (mark.values >= mark.limits)):
            return _differs(given, mark)
    return None


def _marks(given: Evaluations, spread: float) -> tuple[_Mark, ...]:
    now, then = given.evaluated, given.trained
    signed = (_has_both_signs(now) & (then.smallest >= 0)) | (_has_both_signs(then) & (now.smallest >= 0))
    ever, of_signed = np.ones(given.steps.size, np.bool_), min(_SIGNED, spread)
    larger = _over(now.size, then.size) >= _LARGER
    beyond = _reach(now) >= _REACH * _reach(then)
    return (
        _Mark(
            "deviation of a feature over that in training, at the middle",
            given.factor,
            np.where(signed, of_signed, spread),
            ever,
        ),
        _Mark(
            "deviation of a feature in training over that in evaluations, at the middle",
            _over(1.0, given.factor),
            np.where(signed, of_signed, _NARROW),
            ever,
        ),
        _Mark(
            "distance between the means of a feature, in deviations",
            given.shift_largest,
            np.full(given.steps.size, _SHIFT),
            larger,
            "; the means of one feature lie {} deviations apart",
        ),
        _Mark(
            "deviation of one feature over that in training",
            given.factor_largest,
            np.full(given.steps.size, _ONE),
            beyond,
            "; one feature deviates {} times as much",
        ),
    )


def _differs(given: Evaluations, mark: _Mark) -> _Difference:
    middle = float(np.nanmedian(mark.values))
    return _Difference(
        words="What the model is evaluated on differs from what it is trained on: inputs have "
        f"{_moments(given.evaluated)} in evaluations, and {_moments(given.trained)} in training"
        + mark.detail.format(number(middle)),
        beyond=Beyond(mark.label, middle, float(np.nanmedian(mark.limits))),
        evidence=(
            Line("evaluations", "size of the inputs", given.steps, given.evaluated.size),
            Line("training", "size of the inputs", given.steps, given.trained.size),
        ),
        remedies=_OF_INPUTS,
        excluded="Not augmentation, nor another sample of the same data: neither changes scale or place by so much.",
    )


def _of_outputs(given: Evaluations, limit: float, *, goes_well: bool) -> _Difference | None:
    """Find outputs that are far larger than in training, of inputs that are alike."""
    size, factor = _over(given.evaluated.size, given.trained.size), given.factor
    alike = (np.maximum(size, _over(1.0, size)) <= _ALIKE) & (given.shift_largest <= _NEAR)
    alike &= np.maximum(factor, _over(1.0, factor)) <= _ALIKE
    ratio = _over(given.output_size, given.trained_output_size)
    if not _mostly(_enough(given) & alike & (ratio >= limit)):
        return None
    return _Difference(
        words=f"In evaluations the outputs are {number(float(np.median(ratio)))} times as large as in training (a "
        f"size of {number(float(given.output_size[-1]))} beside {number(float(given.trained_output_size[-1]))}, root "
        "mean square), though the inputs are alike: the network does something else there",
        beyond=Beyond("size of the outputs over that in training", float(np.median(ratio)), limit),
        evidence=(
            Line("evaluations", "size of the outputs", given.steps, given.output_size),
            Line("training", "size of the outputs", given.steps, given.trained_output_size),
        ),
        remedies=_OF_OUTPUTS,
        excluded="Not inputs that differ: their means and deviations are about those of training.",
        worst=Severity.INFO if goes_well else Severity.WARNING,
    )


def _over(some: Floats | float, others: Floats) -> Floats:
    """Return one over the other, [E]; NaN where that is nothing or not known."""
    shares: Floats = np.full(len(others), np.nan)
    np.divide(some, others, out=shares, where=(others > 0) & np.isfinite(others))
    return shares


def _enough(given: Evaluations) -> Bools:
    """At which evaluations moments mean something, [E]."""
    return (given.evaluated.samples >= _SAMPLES) & (given.trained.samples >= _SAMPLES)


def _mostly(holds: Bools) -> bool:
    """Whether something holds for most of the evaluations, and for enough of them."""
    return holds.size >= _EVALUATIONS and bool(holds.mean() >= _MOSTLY)


def _has_both_signs(inputs: Inputs) -> Bools:
    """Whether some are clearly below zero, and some above, [E]."""
    return (inputs.smallest <= -_BELOW_ZERO * inputs.size) & (inputs.largest > 0)


def _reach(inputs: Inputs) -> Floats:
    """Return the largest magnitude, [E]."""
    return np.maximum(np.abs(inputs.smallest), np.abs(inputs.largest))


def _moments(inputs: Inputs) -> str:
    mean, size = float(np.nanmedian(inputs.mean)), float(np.nanmedian(inputs.size))
    return f"a mean of {number(mean)} and a deviation of {number(float(np.sqrt(max(size**2 - mean**2, 0.0))))}"


def _last(values: Floats) -> float:
    return float(np.median(values[-_FEWEST:]))
