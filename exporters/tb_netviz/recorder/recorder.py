"""From observations of a network's parameters to records in an event file."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

from tb_netviz.events import Sink
from tb_netviz.recorder.activity import (
    Activities,
    ActivityRecords,
    Exchange,
    activation_tags,
    unit_records_per_octave,
)
from tb_netviz.recorder.budget import BudgetSchedule, share_of_time
from tb_netviz.recorder.outputs import OutputRecords, OutputValues
from tb_netviz.recorder.schedule import RECORDS_PER_OCTAVE, FixedSchedule, Plan, Schedule, stride
from tb_netviz.recorder.schedule import bins_due as bins_due_everywhere
from tb_netviz.recorder.windows import Float32, Folding, ValueWindow
from tb_netviz_plugin.schema import description as schema
from tb_netviz_plugin.schema.bins import COUNT, EVERY_RECORDS
from tb_netviz_plugin.schema.codec import description_value, encode_description, tensor_value
from tb_netviz_plugin.schema.columns import PARAMETER_COLUMNS
from tb_netviz_plugin.schema.tags import Family, tag

ALL_COLUMNS = tuple(column.id for column in PARAMETER_COLUMNS)

Counts = npt.NDArray[np.uint16]


class Recorder:
    """Records one watched model: what is observed at some steps becomes one event a window.

    Per optimizer step an adapter asks `observes(step)` and, where it is so, measures and calls `observe`; it ends every
    step, observed or not, with `finish_step`. Not safe for use from several threads at once.

    Args:
        sink: Takes the events. Where it has no room, records are dropped and counted.
        model: Name that tells several models of a run apart.
        budget: Share of the training time that may be spent in us.
        every: Observe every so many steps instead, whatever it costs.
        others: Connects the records of units with those of other processes, where there are some.
        clock: Gives the wall time of events.

    Raises:
        ValueError: If `budget` is not in (0, 1] or `every` is no positive whole number.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        model: str = "",
        budget: float = 0.02,
        every: int | None = None,
        others: Exchange | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sink = sink
        self._model = model.encode("utf-8", "replace").decode("utf-8")  # As the description will have it.
        self._others = others
        self._clock = clock
        budget = share_of_time(budget)
        self._schedule: Schedule = BudgetSchedule(budget) if every is None else FixedSchedule(every)
        self._told_schedule = schema.Schedule(
            budget=budget if every is None else 0.0, every=every or 0, records_per_octave=RECORDS_PER_OCTAVE
        )
        self._steps_tag = tag(Family.STEPS, self._model)
        self._description: schema.RunDescription | None = None
        self._announcement: Event | None = None  # Until the sink has taken it.
        self._rows = 0
        self._columns: tuple[str, ...] = ()
        self._folding = Folding(())
        self._window: ValueWindow | None = None
        self._bins: Counts | None = None
        self._activity = ActivityRecords()
        self._outputs = OutputRecords(self._model)
        self._records = 0
        self._step = 0
        self._finished: int | None = None
        self._ahead = 0  # Of the user's number of a step, the number by which the schedule knows it.
        self._lost = 0
        self._since_record = _Times()
        self._in_all = _Times()

    @property
    def interval(self) -> int:
        """Every how many steps one is observed now."""
        return self._schedule.interval_at(self._step + self._ahead)

    @property
    def cost_fraction(self) -> float:
        """Seconds spent in us per second of training without us, since the start; 0 before the first step."""
        return self._in_all.observing / self._in_all.training if self._in_all.training > 0 else 0.0

    def describe(
        self,
        description: schema.RunDescription,
        columns: Sequence[str] = ALL_COLUMNS,
        twins: Callable[[bool], Float32] | None = None,
    ) -> None:
        """Say what is recorded from now on: before the first observation, and whenever it changes.

        Model, chunks and schedule are filled in. An unchanged description is not written again.

        Args:
            description: The network; its parameters are the rows of `observe`.
            columns: Ids of the recorded columns, in order.
            twins: Returns the column `twin` of the units as described; told whether no other record of them follows.
        """
        columns = tuple(columns)
        description = self._complete(description, columns)
        if description == self._description:
            return
        if self._description is None or description.chunks != self._description.chunks:
            self.flush()
            self._window = None
            self._activity = ActivityRecords(description.activations, description.chunks, twins, self._others)
            self._rows = len(description.parameters)
            self._columns = columns
            self._folding = Folding(columns)
        self._description = description
        content = encode_description(description).SerializeToString(deterministic=True)
        self._announcement = Event(wall_time=self._clock(), step=self._step)
        self._announcement.summary.value.append(description_value(tag(Family.DESCRIPTION, content.hex()), description))
        self._announce()

    def _complete(self, description: schema.RunDescription, columns: tuple[str, ...]) -> schema.RunDescription:
        rows = description.parameters
        chunks = (
            *schema.parameter_chunks(self._model, rows, Family.PARAMETERS, columns),
            *schema.parameter_chunks(self._model, rows, Family.BINS),
            *activation_tags(self._model, description.activations),
            self._outputs.chunk,
        )
        units = sum(activation.units for activation in description.activations)
        per_octave = unit_records_per_octave(units) if description.activations else 0
        schedule = dataclasses.replace(self._told_schedule, unit_records_per_octave=per_octave)
        return dataclasses.replace(description, model=self._model, chunks=chunks, schedule=schedule)

    def _announce(self) -> None:
        if self._announcement is not None and self._sink.offer(self._announcement):
            self._announcement = None

    def observes(self, step: int) -> bool:
        """Whether `step` is to be observed. Final once the step before has been finished."""
        return self._schedule.observes(step)

    @property
    def shared(self) -> bool:
        """Whether other processes observe the same steps: then a plan holds once `adopt` is called.

        Steps have two numbers then: the user's own, under which values are recorded, and one that all processes agree
        on, by which they are observed.
        """
        return self._schedule.shared

    @shared.setter
    def shared(self, shared: bool) -> None:
        self._schedule.shared = shared

    def proposal(self, step: int) -> Plan:
        """Return what this process would have all of them adopt at `step`."""
        return self._schedule.proposal(step)

    def adopt(self, plan: Plan) -> None:
        """Follow what was proposed."""
        self._schedule.adopt(plan)

    def snapshot_due(self, step: int) -> bool:
        """Whether the gradient of `step` is needed at the step after it, for `grad_dot_last`."""
        return self._schedule.observes(step + 1)

    def bins_due(self, step: int) -> bool:
        """Whether the observation of `step` is to have bins: the first one of every eighth record."""
        if self.shared:
            return bins_due_everywhere(step, self._schedule.interval_at(step))
        return self._records % EVERY_RECORDS == 0 and not (self._window and self._window.span.continues(step))

    def observe(
        self,
        step: int,
        values: Float32,
        bins: Counts | None = None,
        activities: Activities | None = None,
        activation_bins: Counts | None = None,
        outputs: OutputValues | None = None,
    ) -> None:
        """Take the values of a step. A step below the last one begins a new record.

        They may come later than `finish_step`, from a device that is behind.

        Args:
            step: Index of the optimizer step.
            values: Float32 [rows, columns], as described; copied. NaN where a column was not measured.
            bins: Uint16 [rows, 128], where `bins_due`; copied.
            activities: What each activation did, as described, where that was measured.
            activation_bins: Uint16 [activations, 128], where magnitudes were counted.
            outputs: What went into the model and came out of it, where that was measured.

        Raises:
            ValueError: If a shape is not the described one, or nothing has been described.
        """
        if self._description is None:
            raise ValueError("observe() before describe(): nothing says what the values are")
        _check_shape("values", values, (self._rows, len(self._columns)))
        if self._window is None or not self._window.span.continues(step):
            self._write_window()
            self._window = ValueWindow(step, self._folding)
            self._bins = None
            self._records += 1
        self._window.add(step, np.asarray(values, dtype=np.float32))
        if bins is not None:
            _check_shape("bins", bins, (self._rows, COUNT))
            self._bins = np.array(bins, dtype=np.uint16)
        if activities is not None:
            if not self._activity.continues(step):
                self._write_units()
            self._activity.observe(step, activities, activation_bins)
        if outputs is not None:
            self._outputs.observe(step, outputs)
        self._write_finished(step)

    def observe_units(self, step: int, activities: Activities) -> None:
        """Take what activations did at a step, for the record of units alone. A step below the last one begins another.

        Args:
            step: Index of the optimizer step.
            activities: As described.
        """
        if not self._activity.continues(step):
            self._write_units()
        self._activity.observe_units(step, activities)
        self._write_finished(step)

    def _write_finished(self, step: int) -> None:
        """Write what is complete with the values of a step that has ended."""
        if self._finished is not None and step <= self._finished:
            self._write_if_complete(step)

    def lose(self) -> None:
        """Count an observation whose values never came."""
        self._lost += 1

    def finish_step(
        self,
        step: int,
        step_seconds: float,
        observe_seconds: float,
        *,
        observed: bool | None = None,
        number: int | None = None,
    ) -> None:
        """End an optimizer step, observed or not; a record that is complete is written.

        Args:
            step: Index of the optimizer step.
            step_seconds: How long the step took, us included; NaN where that is not known.
            observe_seconds: How long of that was spent in us.
            observed: Whether it was observed; by default whether its values are there.
            number: What it was asked for under in `observes`, where that is another number.
        """
        self._ahead = 0 if number is None else number - step
        self._step = self._finished = step
        arrived = self._window is not None and self._window.span.last == step
        observed = arrived if observed is None else observed
        training = step_seconds - observe_seconds
        if math.isfinite(training):
            self._since_record.add(training, observe_seconds)
            self._in_all.add(training, observe_seconds)
            self._schedule.finish(step + self._ahead, observed=observed, training=training, cost=observe_seconds)
        if arrived:
            self._write_if_complete(step)

    def _write_if_complete(self, step: int) -> None:
        following = self._next_observed(step)
        if self._window is not None and not self._window.span.continues(following):
            self._write_window()
        if not self._activity.continues(following):
            self._write_units()

    def _next_observed(self, step: int) -> int:
        number = step + self._ahead
        interval = self._schedule.interval_at(number)  # Does not change within a window.
        return step - number % interval + interval

    def flush(self) -> None:
        """Write the open window under its last step; the rest of the window becomes a record of its own."""
        self._announce()
        self._write_window()
        self._write_units()

    def close(self) -> None:
        """Write the open window, and what is left."""
        self._write_units(last=True)
        self.flush()
        rest = self._outputs.rest()
        if rest is not None:
            self._write_apart(*rest)

    def _write_window(self) -> None:
        window = self._window
        if window is None or window.span.written or self._description is None:
            return
        self._announce()
        planes = window.planes()
        event = Event(wall_time=self._clock(), step=window.span.last)
        values = event.summary.value
        for chunk in self._description.chunks:
            rows = slice(chunk.first_row, chunk.first_row + chunk.rows)
            if chunk.family == Family.PARAMETERS:
                values.append(tensor_value(chunk.tag, Family.PARAMETERS, planes[:, rows]))
            elif self._bins is not None and chunk.family == Family.BINS:
                values.append(tensor_value(chunk.tag, Family.BINS, self._bins[rows]))
        values.extend(self._activity.take())
        values.extend(self._outputs.take(with_classes=self._records % EVERY_RECORDS == 1))
        values.append(tensor_value(self._steps_tag, Family.STEPS, self._step_columns(window)))
        if self._sink.offer(event):
            self._since_record = _Times()
        window.span.end()

    def _write_units(self, *, last: bool = False) -> None:
        number = self._step + self._ahead
        coming = self._schedule.interval_at(number + 2 + stride(number + 2))  # When what was decided last holds.
        taken = self._activity.take_units(interval=max(self.interval, coming), last=last)
        self._schedule.least = 1 if self._others is None else self._others.interval
        if taken is None:
            return
        self._write_apart(*taken)

    def _write_apart(self, step: int, values: Sequence[Summary.Value]) -> None:
        """Write what goes along with no record of the parameters."""
        self._announce()
        event = Event(wall_time=self._clock(), step=step)
        event.summary.value.extend(values)
        if not self._sink.offer(event):
            self.lose()

    def _step_columns(self, window: ValueWindow) -> Float32:
        times = self._since_record
        steps = times.steps or math.nan
        return np.array(
            [
                window.span.steps,
                window.span.observations,
                (times.training + times.observing) / steps,
                times.observing / steps,
                self._schedule.interval_at(window.span.last + self._ahead),
                self._sink.dropped + self._lost,
            ],
            dtype=np.float32,
        )


@dataclasses.dataclass(slots=True)
class _Times:
    """Seconds of training without us, and in us, over some steps."""

    training: float = 0.0
    observing: float = 0.0
    steps: int = 0

    def add(self, training: float, observing: float) -> None:
        self.training += training
        self.observing += observing
        self.steps += 1


def _check_shape(name: str, array: npt.NDArray[np.generic], expected: tuple[int, int]) -> None:
    if array.shape != expected:
        raise ValueError(f"{name} must have the shape {expected} (parameters, columns), got {array.shape}")
