"""What activations and their units did, from observed steps to records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt
from tensorboard.compat.proto.summary_pb2 import Summary

from tb_netviz.recorder.windows import Float32, Folding, Span, ValueWindow
from tb_netviz.statistics.partials import Array
from tb_netviz.statistics.units import ADDED, UNIT_SUMS, spread, within
from tb_netviz_plugin.schema.codec import tensor_value
from tb_netviz_plugin.schema.columns import ACTIVATION_COLUMNS, UNIT_COLUMNS, UNIT_STEP_COLUMNS
from tb_netviz_plugin.schema.description import Activation, Chunk, activation_chunks, unit_chunks
from tb_netviz_plugin.schema.tags import Family

ACTIVATION_IDS = tuple(column.id for column in ACTIVATION_COLUMNS)
UNIT_IDS = tuple(column.id for column in UNIT_COLUMNS)
_LARGEST, _TWIN = UNIT_IDS.index("largest"), UNIT_IDS.index("twin")
UNIT_STEP_IDS = tuple(column.id for column in UNIT_STEP_COLUMNS)

_MAGNITUDE = UNIT_SUMS.index("magnitude")

UNIT_BYTES = 64 << 20
"""What the records of single units may take in a run of a million steps."""
_OCTAVES = 16
_MOST_PER_OCTAVE, _LEAST_PER_OCTAVE = 32, 2


def unit_records_per_octave(units: int) -> int:
    """Return how many records of so many units there are for each doubling of the step count: the more, the fewer."""
    size = 4 * len(UNIT_IDS) * units
    per_octave = _MOST_PER_OCTAVE
    while per_octave > _LEAST_PER_OCTAVE and size * per_octave * _OCTAVES > UNIT_BYTES:
        per_octave //= 2
    return per_octave


class Activities(NamedTuple):
    """What the activations of a model did, at one step or over many; their units stand one after another.

    Attributes:
        sums: UNIT_SUMS, float64 [len(UNIT_SUMS), units].
        squares: Sum of the squares of each unit's gradient over the counted samples, [units].
        counts: For each activation: steps at which it was observed, samples whose largest value was read, samples that
            are counted, values of one unit in these, and counted samples whose gradient was seen, [activations, 5].
        ends: Index behind the last unit of each activation, [activations].
    """

    sums: Array
    squares: Array
    counts: Array
    ends: npt.NDArray[np.int64]

    @classmethod
    def none(cls, units: Sequence[int]) -> Self:
        """Return what nothing was observed of."""
        ends = np.cumsum(units, dtype=np.int64)
        sums = np.zeros((len(UNIT_SUMS), int(sum(units))))
        sums[ADDED:] = -np.inf
        return cls(sums, np.zeros(sums.shape[1]), np.zeros((len(units), 5)), ends)

    def add(self, other: Activities) -> None:
        """Add what was observed at another step."""
        self.sums[:ADDED] += other.sums[:ADDED]
        np.maximum(self.sums[ADDED:], other.sums[ADDED:], out=self.sums[ADDED:])
        self.squares[:] += other.squares
        self.counts[:] += other.counts

    @property
    def units(self) -> npt.NDArray[np.int64]:
        """Number of units of each activation."""
        return np.diff(self.ends, prepend=0)

    def values(self) -> Float32:
        """Return ACTIVATION_COLUMNS, float32 [activations, columns]; NaN where nothing was observed."""
        observed, samples, counted, values, graded = self.counts.T
        total = dict(zip(UNIT_SUMS, self._by_activation(np.add, self.sums[:ADDED]), strict=False))
        (gradient,) = self._by_activation(np.add, self.squares[np.newaxis])
        (largest,) = self._by_activation(np.maximum, self.sums[_MAGNITUDE : _MAGNITUDE + 1])
        every = values * self.units
        with np.errstate(all="ignore"):  # Without values there is nothing to divide by.
            known = np.where(np.floor(total["nonfinite"]) < every, 1.0, np.nan)
            whole = np.sqrt(samples / np.where(graded > 0, graded, np.nan))  # Those that were counted stand for all.
            columns = {
                "act_values": every,
                "act_samples": counted,
                "act_sum": total["total"] * known,
                "act_norm": np.sqrt(total["squares"]) * known,
                "act_abs_max": largest * known,
                "act_zeros": total["zeros"],
                "act_saturated": total["saturated"],
                "act_nonfinite": np.ceil(total["nonfinite"]),
                "act_grad_norm": np.sqrt(gradient) * whole,
                "act_within_norm": within(total["squares"], total["means"]) * known,
            }
            rows = np.stack([columns[name] for name in ACTIVATION_IDS], axis=1)
            rows[observed == 0] = np.nan
            return rows.astype(np.float32)

    def _by_activation(self, combine: np.ufunc, numbers: Array) -> Array:
        """Return `numbers`, [N, units], combined over the units of each activation, [N, activations]."""
        held = self.units > 0
        combined = np.zeros((len(numbers), len(self.ends)))
        if held.any():
            combined[:, held] = combine.reduceat(numbers, (self.ends - self.units)[held], axis=1)
        return combined

    def unit_values(self) -> Float32:
        """Return UNIT_COLUMNS, float32 [units, columns]; NaN where nothing was observed."""
        sums = dict(zip(UNIT_SUMS, self.sums, strict=True))
        _, samples, counted, values, graded = np.repeat(self.counts, self.units, axis=0).T
        with np.errstate(all="ignore"):
            finite = values - np.floor(sums["nonfinite"])
            mean = sums["total"] / finite
            columns = {
                "fired": sums["fired"] / counted,
                "mean": mean,
                "std": spread(mean, sums["squares"] / finite),
                "largest": np.where(samples > 0, sums["largest"], np.nan),
                "saturated": sums["saturated"] / finite,
                "gradient": np.sqrt(self.squares / np.where(graded > 0, graded, np.nan)),
                "twin": np.full_like(mean, np.nan),
            }
            return np.stack([columns[name] for name in UNIT_IDS], axis=1).astype(np.float32)


def activation_tags(model: str, activations: tuple[Activation, ...]) -> tuple[Chunk, ...]:
    """Return where the numbers of `activations` and of their units stand."""
    return (
        *activation_chunks(model, activations, Family.ACTIVATIONS, ACTIVATION_IDS),
        *activation_chunks(model, activations, Family.ACTIVATION_BINS),
        *activation_chunks(model, activations, Family.UNIT_STEPS, UNIT_STEP_IDS),
        *unit_chunks(model, activations, UNIT_IDS),
    )


class Exchange(Protocol):
    """Connects the records of units with those of other processes that train copies of the same model."""

    @property
    def interval(self) -> int:
        """Every how many steps one is to be observed, at most."""

    def exchange(
        self, activations: Sequence[Activation], step: int, activities: Activities, *, interval: int, last: bool
    ) -> bool:
        """Take what a record holds, and add what others have observed.

        Args:
            activations: The rows.
            step: The last one of the record.
            activities: What they did; may be changed.
            interval: Every how many steps one is going to be observed.
            last: Whether no other record follows.

        Returns:
            Whether the record is to be written here.
        """


class ActivityRecords:
    """The open records of activations: one that goes along with that of the parameters, and a longer one of units.

    Args:
        activations: The rows.
        chunks: Where their numbers stand; others are left alone.
        twins: Returns the column `twin` of their units; told whether the record is the last one.
        others: Connects them with those of other processes, where there are some.
    """

    def __init__(
        self,
        activations: Sequence[Activation] = (),
        chunks: Sequence[Chunk] = (),
        twins: Callable[[bool], Float32] | None = None,
        others: Exchange | None = None,
    ) -> None:
        self.per_octave = unit_records_per_octave(sum(activation.units for activation in activations))
        self._activations = activations
        self._rows = len(activations)
        self._recorded = np.array([activation.units > 0 for activation in activations], dtype=bool)
        self._chunks = chunks
        self._twins = twins
        self._others = others
        self._folding = Folding(ACTIVATION_IDS)
        self._window: ValueWindow | None = None
        self._unit_span: Span | None = None
        self._of_units: Activities | None = None
        self._bins: npt.NDArray[np.uint16] | None = None

    def observe(self, step: int, activities: Activities, bins: npt.NDArray[np.uint16] | None) -> None:
        """Take what was observed at `step`.

        Args:
            step: Its number.
            activities: Of all activations as described, and of all their units, recorded or not; they are kept, and
                changed.
            bins: Uint16 [activations, 128], where magnitudes were counted.

        Raises:
            ValueError: If they are not as many as the description has.
        """
        values = activities.values()  # Before they are changed.
        self.observe_units(step, activities)
        if self._window is None:
            self._window = ValueWindow(step, self._folding)
        self._window.add(step, values)
        self._bins = self._bins if bins is None else bins

    def observe_units(self, step: int, activities: Activities) -> None:
        """Take what was observed at `step` for the record of units only, as `observe` does."""
        if len(activities.ends) != self._rows:
            raise ValueError(f"expected {self._rows} activations as described, got {len(activities.ends)}")
        if self._unit_span is None or self._of_units is None:
            self._unit_span, self._of_units = Span(step, self.per_octave), activities
        else:
            self._of_units.add(activities)
        self._unit_span.add(step)

    def continues(self, step: int) -> bool:
        """Whether `step` belongs into the open record of units; so it does where there is none."""
        return self._unit_span is None or self._unit_span.continues(step)

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

    def take_units(self, *, interval: int, last: bool = False) -> tuple[int, list[Summary.Value]] | None:
        """Return the last step of the open record of units, and its values; None where none is to be written.

        Args:
            interval: Every how many steps one is going to be observed.
            last: Whether no other record follows.
        """
        span, activities = self._unit_span, self._of_units
        if span is None or activities is None:
            return None
        self._unit_span = self._of_units = None
        if self._others and not self._others.exchange(
            self._activations, span.last, activities, interval=interval, last=last
        ):
            return None
        units, steps = activities.unit_values(), self._steps(span, activities)
        if self._twins is not None:
            units[:, _TWIN] = np.where(np.isnan(units[:, _LARGEST]), np.nan, self._twins(last))
        units = units[np.repeat(self._recorded, activities.units)]
        values = []
        for chunk in self._chunks:
            if chunk.family == Family.UNITS:
                values.append(tensor_value(chunk.tag, Family.UNITS, units[_rows(chunk)]))
            elif chunk.family == Family.UNIT_STEPS:
                values.append(tensor_value(chunk.tag, Family.UNIT_STEPS, steps[_rows(chunk)]))
        return span.last, values

    def _steps(self, span: Span, activities: Activities) -> Float32:
        spans = np.full(self._rows, span.steps)
        return np.column_stack([spans, activities.counts[:, :3]]).astype(np.float32)


def _rows(chunk: Chunk) -> slice:
    return slice(chunk.first_row, chunk.first_row + chunk.rows)
