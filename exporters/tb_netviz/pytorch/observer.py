"""Measures the training steps of a model, and hands them to the recorder."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from tb_netviz.pytorch.activations.capture import Capture
from tb_netviz.pytorch.activations.twins import Twins
from tb_netviz.pytorch.hooks import Guard
from tb_netviz.pytorch.interventions import Interventions
from tb_netviz.pytorch.landing import Landing
from tb_netviz.pytorch.measurement import Measurement
from tb_netviz.pytorch.membership import Membership, learning_rates
from tb_netviz.pytorch.outputs import Ends
from tb_netviz.pytorch.roster import Roster
from tb_netviz.pytorch.shards import has_memory, is_sharded, local
from tb_netviz.pytorch.sharing import Sharing
from tb_netviz.pytorch.snapshots import LastGradients, copies
from tb_netviz.pytorch.standard import Dashboards
from tb_netviz.pytorch.transfers import Transfer
from tb_netviz.pytorch.turns import Step, Turn
from tb_netviz.recorder import Recorder
from tb_netviz_plugin.schema.description import Omission


class _Guards:
    """What may fail without the rest."""

    def __init__(self, whole: Guard) -> None:
        self.gradients = whole.part("The gradients")
        self.angles = whole.part("The angles between gradients")
        self.bins = whole.part("The distributions of gradients")
        self.updates = whole.part("The updates")
        self.weights = whole.part("The norms of weights and updates")
        self.histograms = whole.part("The histograms in TensorBoard's own dashboard")

    @property
    def measure(self) -> bool:
        """Whether all of it is measured."""
        return all(part.on for part in (self.gradients, self.angles, self.bins, self.updates, self.weights))


class Observer:
    """Between the hooks of a watched model and its recorder.

    Gradients are read just before the optimizer steps: afterwards some optimizers have overwritten them. With a
    closure, or a loss scale that the optimizer itself removes, they are read just after it. What was measured on an
    accelerator arrives some steps later; training does not wait for it.

    Args:
        guard: Runs the observer; its parts run what may fail by itself.
        roster: The rows.
        members: Tells which optimizers hold parameters of the model.
        recorder: Takes the values.
        columns: Ids of what is measured.
        dashboards: Takes what TensorBoard's own dashboards show.
        ends: Measures outputs, targets and inputs, and hears the loss.
        sharing: Measures together with other processes, where they train the model, too.
        capture: Measures activations, where that is wanted.

    Attributes:
        interventions: Tells what was done to gradients, and which steps were left out.
    """

    def __init__(
        self,
        guard: Guard,
        roster: Roster,
        members: Membership,
        recorder: Recorder,
        columns: tuple[str, ...],
        dashboards: Dashboards,
        ends: Ends,
        sharing: Sharing,
        capture: Capture | None,
    ) -> None:
        self._guard = guard
        self._guards = _Guards(guard)
        self._roster = roster
        self._members = members
        self._recorder = recorder
        self._wanted = columns
        self._dashboards = dashboards
        self._ends = ends
        self._sharing = sharing
        self._capture = capture
        self._twins = Twins(guard.part("The comparison of units"))
        self._last = LastGradients()
        self._step: Step | None = None
        self._turns: weakref.WeakKeyDictionary[Optimizer, Turn] = weakref.WeakKeyDictionary()
        self.interventions = Interventions(guard, dashboards, members, roster)
        self._landing = Landing(guard, members, recorder, dashboards, self.interventions, records=sharing.records)
        self._number = -1
        self._paces = deque([1], maxlen=2)  # By how much the last numbers grew.

    @property
    def _columns(self) -> tuple[str, ...]:
        """Ids of what is measured here."""
        return self._wanted if self._sharing.measures else ()

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
        self.interventions.conclude(optimizer)
        step = self._step
        first = step is None
        if step is None:
            step = self._step = self._begin(index, ordinal)
        if step.measurement is None and not step.keeps:
            return
        step.rates[id(optimizer)] = learning_rates(optimizer)
        if self._capture is not None and step.measurement is not None:
            step.scale = self.interventions.scale(optimizer)
        rows = self._roster.rows_of(optimizer)
        if first:
            rows |= self._roster.rows_of_none()
        rows = {row: parameter for row, parameter in rows.items() if has_memory(parameter)}
        turn = Turn(self._sharing.mine(rows), late=_gradients_come_late(optimizer, arguments, keywords))
        self._turns[optimizer] = turn
        if not turn.late:
            self._take_gradients(step, turn, optimizer)
        if step.measurement is not None and "update_norm" in self._columns:
            self._guards.updates.run(self._copy_weights, step, turn, optimizer)

    def after_step(self, optimizer: Optimizer) -> None:
        """Measure what has to be measured after `optimizer` has stepped."""
        turn, step = self._turns.pop(optimizer, None), self._step
        if step is not None:
            if not step.prepared:
                self._prepare(step)
            if self._capture is not None:
                step.tally.merge(self._capture.take())
            self._take_ends(step)
            if self._sharing.records:
                self.interventions.hear(step.index, optimizer)
        if turn is None or step is None:
            return
        self._finish_turn(step, turn, optimizer)
        if step.measurement is not None:
            if not self._guards.measure:
                self._sharing.leave(self._guard.last_loss)
            step.complete &= self._sharing.merge(step.measurement, turn.rows, step.number)

    def _take_ends(self, step: Step) -> None:
        outputs, loss = self._ends.take()
        step.outputs.merge(outputs)
        if loss is not None and step.loss is None:
            step.loss = Transfer(loss)

    def sit_out(self, ordinal: int) -> None:
        """Take part in a step without measuring, so that no other process waits for this one."""
        number = self._sharing.number(ordinal, ordinal)
        if self._recorder.observes(number):
            self._describe()
            self._sharing.merge(None, (), number)

    def _finish_turn(self, step: Step, turn: Turn, optimizer: Optimizer) -> None:
        found_inf = getattr(optimizer, "found_inf", None)  # Where a loss scaler told the optimizer to leave steps out.
        if found_inf is not None:
            step.skips.append(Transfer(found_inf))
            if found_inf.is_cpu and step.skipped:
                self._last.free()
                return
        if turn.late:
            self._take_gradients(step, turn, optimizer)
        if step.measurement is not None:
            self._guards.weights.run(step.measurement.take_weights, turn.rows, turn.weights, turn.before)
            self._guards.histograms.run(self._sample, step, "weights", turn, dict(turn.parameters))
            if "grad_norm" in self._columns and self._sharing.records:
                self.interventions.follow(step.index, optimizer, turn.parameters)

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
        if self._turns:  # An optimizer did not come to the end of its step: its closure raised.
            self._turns.clear()
            step.measurement = None
        self._last.end(step.ordinal)
        self._recorder.finish_step(
            step.index, seconds, observing, observed=step.measurement is not None, number=step.number
        )
        if step.measurement is None or not self._sharing.hears:
            return
        if loss_is_logged:
            step.loss = None
        step.sites = self._roster.sites
        self._landing.send(step, step.measurement)

    def land(self) -> None:
        """Wait for what is on its way, and hand it over."""
        self._landing.wait()
        self.interventions.land()

    def free(self) -> None:
        """Let go of all copies, and listen to neither a loss nor a backward pass."""
        self._ends.mute()
        self._ends.take()
        self.interventions.free()
        if self._capture is not None:
            self._capture.mute()
            self._capture.take()
        self._last.free()
        self._turns.clear()

    def _begin(self, index: int, ordinal: int) -> Step:
        number = self._sharing.number(index, ordinal)
        self._paces.append(max(1, number - self._number))
        self._number = number
        observed = self._recorder.observes(number)
        keeps = "grad_dot_last" in self._columns and self._recorder.snapshot_due(number)
        if observed or keeps:
            self._describe()
        if not observed or not self._landing.has_room():
            return Step(index, ordinal, number, None, keeps)
        with_bins = "grad_norm" in self._columns and self._recorder.bins_due(number)
        measurement = Measurement(len(self._roster.names), self._columns, with_bins=with_bins)
        has_histograms = self._sharing.records and self._dashboards.histograms_due(index)
        return Step(index, ordinal, number, measurement, keeps, has_histograms=has_histograms)

    def _describe(self) -> None:
        for subject, reason in self._guard.losses:
            self._roster.omit(Omission(subject, reason))
        self._guard.losses.clear()
        rows = self._roster.identities, self._roster.sites
        description = self._roster.refresh()
        if description is None:
            return
        if (self._roster.identities, self._roster.sites) != rows:
            self.land()  # What is on its way belongs to the old rows.
        if self._roster.identities != rows[0]:
            self._last = LastGradients()
        twins = partial(self._twins.column, self._roster.sites) if self._sharing.records else None
        self._recorder.describe(description, self._columns, twins)

    def _take_gradients(self, step: Step, turn: Turn, optimizer: Optimizer) -> None:
        gradients = self._sharing.gradients(turn.parameters)
        rows, parts = list(gradients), list(gradients.values())
        if step.measurement is not None and "grad_norm" in self._columns:
            last: dict[int, Tensor] = {}
            self._guards.angles.run(self._recall, step, gradients, last)
            self.interventions.compare(step.comparison, turn.parameters, optimizer)
            self._guards.gradients.run(step.measurement.take_gradients, rows, parts, last)
            elements = [turn.parameters[row].numel() for row in rows]
            self._guards.bins.run(step.measurement.take_bins, rows, parts, elements)
            self._guards.histograms.run(self._sample, step, "gradients", turn, gradients)
        if step.keeps:
            self._guards.angles.run(self._last.keep, step.ordinal, rows, parts)

    def _recall(self, step: Step, gradients: Mapping[int, Tensor | None], last: dict[int, Tensor]) -> None:
        if "grad_dot_last" in self._columns:
            last |= self._last.before(step.ordinal, gradients)

    def _prepare(self, step: Step) -> None:
        """Listen to the loss and the backward passes of the next step if it will be observed, else to none."""
        step.prepared = True
        following = step.number + min(self._paces)
        observed_next = self._recorder.observes(following)
        goes_on = step.measurement is not None and len(self._members.optimizers) > 1
        if observed_next and self._sharing.records:
            self._ends.listen()
        elif not goes_on:
            self._ends.mute()
        if self._capture is not None:
            if observed_next and self._sharing.hears:
                with_bins = self._sharing.records and self._recorder.bins_due(following)
                self._capture.listen(with_bins=with_bins)
            elif not goes_on:
                self._capture.mute()
        if observed_next and "grad_norm" in self._columns:
            rows = self._roster.rows_of_none()
            for optimizer in self._members.optimizers:
                rows |= self._roster.rows_of(optimizer)
            self.interventions.listen(self._roster.homes(rows))
        elif not goes_on:
            self.interventions.mute()  # Else the backward pass of another optimizer may still belong to this step.

    def _copy_weights(self, step: Step, turn: Turn, optimizer: Optimizer) -> None:
        turn.before = copies(turn.rows, turn.weights)
        for other in self._members.optimizers:
            if other is not optimizer:  # Of what both step, the update is that since the first of them.
                shared = self._roster.rows_of(other).keys() & turn.before.keys()
                turn.before |= {row: step.before[row].clone() for row in shared & step.before.keys()}
                step.before |= {row: turn.before[row].clone() for row in shared - step.before.keys()}

    def _sample(self, step: Step, kind: str, turn: Turn, tensors: Mapping[int, Tensor | None]) -> None:
        if step.has_histograms:
            rows = [row for row in tensors if not is_sharded(turn.parameters[row])]
            whole = [None if (tensor := tensors[row]) is None else local(tensor) for row in rows]
            step.samples += self._dashboards.samples(kind, [self._roster.names[row] for row in rows], whole)


def _gradients_come_late(optimizer: Optimizer, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> bool:
    closure = keywords.get("closure", arguments[1] if len(arguments) > 1 else None)
    # GradScaler hands its scale to optimizers that divide by it themselves.
    return closure is not None or getattr(optimizer, "grad_scale", None) is not None
