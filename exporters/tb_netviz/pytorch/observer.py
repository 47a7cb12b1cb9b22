"""Measures the training steps of a model, and hands them to the recorder."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from tb_netviz.pytorch.losses import CriterionLoss
from tb_netviz.pytorch.measurement import Measurement
from tb_netviz.pytorch.membership import Membership, learning_rates
from tb_netviz.pytorch.roster import Roster
from tb_netviz.pytorch.snapshots import LastGradients, copies
from tb_netviz.pytorch.standard import Dashboards
from tb_netviz.recorder import Recorder


@dataclass
class _Step:
    """A training step in progress; several optimizers may have their turn in it.

    Attributes:
        index: Its number.
        ordinal: How many steps were begun before it, whatever their numbers.
        measurement: Where the step is observed.
        keeps: Whether its gradients are kept for the step after it.
        skipped: Whether a loss scaler made it a step that changes nothing.
        loss: Mean of the criterion, on its device.
        rates: Learning rates of the groups that stepped, as they were then.
    """

    index: int
    ordinal: int
    measurement: Measurement | None
    keeps: bool
    skipped: bool = False
    loss: Tensor | None = None
    rates: weakref.WeakKeyDictionary[Optimizer, list[float]] = field(default_factory=weakref.WeakKeyDictionary)


@dataclass
class _Turn:
    """One optimizer's part in a step.

    Attributes:
        rows: Its rows, and with the first turn of a step those of no optimizer.
        parameters: The parameters of the rows.
        late: Whether gradients are right only after the step.
        before: Copies of the parameters, where the update is measured.
    """

    rows: list[int]
    parameters: list[nn.Parameter]
    late: bool
    before: list[Tensor] | None = None


class Observer:
    """Between the hooks of a watched model and its recorder.

    Gradients are read just before the optimizer steps: afterwards some optimizers have overwritten them. With a
    closure, or a loss scale that the optimizer itself removes, they are read just after it.

    Args:
        roster: The rows.
        members: Tells which optimizers hold parameters of the model.
        recorder: Takes the values.
        columns: Ids of what is measured.
        dashboards: Takes what TensorBoard's own dashboards show.
        criterion: Has the loss, where one is watched.
    """

    def __init__(
        self,
        roster: Roster,
        members: Membership,
        recorder: Recorder,
        columns: tuple[str, ...],
        dashboards: Dashboards,
        criterion: CriterionLoss | None,
    ) -> None:
        self._roster = roster
        self._members = members
        self._recorder = recorder
        self._columns = columns
        self._dashboards = dashboards
        self._criterion = criterion
        self._last = LastGradients()
        self._step: _Step | None = None
        self._turns: weakref.WeakKeyDictionary[Optimizer, _Turn] = weakref.WeakKeyDictionary()

    @property
    def ordinal(self) -> int | None:
        """Ordinal of the step in progress, or None between steps."""
        return None if self._step is None else self._step.ordinal

    def before_step(
        self, index: int, ordinal: int, optimizer: Optimizer, arguments: Sequence[Any], keywords: Mapping[str, Any]
    ) -> None:
        """Measure what has to be measured before `optimizer` steps.

        Args:
            index: Number of the training step.
            ordinal: How many training steps were begun before it.
            optimizer: The optimizer, which has its turn in the step.
            arguments: Those of its `step`, itself included.
            keywords: Those of its `step`.
        """
        step = self._step
        first = step is None
        if step is None:
            step = self._step = self._begin(index, ordinal)
        if step.measurement is None and not step.keeps:
            return
        step.rates[optimizer] = learning_rates(optimizer)
        rows = self._roster.rows_of(optimizer)
        if first:
            rows |= self._roster.rows_of_none()
        turn = _Turn(list(rows), list(rows.values()), late=_gradients_come_late(optimizer, arguments, keywords))
        self._turns[optimizer] = turn
        if not turn.late:
            self._take_gradients(step, turn)
        if step.measurement is not None and "update_norm" in self._columns:
            turn.before = copies(turn.parameters)

    def after_step(self, optimizer: Optimizer) -> None:
        """Measure what has to be measured after `optimizer` has stepped."""
        turn, step = self._turns.pop(optimizer, None), self._step
        if step is not None and step.loss is None and self._criterion is not None:
            step.loss = self._criterion.take()
        if turn is None or step is None:
            return
        if _changed_nothing(optimizer):
            step.skipped = True
            self._last.free()
            return
        if turn.late:
            self._take_gradients(step, turn)
        if step.measurement is not None:
            step.measurement.take_weights(turn.rows, turn.parameters)
            if turn.before is not None:
                step.measurement.take_updates(turn.rows, turn.parameters, turn.before)
            self._dashboards.take("weights", self._names(turn), turn.parameters)

    def end_step(self, seconds: float, observing: float, *, loss_is_logged: bool) -> None:
        """End the step in progress, if there is one.

        Args:
            seconds: How long it took; NaN where that is not known.
            observing: How much of that was ours.
            loss_is_logged: Whether the user logs the training loss, so that the criterion's is of no use.
        """
        step, self._step = self._step, None
        if step is None:
            return
        if step.measurement is not None and not step.skipped:
            self._recorder.observe(step.index, step.measurement.values, step.measurement.bins)
            loss = None if step.loss is None or loss_is_logged else float(step.loss)
            rates = [
                rate
                for optimizer in self._members.optimizers
                for rate in step.rates.get(optimizer, learning_rates(optimizer))
            ]
            self._dashboards.end(step.index, step.measurement.column("grad_norm"), rates, loss)
        self._last.end(step.ordinal)
        self._recorder.finish_step(step.index, seconds, observing)

    def free(self) -> None:
        """Let go of all copies."""
        self._last.free()
        self._turns.clear()

    def _begin(self, index: int, ordinal: int) -> _Step:
        observed = self._recorder.observes(index)
        keeps = "grad_dot_last" in self._columns and self._recorder.snapshot_due(index)
        if observed or keeps:
            names = self._roster.names
            description = self._roster.refresh()
            if description is not None:
                self._recorder.describe(description, self._columns)
            if self._roster.names != names:
                self._last.free()
        measurement = None
        if observed:
            with_bins = "grad_norm" in self._columns and self._recorder.bins_due(index)
            measurement = Measurement(len(self._roster.names), self._columns, with_bins=with_bins)
            self._dashboards.begin(index)
        return _Step(index, ordinal, measurement, keeps)

    def _take_gradients(self, step: _Step, turn: _Turn) -> None:
        if step.measurement is not None and "grad_norm" in self._columns:
            step.measurement.take_gradients(turn.rows, turn.parameters, self._last.before(step.ordinal))
            self._dashboards.take("gradients", self._names(turn), [parameter.grad for parameter in turn.parameters])
        if step.keeps:
            self._last.keep(step.ordinal, turn.rows, [parameter.grad for parameter in turn.parameters])

    def _names(self, turn: _Turn) -> list[str]:
        return [self._roster.names[row] for row in turn.rows]


def _gradients_come_late(optimizer: Optimizer, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> bool:
    closure = keywords.get("closure", arguments[1] if len(arguments) > 1 else None)
    # GradScaler hands its scale to optimizers that divide by it themselves.
    return closure is not None or getattr(optimizer, "grad_scale", None) is not None


def _changed_nothing(optimizer: Optimizer) -> bool:
    """Whether a loss scaler told the optimizer to leave this step out."""
    found_inf = getattr(optimizer, "found_inf", None)
    return found_inf is not None and float(found_inf) != 0.0
