"""What activations and their units did, from observed steps to records."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from tensorboard.compat.proto.summary_pb2 import Summary

from tb_netviz.recorder.windows import Float32, Folding, Span, ValueWindow
from tb_netviz.statistics.units import Activity, activation_row, merged, unit_rows
from tb_netviz_plugin.schema.codec import tensor_value
from tb_netviz_plugin.schema.columns import ACTIVATION_COLUMNS, UNIT_COLUMNS, UNIT_STEP_COLUMNS
from tb_netviz_plugin.schema.description import Activation, Chunk, activation_chunks, unit_chunks
from tb_netviz_plugin.schema.tags import Family

ACTIVATION_IDS = tuple(column.id for column in ACTIVATION_COLUMNS)
UNIT_IDS = tuple(column.id for column in UNIT_COLUMNS)
UNIT_STEP_IDS = tuple(column.id for column in UNIT_STEP_COLUMNS)

UNIT_BYTES = 64 << 20
"""What the records of single units may take in a run of a million steps."""
_OCTAVES = 16
_MOST_PER_OCTAVE, _LEAST_PER_OCTAVE = 32, 2


def unit_records_per_octave(activations: Sequence[Activation]) -> int:
    """Return how many records of units there are for each doubling of the step count: the more units, the fewer."""
    size = 4 * len(UNIT_IDS) * sum(activation.units for activation in activations)
    per_octave = _MOST_PER_OCTAVE
    while per_octave > _LEAST_PER_OCTAVE and size * per_octave * _OCTAVES > UNIT_BYTES:
        per_octave //= 2
    return per_octave


def activation_values(activities: Sequence[Activity | None]) -> Float32:
    """Return ACTIVATION_COLUMNS at one step, float32 [activations, columns]; NaN where there was none."""
    values = np.full((len(activities), len(ACTIVATION_IDS)), np.nan)
    for row, activity in enumerate(activities):
        if activity is not None:
            values[row] = activation_row(activity)
            # What was counted stands for all samples.
            values[row, _GRADIENT] *= np.sqrt(activity.samples / max(1, activity.counted))
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


class UnitWindow:
    """What the units of all activations did at the observed steps of a window.

    Args:
        step: The first of them.
        per_octave: Windows for each doubling of the step count.
        units: Units of each activation that are recorded.
    """

    def __init__(self, step: int, per_octave: int, units: Sequence[int]) -> None:
        self.span = Span(step, per_octave)
        self._units = units
        self._activities: list[Activity | None] = [None] * len(units)
        self._observations = np.zeros(len(units), dtype=np.int64)

    def add(self, step: int, activities: Sequence[Activity | None]) -> None:
        """Add what was observed at `step`."""
        self.span.add(step)
        for row, activity in enumerate(activities):
            known = self._activities[row]
            if activity is not None:
                self._observations[row] += 1
                self._activities[row] = activity if known is None else merged([known, activity])

    def units(self) -> Float32:
        """Return UNIT_COLUMNS of all units, float32 [units, columns]; NaN where nothing was observed."""
        rows = [np.empty((0, len(UNIT_IDS)))]
        for count, activity in zip(self._units, self._activities, strict=True):
            unknown = activity is None or not count
            rows.append(np.full((count, len(UNIT_IDS)), np.nan) if activity is None or unknown else unit_rows(activity))
        with np.errstate(over="ignore"):
            return np.concatenate(rows).astype(np.float32)

    def steps(self) -> Float32:
        """Return UNIT_STEP_COLUMNS of all activations, float32 [activations, columns]."""
        samples = [(0, 0) if each is None else (each.samples, each.counted) for each in self._activities]
        spans = np.full(len(self._units), self.span.steps)
        return np.column_stack([spans, self._observations, np.reshape(samples, (-1, 2))]).astype(np.float32)


_GRADIENT = ACTIVATION_IDS.index("act_grad_norm")


def activation_tags(model: str, activations: tuple[Activation, ...]) -> tuple[Chunk, ...]:
    """Return where the numbers of `activations` and of their units stand."""
    return (
        *activation_chunks(model, activations, Family.ACTIVATIONS, ACTIVATION_IDS),
        *activation_chunks(model, activations, Family.ACTIVATION_BINS),
        *activation_chunks(model, activations, Family.UNIT_STEPS, UNIT_STEP_IDS),
        *unit_chunks(model, activations, UNIT_IDS),
    )


class ActivityRecords:
    """The open records of activations: one that goes along with that of the parameters, and a longer one of units.

    Args:
        activations: The rows.
        chunks: Where their numbers stand; others are left alone.
    """

    def __init__(self, activations: Sequence[Activation] = (), chunks: Sequence[Chunk] = ()) -> None:
        self.per_octave = unit_records_per_octave(activations)
        self._units = [activation.units for activation in activations]
        self._chunks = chunks
        self._folding = Folding(ACTIVATION_IDS)
        self._window: ValueWindow | None = None
        self._unit_window: UnitWindow | None = None
        self._bins: npt.NDArray[np.uint16] | None = None

    def observe(self, step: int, activities: Sequence[Activity | None], bins: npt.NDArray[np.uint16] | None) -> None:
        """Take what was observed at `step`.

        Args:
            step: Its number.
            activities: Row by row, None where an activation did not run.
            bins: Uint16 [activations, 128], where magnitudes were counted.

        Raises:
            ValueError: If they are not as many as the description has.
        """
        if len(activities) != len(self._units):
            raise ValueError(f"expected {len(self._units)} activations as described, got {len(activities)}")
        if self._window is None:
            self._window = ValueWindow(step, self._folding)
        self._window.add(step, activation_values(activities))
        if self._unit_window is None:
            self._unit_window = UnitWindow(step, self.per_octave, self._units)
        self._unit_window.add(step, activities)
        self._bins = self._bins if bins is None else bins

    def continues(self, step: int) -> bool:
        """Whether `step` belongs into the open record of units; so it does where there is none."""
        return self._unit_window is None or self._unit_window.span.continues(step)

    def take(self) -> list[Summary.Value]:
        """Return what goes along with a record of the parameters; the next one begins."""
        window, self._window = self._window, None
        bins, self._bins = self._bins, None
        if window is None:
            return []
        planes, values = window.planes(), []
        for chunk in self._chunks:
            if chunk.family == Family.ACTIVATIONS:
                values.append(tensor_value(chunk.tag, Family.ACTIVATIONS, planes[:, _rows(chunk)]))
            elif bins is not None and chunk.family == Family.ACTIVATION_BINS:
                values.append(tensor_value(chunk.tag, Family.ACTIVATION_BINS, bins[_rows(chunk)]))
        return values

    def take_units(self) -> tuple[int, list[Summary.Value]] | None:
        """Return the last step of the open record of units, and its values; None where there is none."""
        window = self._unit_window
        if window is None or window.span.written:
            return None
        units, steps = window.units(), window.steps()
        values = []
        for chunk in self._chunks:
            if chunk.family == Family.UNITS:
                values.append(tensor_value(chunk.tag, Family.UNITS, units[_rows(chunk)]))
            elif chunk.family == Family.UNIT_STEPS:
                values.append(tensor_value(chunk.tag, Family.UNIT_STEPS, steps[_rows(chunk)]))
        self._unit_window = None
        return window.span.last, values


def _rows(chunk: Chunk) -> slice:
    return slice(chunk.first_row, chunk.first_row + chunk.rows)
