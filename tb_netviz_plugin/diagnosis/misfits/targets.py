"""Targets that are not what the loss expects, or that outputs can't reach."""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.analysis.outputs import CLASS_INDICES, NUMBERS, OTHER_TARGETS
from tb_netviz_plugin.analysis.wording import number
from tb_netviz_plugin.diagnosis.finding import Beyond, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.misfits.ends import (
    ELEMENT_BY_ELEMENT,
    ROUNDING,
    WITH_LOGITS,
    Ends,
    Misfit,
    loss_line,
    median,
    name_of,
)
from tb_netviz_plugin.diagnosis.rule import Limits

_PRESSED = 0.01
"""Distance from a bound, over the range of all outputs, at which they press against it."""
_WITHIN = 1.25
"""Deviations of the targets from their mean within which a bound lies that keeps many of them out of reach."""
_DULL = 0.3
"""Deviation of outputs, over that of targets, below which they hardly tell samples apart."""


def targets_beyond(ends: Ends, _limits: Limits) -> Misfit | None:
    """Targets that are no probabilities where the loss expects these."""
    given = ends.given
    outside = (given.targets.smallest < -ROUNDING) | (given.targets.largest > 1 + ROUNDING)
    if given.criterion != WITH_LOGITS[0] or not ends.is_kind(NUMBERS) or outside.mean() < 0.5:
        return None
    low, high = float(np.nanmin(given.targets.smallest)), float(np.nanmax(given.targets.largest))
    return Misfit(
        Severity.CRITICAL,
        f"{name_of(ends)} expects targets between 0 and 1, and they go from {number(low)} to {number(high)}: the loss "
        "can fall without end.",
        Beyond("largest distance of a target from the range 0 to 1", max(-low, high - 1), 0.0),
        (
            Line("smallest target", "targets", given.steps, given.targets.smallest, 0.0),
            Line("largest target", "targets", given.steps, given.targets.largest, 1.0),
            *loss_line(ends),
        ),
        (
            Remedy("Map the targets to 0 and 1.", "targets = (targets > 0).float()"),
            Remedy("If they are numbers to predict, take a loss for these.", "criterion = nn.MSELoss()"),
        ),
        (),
    )


def broadcast(ends: Ends, _limits: Limits) -> Misfit | None:
    """Outputs and targets of different shapes, each of which is compared with all of the other."""
    given = ends.given
    odd = (given.target_kind == OTHER_TARGETS) | ((given.target_kind == CLASS_INDICES) & (given.classes == 1))
    if not odd.all() or (given.classes > 1).any() or not (given.targets.std[ends.late] > 0).any():
        return None
    if given.criterion not in ELEMENT_BY_ELEMENT and not _is_of_all_pairs(ends):
        return None
    dull = median(given.outputs.std[ends.late] / np.fmax(given.targets.std[ends.late], np.finfo(float).tiny))
    if dull >= _DULL:
        return None
    return Misfit(
        Severity.CRITICAL,
        "Outputs and targets differ in shape, so that the loss compares each output with the targets of all samples: "
        f"all outputs go to one value, and their deviation is {dull:.1%} of that of the targets.",
        Beyond("deviation of the outputs over that of the targets", dull, _DULL),
        (
            Line("deviation of the outputs", "outputs", given.steps, given.outputs.std),
            Line("deviation of the targets", "targets", given.steps, given.targets.std),
            *loss_line(ends),
        ),
        (
            Remedy("Give both the same shape.", "criterion(outputs.squeeze(1), targets)"),
            Remedy("See that they have it.", "assert outputs.shape == targets.shape"),
        ),
        ("Not one target that is meant for all outputs: the targets of a step differ.",),
    )


def out_of_reach(ends: Ends, limits: Limits) -> Misfit | None:
    """Targets beyond a bound that outputs press against and never pass."""
    if ends.given.criterion not in ("", *ELEMENT_BY_ELEMENT) or not ends.is_kind(NUMBERS):
        return None
    for bound, below in ((0.0, True), (-1.0, True), (1.0, False)):
        far = _beyond(ends, bound, below=below)
        if far >= limits["reach"] and _is_bound(ends, bound, below=below):
            return _unreached(ends, bound, far, limits["reach"], below=below)
    return None


def _beyond(ends: Ends, bound: float, *, below: bool) -> float:
    """Return how many deviations the outermost targets lie beyond a bound; 0 where few of them can lie there."""
    targets, late = ends.given.targets, ends.late
    mean, std = median(targets.mean[late]), median(targets.std[late])
    away = (mean - bound) if below else (bound - mean)
    if not std > 0 or away > _WITHIN * std:
        return 0.0
    return (bound - median(targets.smallest[late]) if below else median(targets.largest[late]) - bound) / std


def _unreached(ends: Ends, bound: float, far: float, limit: float, *, below: bool) -> Misfit:
    given = ends.given
    which, side, way = ("smallest", "below", "down") if below else ("largest", "above", "up")
    outputs, targets = getattr(given.outputs, which), getattr(given.targets, which)
    return Misfit(
        Severity.WARNING,
        f"No output is {side} {bound:g} at any of {len(given.steps):,} records, and targets go {way} to "
        f"{number(median(targets[ends.late]))}: the network ends in something that can't reach them.",
        Beyond("how far targets lie beyond the outputs, in their deviations", far, limit),
        (
            Line(f"{which} output", "outputs", given.steps, outputs, bound),
            Line(f"{which} target", "targets", given.steps, targets),
            *loss_line(ends),
        ),
        (
            Remedy("Let the network end in a linear layer."),
            Remedy("Or bring the targets into its range.", "targets = (targets - low) / (high - low)"),
        ),
        (
            "Not outputs that have not got there yet: they press against that bound and never pass it.",
            f"Not a few odd targets: the bound lies within {_WITHIN:g} deviations of their mean.",
        ),
        without=True,
    )


def _is_of_all_pairs(ends: Ends) -> bool:
    """Whether the loss is the mean square of the differences between all outputs and all targets."""
    outputs, targets = ends.given.outputs, ends.given.targets
    expected = np.square(outputs.mean - targets.mean) + np.square(outputs.std) + np.square(targets.std)
    return not ends.given.criterion and ends.is_logged(expected)


def _is_bound(ends: Ends, bound: float, *, below: bool) -> bool:
    """Whether outputs come close to a bound at the end, and never passed it."""
    outputs = ends.given.outputs
    nearest = outputs.smallest - bound if below else bound - outputs.largest
    wide = float(outputs.largest.max() - outputs.smallest.min())
    return wide > 0 and bool((nearest >= 0).all()) and median(nearest[ends.late]) <= _PRESSED * wide
