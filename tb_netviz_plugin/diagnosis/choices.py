"""Softmaxes inside a network that choose by scores which are too large from the start: hardly any gradient gets there.

That one value of a sample is next to 1 says it of that sample. How sharp choices are on the whole says the sum of their
squares: 1 where one gets all, 1/n where n get the same. What of the gradient gets to the scores says it along any axis.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tb_netviz_plugin.analysis.activations import ActivationRow
from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.analysis.series import nanmedian
from tb_netviz_plugin.analysis.wording import number
from tb_netviz_plugin.diagnosis.answers import guess, knows_classes
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.course import course, training
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.starts import BEGINNING
from tb_netviz_plugin.diagnosis.stretches import PERSISTING
from tb_netviz_plugin.schema.description import Response

_CERTAIN = 0.4
"""Share of the samples for which a softmax gives nearly all to one of several, where it was certain from the start."""
_AT_FIRST = 0.75
"""Share of that in the first record, which is of few samples."""
_ALL = 0.9
"""The same, whatever is chosen."""
_LEARNED = 0.85
"""Share by which the loss falls where choices that are not all certain do no harm."""
_SHARP, _SHARP_AT_FIRST = 0.7, 0.6
"""How sharp choices are that are nearly all certain, where hardly anything is learned, and in the first record."""
_OF = 8
"""Values from which on that tells: few are sharper by chance."""
_HARDLY = 0.4
"""Share by which the loss falls at most where hardly anything is learned."""
_BELOW = 0.75
"""Share of what guessing costs at which losses end, that of training and of validation, where much was learned."""
_PASSED = 1e-5
"""Share of a softmax' gradient that gets to its scores, from which on next to nothing passes."""
_CONSTANT = 0.9
"""Share of the values next to 0 or 1 where there is only one to choose, which is no choice."""
_WHOLE = 0.01
"""By how much values that are one softmax may miss 1 together."""
_SCORES = (
    Remedy(
        "Scale the scores down: by the root of how many terms each sums.",
        "scores = query @ key.T / key.shape[-1] ** 0.5",
    ),
    Remedy("Standardise what the scores are made of, such as distances: (x - mean) / std."),
    Remedy("Begin with smaller weights in front of the scores.", "nn.init.xavier_uniform_(layer.weight, gain=0.1)"),
)


@dataclass(frozen=True, slots=True)
class _Choice:
    """A softmax that is certain from the start.

    Attributes:
        row: Where it is.
        steps: Last steps of its records, [N].
        values: How certain it is, [N].
    """

    row: ActivationRow
    steps: Floats
    values: Floats


def certain_from_the_start(case: Case, limit: float, outputs: frozenset[str]) -> list[Finding]:
    """Find softmaxes inside the network that gave nearly all to one from the first record to the last.

    Args:
        case: The run.
        limit: Share of its softmaxes that have to do it.
        outputs: Names of activations that are a network's output.
    """
    rows = [
        row
        for row in case.network.activations
        if row.name not in outputs and row.activation.response is Response.SOFTMAX
        if row.activation.unit != "head"
        and len(row.units) > 1
        and _scored_by(case, row)  # Else it is no choice to learn.
    ]
    return _one_gets_all(case, rows, limit) or _sharp(case, rows, limit) or _shut(case, outputs)


def _one_gets_all(case: Case, rows: Sequence[ActivationRow], limit: float) -> list[Finding]:
    held = [choice for row in rows if (choice := _one_hot(case, row)) is not None]
    lasting = _lasting(held, _AT_FIRST * _CERTAIN, _CERTAIN)
    found = [one for one in lasting if _of_several(case, one) >= _CERTAIN or not _knows(case, one.row.model)]
    if not found or len(found) < limit * len(held):
        return []
    first, share = found[0], float(np.median(found[0].values))
    message = (
        f"{first.row.label} gives at least 99 % to one of its {len(first.row.units):,} from the first record on, for "
        f"{share:.0%} of the samples"
    )
    severity = Severity.INFO if share < _ALL and _learned(case) >= _LEARNED else Severity.WARNING
    return [_finding(case, found, severity, message, "share of samples for which one gets nearly all", _CERTAIN)]


