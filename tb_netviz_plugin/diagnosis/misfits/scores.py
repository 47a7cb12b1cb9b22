"""Outputs that are no scores, or no logarithms, where the loss expects these."""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.analysis.outputs import CLASS_INDICES
from tb_netviz_plugin.analysis.wording import number
from tb_netviz_plugin.diagnosis.finding import Beyond, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.misfits.ends import (
    CROSS_ENTROPY,
    LOGARITHMS,
    ROUNDING,
    WITH_LOGITS,
    Ends,
    Misfit,
    loss_line,
    median,
    name_of,
    range_lines,
)
from tb_netviz_plugin.diagnosis.rule import Limits

_WIDE = 0.5
"""Range that outputs between 0 and 1 cover at least, where they are no scores that happen to be small."""


def one_class(ends: Ends, _limits: Limits) -> Misfit | None:
    """A softmax over a single unit, in the loss or in front of it: the output is always 1."""
    given = ends.given
    if not (given.classes == 1).all():
        return None
    constant = (given.outputs.smallest == 1).all() and (given.outputs.largest == 1).all()
    if given.criterion != CROSS_ENTROPY and not (constant and (given.targets.std > 0).any()):
        return None
    return Misfit(
        Severity.CRITICAL,
        "The network has a single output, and a softmax over one value is always 1: nothing can be learned from it.",
        Beyond("outputs of a sample", 1.0, 2.0),
        (Line("outputs of a sample", "outputs", given.steps, given.classes, 2.0), *loss_line(ends)),
        (
            Remedy("Take the loss for one output and two classes.", "criterion = nn.BCEWithLogitsLoss()"),
            Remedy("Or give each class an output.", "nn.Linear(n, 2)"),
        ),
        (),
        without=given.criterion != CROSS_ENTROPY,
    )


def softmax_twice(ends: Ends, limits: Limits) -> Misfit | None:
    """Shares of classes where the cross-entropy expects scores, of which it takes the softmax itself."""
    given = ends.given
    away = np.maximum(np.abs(given.class_sum_smallest - 1), np.abs(given.class_sum_largest - 1))
    off = float(np.nanmax(away, initial=0.0))
    classes = int(given.classes.max())
    floor = float(np.log1p((classes - 1) / np.e))
    if not ends.shares or off > limits["sum"] or classes == 1 or not ends.is_cross_entropy(floor):
        return None
    return Misfit(
        Severity.WARNING,
        f"The outputs are shares of {classes:,} classes that add up to 1, and {name_of(ends)} takes the softmax of "
        f"what it gets: with a second softmax the loss can't fall below {number(floor)}, and gradients are small.",
        Beyond("largest distance from 1 of a sum over the classes", off, limits["sum"]),
        (
            Line("largest sum of the outputs over the classes", "outputs", given.steps, given.class_sum_largest, 1.0),
            *loss_line(ends, floor),
        ),
        (Remedy("Give the loss scores, and take the softmax where probabilities are read.", "logits.softmax(1)"),),
        ("Not log-probabilities, which would do no harm: none is below 0.",),
        without=True,
    )


def sigmoid_twice(ends: Ends, _limits: Limits) -> Misfit | None:
    """Values between 0 and 1 where the loss expects scores."""
    given = ends.given
    binary = given.criterion in WITH_LOGITS
    if binary:
        chance = median(given.targets.mean)
        floor = chance * np.log1p(np.exp(-1)) + (1 - chance) * np.log(2)
    else:
        floor = float(np.log1p((given.classes.max() - 1) / np.e))
    fits = ends.is_above(floor) if binary else ends.is_cross_entropy(floor)
    if not ends.shares or not fits or given.outputs.largest.max() - given.outputs.smallest.min() < _WIDE:
        return None
    return Misfit(
        Severity.WARNING,
        f"All outputs lie between 0 and 1, from {number(given.outputs.smallest.min())} to "
        f"{number(given.outputs.largest.max())} over {len(given.steps):,} records, and {name_of(ends)} expects scores "
        "of any size: it can't be certain of anything.",
        Beyond("largest output", float(given.outputs.largest.max()), 1.0),
        range_lines(ends, 1.0),
        (
            Remedy("Give the loss scores, and take the sigmoid where probabilities are read.", "logits.sigmoid()"),
            Remedy("Or keep it, with the loss that expects probabilities.", "criterion = nn.BCELoss()"),
        )[: 2 if binary else 1],
        ("Not scores that happen to be small: none is below 0 at any record.",),
        without=True,
    )


def rectified_scores(ends: Ends, _limits: Limits) -> Misfit | None:
    """Scores that are cut off at 0."""
    given = ends.given
    wants_scores = given.criterion in WITH_LOGITS or (
        ends.is_kind(CLASS_INDICES) and (given.classes > 1).all() and ends.is_cross_entropy(0.0)
    )
    if not wants_scores or not (given.outputs.smallest == 0).all():
        return None
    return Misfit(
        Severity.WARNING,
        f"The smallest output is exactly 0 at all {len(given.steps):,} records: scores are cut off at 0 before "
        f"{name_of(ends)}, and those that are get no gradient.",
        Beyond("smallest output", 0.0, 0.0),
        range_lines(ends, 0.0),
        (),
        ("Not scores that happen to be positive: the smallest is 0 itself.",),
        without=True,
    )


def no_logarithms(ends: Ends, _limits: Limits) -> Misfit | None:
    """Values above 0 where the loss expects log-probabilities."""
    given = ends.given
    above = float(given.outputs.largest.min())
    # Above zero the loss was computed from the logarithms, whatever `observe` was given.
    if given.criterion not in LOGARITHMS or above <= ROUNDING or median(ends.loss[ends.late]) > 0:
        return None
    shares = ends.shares
    what = "probabilities" if shares else f"scores of up to {number(given.outputs.largest.max())}"
    return Misfit(
        Severity.WARNING if shares else Severity.CRITICAL,
        f"The loss expects logarithms of probabilities, which are never above 0, and gets {what}"
        + ("." if shares else ": it can fall without end."),
        Beyond("smallest of the largest outputs of each record", above, 0.0),
        (Line("largest output", "outputs", given.steps, given.outputs.largest, 0.0), *loss_line(ends, 0.0)),
        (
            Remedy("Give scores to the loss that takes their logarithms itself.", "criterion = nn.CrossEntropyLoss()"),
            Remedy("Or take the logarithms.", "criterion(logits.log_softmax(1), targets)"),
        ),
        (),
    )
