"""What a loss got, and what is said where it does not go with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tb_netviz_plugin.analysis.outputs import Outputs
from tb_netviz_plugin.analysis.records import Bools, Floats
from tb_netviz_plugin.diagnosis.finding import Beyond, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.stretches import at_end

CROSS_ENTROPY, WITH_LOGITS = "CrossEntropyLoss", ("BCEWithLogitsLoss", "MultiLabelSoftMarginLoss", "SoftMarginLoss")
LOGARITHMS = ("NLLLoss", "NLLLoss2d", "KLDivLoss")
ELEMENT_BY_ELEMENT = ("MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss")
ROUNDING = 1e-3
"""Of probabilities and their logarithms, in half precision."""

_AS_LOGGED = 0.02
"""Share by which a loss may differ from that which was logged, at the median, to be taken for it."""
_DECIDED = 0.05
"""Deviation of shares from which on one can tell what was made of them: when all are alike, all losses are."""

_LATE = 0.3
"""Share of the run, at its end, that the end is."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """What does not go together.

    Attributes:
        severity: How bad it is.
        message: A sentence with the numbers.
        beyond: What decided.
        evidence: What shows it.
        remedies: What to try.
        excluded: What was ruled out.
        without: Whether to go without the last activation is a remedy.
    """

    severity: Severity
    message: str
    beyond: Beyond
    evidence: tuple[Line, ...]
    remedies: tuple[Remedy, ...]
    excluded: tuple[str, ...]
    without: bool = False


@dataclass(frozen=True, slots=True)
class Ends:
    """What the loss got.

    Attributes:
        given: The records that have outputs, T of them.
        loss: The training loss that was logged, at their steps, [T]; NaN where none was.
    """

    given: Outputs
    loss: Floats

    def is_kind(self, kind: int) -> bool:
        """Whether all targets are of a kind."""
        return bool((self.given.target_kind == kind).all())

    @property
    def shares(self) -> bool:
        """Whether outputs lie between 0 and 1."""
        values = self.given.outputs
        return bool((values.smallest >= 0).all() and (values.largest <= 1 + ROUNDING).all())

    @property
    def late(self) -> Bools:
        """The records at the end, [T]."""
        return at_end(self.given.steps, _LATE)

    def is_cross_entropy(self, floor: float) -> bool:
        """Whether the loss is the cross-entropy of these outputs, which can't fall below `floor`.

        By its values, or else, as with weights of classes, by its name: what `observe` was given need not be what the
        loss was computed from.
        """
        if median(self.given.outputs.std[self.late]) >= _DECIDED and self.is_logged(self.given.loss):
            return True
        return self.given.criterion == CROSS_ENTROPY and self.is_above(floor)

    def is_above(self, floor: float) -> bool:
        """Whether the loss that was logged, if any, ends no lower than `floor`."""
        end = median(self.loss[self.late])
        return not end < floor * (1 - _AS_LOGGED)

    def is_logged(self, loss: Floats) -> bool:
        """Whether a loss, [T], is the one that was logged."""
        with np.errstate(divide="ignore", invalid="ignore"):
            gap = median(np.log(self.loss / loss)[self.late])
        return abs(gap) <= _AS_LOGGED


def median(values: Floats) -> float:
    """Return the median of the numbers in `values`; NaN where there is none."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else np.nan


def name_of(ends: Ends) -> str:
    """Return what to call the loss in a sentence."""
    return ends.given.criterion or "the loss"


def range_lines(ends: Ends, threshold: float) -> tuple[Line, ...]:
    """Return the range of the outputs as evidence, with a bound of it, and the loss."""
    outputs, steps = ends.given.outputs, ends.given.steps
    return (
        Line("smallest output", "outputs", steps, outputs.smallest, threshold),
        Line("largest output", "outputs", steps, outputs.largest),
        *loss_line(ends),
    )


def loss_line(ends: Ends, threshold: float | None = None) -> tuple[Line, ...]:
    """Return the training loss as evidence, where one was logged."""
    if not np.isfinite(ends.loss).any():
        return ()
    return (Line("training loss", "train_loss", ends.given.steps, ends.loss, threshold),)