def _sharp(case: Case, rows: Sequence[ActivationRow], limit: float) -> list[Finding]:
    """Find choices that are as good as made before anything is learned, where little is later on."""
    held = [choice for row in rows if (choice := _sharpness(case, row)) is not None]
    found = list(_lasting(held, _SHARP_AT_FIRST, _SHARP))
    if not found or len(found) < limit * len(held) or not _learned(case) <= _HARDLY:
        return []
    row, sharp = found[0].row, float(np.median(found[0].values))
    if _knows(case, row.model):
        return []
    message = (
        f"{row.label} gives nearly all to one of its {len(row.units):,} for most samples from the first record on (the "
        f"sum of the squares, which is 1 where one gets all, is {sharp:.2f}), and little is learned"
    )
    return [_finding(case, found, Severity.WARNING, message, "how sharp choices are", _SHARP)]


def _shut(case: Case, outputs: frozenset[str]) -> list[Finding]:
    """Find softmaxes whose scores get next to nothing of their gradient, from the first record on."""
    held = (_passed(case, at) for at, row in enumerate(case.network.activations) if row.name not in outputs)
    known = (choice for choice in held if choice is not None)
    found = [
        choice
        for choice in known
        if len(choice.steps) >= 2 * PERSISTING and choice.steps[0] <= BEGINNING
        if max(choice.values[0], np.median(choice.values)) <= _PASSED
    ]
    if not found or _learned(case) >= _LEARNED:
        return []
    row, share = found[0].row, float(np.median(found[0].values))
    message = (
        f"{row.label} lets {number(share)} of its gradient through to its scores from the first record on, as of "
        "scores that are far apart"
    )
    return [_finding(case, found, Severity.WARNING, message, "share of the gradient that gets to the scores", _PASSED)]


def _lasting(held: Iterable[_Choice], first: float, middle: float) -> Iterable[_Choice]:
    """Yield the choices that are so certain at first, and in the middle over all records."""
    for choice in held:
        begins = choice.steps[0] <= BEGINNING and choice.values[0] >= first
        if begins and len(choice.steps) >= PERSISTING and np.median(choice.values) >= middle:
            yield choice


def _finding(
    case: Case, found: Sequence[_Choice], severity: Severity, message: str, measure: str, limit: float
) -> Finding:
    more = f"; so do {len(found) - 1:,} more layers" if len(found) > 1 else ""
    return Finding(
        rule="saturation",
        severity=severity,
        layers=tuple(dict.fromkeys(layer for one in found for layer in _scored_by(case, one.row))),
        first_step=float(found[0].steps[0]),
        last_step=float(found[0].steps[-1]),
        message=f"{message}{more}: hardly any gradient passes to what it chooses by.",
        beyond=Beyond(measure, float(np.median(found[0].values)), limit),
        evidence=tuple(Line(f"{one.row.label}: {measure}", "units", one.steps, one.values, limit) for one in found[:4]),
        remedies=_SCORES,
        excluded=(
            "Not a choice that was learned: it was so before anything was.",
            "Not the network's output, which may well be certain.",
        ),
        view="units",
    )


def _learned(case: Case) -> float:
    """Return the share by which the loss fell; NaN where that is no measure."""
    loss = training(case)
    return loss.learned if loss is not None and loss.has_scale else np.nan


def _knows(case: Case, model: str) -> bool:
    """Whether the network knows a good part of what it is asked: there may be no more to know.

    That it knows anything at all is no excuse: what does not pass through the choices learns all the same.
    """
    curves, costs = (training(case), course(case.curve("val_loss"))), guess(case, model)
    ends = [curve.end for curve in curves if curve is not None]
    below = costs is not None and bool(ends) and max(ends) <= _BELOW * costs
    return below or knows_classes(case, model)


def _of_several(case: Case, choice: _Choice) -> float:
    """Return for which share of the samples that have a choice one gets nearly all, at most.

    A mask leaves a single value above zero to some. At least two are left to all others, so that the mean of how many
    there are tells how many samples at least are such.
    """
    share = float(np.median(choice.values))
    if "activation_zero_fraction" not in case.recorded:
        return share
    zeros = case.numbers("activation_zero_fraction")[case.network.activations.index(choice.row)]
    zeros = zeros[np.isfinite(zeros)]
    left = len(choice.row.units) * (1 - float(np.median(zeros))) if zeros.size else np.inf
    single = max(0.0, 2 - left)
    return (share - single) / (1 - single) if single < 1 else share


def _scored_by(case: Case, row: ActivationRow) -> list[int]:
    """Return the layers that make its scores.

    That of its units, else those of the module that it stands in whose outputs come before it in the forward pass, else
    all of that module, else the one before it.
    """
    if row.layer is not None:
        return [row.layer]
    parent = row.name.rpartition(".")[0]
    inside = [
        index
        for index, layer in enumerate(case.network.layers)
        if layer.model == row.model and parent and layer.name.startswith(f"{parent}.")
    ]
    activations = case.network.activations
    in_front = [other.layer for other in activations[: activations.index(row)] if other.model == row.model]
    before = list(dict.fromkeys(layer for layer in in_front if layer is not None))
    # What comes behind it, as a projection of what was chosen, has no part in its scores.
    return [layer for layer in before if layer in inside] or inside or before[-1:]


def _one_hot(case: Case, row: ActivationRow) -> _Choice | None:
    """Return for which share of its samples one value of a softmax is next to 1.

    Unless that is nearly all of them, the value that is chosen most is left out: the first of those that see only what
    came before sees itself, and so does a single one beside padding.
    """
    table = case.unit_table
    if not table.steps.size:
        return None
    each = table.units.column("saturated", rows=np.arange(row.units.start, row.units.stop)).astype(np.float64)
    known = np.isfinite(each[0])
    total, most = np.nansum(each, axis=0)[known], np.nan_to_num(each).max(axis=0)[known]
    spread = (total - most) * len(row.units) / (len(row.units) - 1)
    return _Choice(row, table.steps[known], np.where(total >= _ALL, total, spread)) if known.any() else None


def _passed(case: Case, index: int) -> _Choice | None:
    """Return the share of a softmax' gradient that gets to its scores, where these are measured right in front of it.

    A softmax over a single value lets nothing through at all.
    """
    about, rows = case.network.activations[index], case.network.activations
    scores = rows[index - 1] if index else about
    if about.activation.response is not Response.SOFTMAX or scores.activation.shape != about.activation.shape:
        return None
    if scores.model != about.model or not {"output_gradient_norm", "activation_saturation"} <= case.recorded:
        return None
    norms = case.numbers("output_gradient_norm")
    known = np.isfinite(norms[index - 1]) & (norms[index] > 0)
    if not known.any() or not nanmedian(case.numbers("activation_saturation")[index][:, None])[0] < _CONSTANT:
        return None
    return _Choice(about, case.activation_steps[known], norms[index - 1, known] / norms[index, known])


def _sharpness(case: Case, row: ActivationRow) -> _Choice | None:
    """Return the sum of the squares of a softmax's values beyond that of their means over samples, over what it can be.

    What always goes to the same, as to a single one beside padding, counts for nothing so.
    """
    if len(row.units) < _OF or not {"activation_mean", "activation_std"} <= case.recorded:
        return None
    at, count = case.network.activations.index(row), len(row.units)
    mean, deviation = case.numbers("activation_mean")[at], case.numbers("activation_std")[at]
    squares = (np.square(mean) + np.square(deviation)) * count
    each = case.unit_table.units.column("mean", rows=np.arange(row.units.start, row.units.stop)).astype(np.float64)
    always = np.square(each).sum(axis=0)
    always = always[np.isfinite(always)]
    known = np.isfinite(squares) & (np.abs(mean * count - 1) <= _WHOLE)
    if not known.any() or not always.size or not always.mean() < 1:
        return None
    same = always.mean()
    return _Choice(row, case.activation_steps[known], ((squares - same) / (1 - same))[known])
