"""Writes synthetic runs with a writer of its own, not with ours.

The columns are computed here from gradients in float64, straight from their definitions in
docs/wire-format.md, so that a test can compare what the tab shows with a computation that shares no
code with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
from tensorboard.compat.proto import event_pb2, summary_pb2

from tb_netviz_plugin.schema import bins
from tb_netviz_plugin.schema.codec import description_value, encode_description, tensor_value
from tb_netviz_plugin.schema.columns import (
    ACTIVATION_COLUMNS,
    PARAMETER_COLUMNS,
    UNIT_COLUMNS,
    UNIT_STEP_COLUMNS,
    Column,
)
from tb_netviz_plugin.schema.description import (
    Activation,
    Chunk,
    Module,
    OptimizerGroup,
    Parameter,
    RunDescription,
    Schedule,
    activation_chunks,
    parameter_chunks,
    unit_chunks,
)
from tb_netviz_plugin.schema.tags import Family, tag
from tests.support.records import RecordFile

Array = npt.NDArray[np.floating]
Gradients = Sequence[Array | None]

COLUMNS: tuple[str, ...] = tuple(column.id for column in PARAMETER_COLUMNS)
OUTPUT_NAMES: tuple[str, ...] = tuple(column.id for column in ACTIVATION_COLUMNS)
UNIT_NAMES: tuple[str, ...] = tuple(column.id for column in UNIT_COLUMNS)
UNIT_STEP_NAMES: tuple[str, ...] = tuple(column.id for column in UNIT_STEP_COLUMNS)
START = 1_700_000_000.0
HOSTILE_NAMES: tuple[str, ...] = (
    "<img src=x onerror=alert(1)>",
    "../../etc/passwd",
    "line\nbreak\ttab",
    "🦆 naïve \u202ereversed",
    "x" * 500,
    "__proto__",
    "",
)


def describe(
    layers: Mapping[str, Mapping[str, tuple[int, ...]]],
    *,
    model: str = "",
    columns: tuple[str, ...] = COLUMNS,
    with_bins: bool = True,
    frozen: Sequence[str] = (),
    learning_rate: float = 0.1,
    types: Mapping[str, str] | None = None,
    activations: Sequence[Activation] = (),
) -> RunDescription:
    """Return a description of a network.

    Args:
        layers: Module names in network order, each with its parameters' names and shapes.
        model: Name of the model.
        columns: What is recorded of each parameter.
        with_bins: Whether gradient magnitudes are counted.
        frozen: Names of the layers that ask for no gradient.
        learning_rate: That of the only optimizer group.
        types: Types of the modules that are no Linear.
        activations: The outputs that are measured.
    """
    modules = tuple(
        Module(name, (types or {}).get(name, "Linear"), (32, 16), (32, 16), f"16 → 16, {len(parameters)} parameters")
        for name, parameters in layers.items()
    )
    parameters = tuple(
        Parameter(f"{layer}.{name}", owner, shape, frozen=layer in frozen, group=None if layer in frozen else 0)
        for owner, (layer, shapes) in enumerate(layers.items())
        for name, shape in shapes.items()
    )
    chunks = parameter_chunks(model, parameters, Family.PARAMETERS, columns)
    if with_bins:
        chunks += parameter_chunks(model, parameters, Family.BINS)
    chunks += _activation_chunks(model, tuple(activations), with_bins=with_bins)
    return RunDescription(
        writer="tb-netviz 0.1.0",
        framework="pytorch 2.13.0",
        model=model,
        modules=modules,
        parameters=parameters,
        activations=tuple(activations),
        groups=(OptimizerGroup("SGD", 0, learning_rate, (("momentum", 0.9), ("weight_decay", 0.01))),),
        chunks=chunks,
        schedule=Schedule(every=1, records_per_octave=128, unit_records_per_octave=32 if activations else 0),
    )


def _activation_chunks(model: str, activations: tuple[Activation, ...], *, with_bins: bool) -> tuple[Chunk, ...]:
    chunks = activation_chunks(model, activations, Family.ACTIVATIONS, OUTPUT_NAMES)
    if with_bins:
        chunks += activation_chunks(model, activations, Family.ACTIVATION_BINS)
    chunks += unit_chunks(model, activations, UNIT_NAMES)
    return chunks + activation_chunks(model, activations, Family.UNIT_STEPS, UNIT_STEP_NAMES)


def dense_layers(count: int, *, width: int = 4) -> dict[str, dict[str, tuple[int, ...]]]:
    """Return `count` layers of one weight and one bias each, for `describe`."""
    return {f"blocks.{index}": {"weight": (width, width), "bias": (width,)} for index in range(count)}


def observe(
    gradients: Gradients,
    weights: Sequence[Array],
    updates: Sequence[Array],
    last: Gradients | None = None,
) -> Array:
    """Return the columns of one observed step, float64 [parameters, columns], by their definitions.

    Args:
        gradients: Gradient of each parameter, or None.
        weights: Parameters after the step.
        updates: The change that the step made.
        last: Gradients of the step before, where a pair was observed.
    """
    rows = []
    for index, gradient in enumerate(gradients):
        row = dict.fromkeys(COLUMNS, math.nan)
        row["present"] = float(gradient is not None)
        row["weight_norm"] = math.sqrt(float((weights[index].astype(np.float64) ** 2).sum()))
        row["update_norm"] = math.sqrt(float((updates[index].astype(np.float64) ** 2).sum()))
        if gradient is not None:
            row |= _gradient_columns(gradient, last[index] if last else None)
        rows.append([row[name] for name in COLUMNS])
    return np.array(rows, np.float64)


def _gradient_columns(gradient: Array, last: Array | None) -> dict[str, float]:
    values = gradient.astype(np.float64)
    nonfinite = int((~np.isfinite(values)).sum())
    if nonfinite:
        return {"grad_nonfinite": nonfinite}
    columns = {
        "grad_norm": math.sqrt(float((values**2).sum())),
        "grad_abs_sum": float(np.abs(values).sum()),
        "grad_abs_max": float(np.abs(values).max()),
        "grad_sum": float(values.sum()),
        "grad_zeros": float((values == 0).sum()),
        "grad_nonfinite": 0.0,
    }
    if last is not None:
        columns["grad_dot_last"] = float((values * last).sum())
        columns["grad_norm_last"] = math.sqrt(float((last.astype(np.float64) ** 2).sum()))
    return columns


def count_bins(gradients: Gradients) -> npt.NDArray[np.uint16]:
    """Return the counts of gradient magnitudes by power of two, uint16 [parameters, 128]."""
    counts = np.zeros((len(gradients), bins.COUNT), np.uint16)
    for row, gradient in enumerate(gradients):
        if gradient is not None:
            counts[row] = np.bincount(_bins(gradient.ravel()[: bins.SAMPLES]), minlength=bins.COUNT)
    return counts


def _bins(values: Array) -> npt.NDArray[np.int64]:
    """Return the bin of each value."""
    exponents = np.frexp(values)[1].astype(np.int64) - 1
    conditions = [
        ~np.isfinite(values),
        values == 0,
        exponents < bins.LOWEST_EXPONENT,
        exponents > bins.HIGHEST_EXPONENT,
    ]
    outside = [bins.NONFINITE, bins.ZERO, bins.BELOW, bins.ABOVE]
    return np.select(conditions, outside, bins.FIRST + exponents - bins.LOWEST_EXPONENT)


def fold(observations: Sequence[Array], columns: Sequence[Column] = PARAMETER_COLUMNS) -> Array:
    """Return the three planes of a window of observed steps, [3, rows, columns]."""
    stack = np.stack(observations)
    present = np.isfinite(stack)
    count = present.sum(axis=0)
    centre = np.full(stack.shape[1:], np.nan)
    for index, column in enumerate(columns):
        values, known = np.where(present, stack, 0.0)[..., index], count[..., index]
        divisor = np.where(known == 0, np.nan, known)
        match column.merge.value:
            case "root_square":
                centre[:, index] = np.sqrt((values**2).sum(axis=0) / divisor)
            case "sum":
                centre[:, index] = values.sum(axis=0) / divisor
            case _:
                centre[:, index] = np.where(known == 0, np.nan, values.max(axis=0))
    low = np.where(count == 0, np.nan, np.where(present, stack, np.inf).min(axis=0))
    high = np.where(count == 0, np.nan, np.where(present, stack, -np.inf).max(axis=0))
    return np.stack([centre, low, high])


@dataclass(frozen=True, slots=True)
class Cost:
    """What recording cost, as a record says."""

    step_seconds: float = 0.02
    observe_seconds: float = 0.0002
    interval: int = 1
    dropped: int = 0


class RunFile:
    """One event file of a run. A context manager.

    Wall time moves on by 10 ms an event, so that a second file of the same run, given a later
    `start`, is a resumed run.
    """

    def __init__(self, log_dir: Path, *, start: float = START) -> None:
        log_dir.mkdir(parents=True, exist_ok=True)
        self.path = log_dir / f"events.out.tfevents.{int(start)}.host.1.netviz"
        self.wall_time = start
        self._file = self.path.open("wb")
        self._records = RecordFile(self._file)
        self._write(event_pb2.Event(wall_time=start, file_version="brain.Event:2"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def flush(self) -> None:
        """Make what was written visible to readers."""
        self._file.flush()

    def values(self, step: int, values: Sequence[summary_pb2.Summary.Value]) -> None:
        """Write one event."""
        self.wall_time += 0.01
        summary = summary_pb2.Summary(value=values)
        self._write(event_pb2.Event(wall_time=self.wall_time, step=step, summary=summary))

    def describe(self, description: RunDescription, step: int = 0) -> None:
        """Write a description."""
        content = encode_description(description).SerializeToString(deterministic=True)
        self.values(step, [description_value(tag(Family.DESCRIPTION, content.hex()), description)])

    def record(
        self,
        description: RunDescription,
        step: int,
        planes: Array,
        *,
        span: int = 1,
        observations: int = 1,
        counts: npt.NDArray[np.uint16] | None = None,
        cost: Cost | None = None,
        outputs: Array | None = None,
        output_counts: npt.NDArray[np.uint16] | None = None,
    ) -> None:
        """Write one record: the parameters' columns, the step's, and the others that are given.

        Args:
            description: What the rows and columns mean.
            step: Last step of the record.
            planes: [parameters, columns], or [3, parameters, columns] for a window.
            span: Steps that the record covers.
            observations: Steps that were observed.
            counts: [parameters, 128].
            cost: What recording cost.
            outputs: [activations, columns], or [3, activations, columns] for a window.
            output_counts: [activations, 128].
        """
        cost = cost or Cost()
        steps = [span, observations, cost.step_seconds, cost.observe_seconds, cost.interval, cost.dropped]
        values = [
            tensor_value(tag(Family.STEPS, description.model), Family.STEPS, np.array(steps, np.float32)),
        ]
        values += _matrices(description, Family.PARAMETERS, COLUMNS, planes)
        values += _matrices(description, Family.ACTIVATIONS, OUTPUT_NAMES, outputs)
        values += _counts(description, Family.BINS, counts)
        values += _counts(description, Family.ACTIVATION_BINS, output_counts)
        self.values(step, values)

    def units(self, description: RunDescription, step: int, units: Array, unit_steps: Array) -> None:
        """Write one record of single units.

        Args:
            description: What the rows and columns mean.
            step: Last step of the record.
            units: Columns of the units of all activations, one after another, [units, columns].
            unit_steps: Which steps and how many samples they stand for, [activations, columns].
        """
        values = _matrices(description, Family.UNITS, UNIT_NAMES, units, leading=False)
        values += _matrices(description, Family.UNIT_STEPS, UNIT_STEP_NAMES, unit_steps, leading=False)
        self.values(step, values)

    def metric(self, name: str, step: int, value: float, *, role: str = "", span: int = 1) -> None:
        """Write one value of a metric."""
        finite = math.isfinite(value)
        known = value if finite else math.nan
        columns = np.array([span, 1, known, known, known, 0 if finite else 1], np.float32)
        self.values(step, [tensor_value(tag(Family.METRIC, name, role), Family.METRIC, columns, name, role)])

    def foreign(self, name: str, step: int, value: float) -> None:
        """Write a scalar that is not ours."""
        self.values(step, [summary_pb2.Summary.Value(tag=name, simple_value=value)])

    def _write(self, event: event_pb2.Event) -> None:
        self._records.write(event.SerializeToString())


def _matrices(
    description: RunDescription, family: Family, names: Sequence[str], rows: Array | None, *, leading: bool = True
) -> list[summary_pb2.Summary.Value]:
    """Return the columns of each chunk of `family`, with an axis of planes in front where it is `leading`."""
    if rows is None:
        return []
    planes = rows[None] if leading and rows.ndim == 2 else rows
    values = []
    for chunk in description.chunks:
        if chunk.family == family:
            columns = [names.index(name) for name in chunk.columns]
            part = planes[..., chunk.first_row : chunk.first_row + chunk.rows, :][..., columns]
            values.append(tensor_value(chunk.tag, family, part.astype(np.float32)))
    return values


def _counts(
    description: RunDescription, family: Family, counts: npt.NDArray[np.uint16] | None
) -> list[summary_pb2.Summary.Value]:
    if counts is None:
        return []
    return [
        tensor_value(chunk.tag, family, counts[chunk.first_row : chunk.first_row + chunk.rows])
        for chunk in description.chunks
        if chunk.family == family
    ]


def random_gradients(
    description: RunDescription, rng: np.random.Generator, scale: float = 1.0
) -> list[npt.NDArray[np.float32]]:
    """Return a random float32 gradient for each parameter of `description`."""
    return [(scale * rng.standard_normal(row.shape)).astype(np.float32) for row in description.parameters]


def write_run(
    log_dir: Path,
    *,
    layers: int | Mapping[str, Mapping[str, tuple[int, ...]]] = 3,
    steps: Sequence[int] = tuple(range(20)),
    model: str = "",
    seed: int = 0,
    start: float = START,
    none: Mapping[str, Sequence[int]] | None = None,
    nan: Mapping[str, Sequence[int]] | None = None,
    zero: Mapping[str, Sequence[int]] | None = None,
    schema_version: int | None = None,
) -> RunDescription:
    """Write a healthy run of random gradients, ill where it is told to be, and return its description.

    Args:
        log_dir: Folder of the run.
        layers: How many layers, or their parameters' shapes by name.
        steps: Steps of the records, each a single observed step.
        model: Name of the model.
        seed: Seed of the numbers.
        start: Wall time of the first event; a later one makes a resumed run.
        none: By layer, the steps at which its parameters have no gradient.
        nan: By layer, the steps at which its gradients are NaN.
        zero: By layer, the steps at which its gradients are exactly zero.
        schema_version: Another version to claim.
    """
    shapes = dense_layers(layers) if isinstance(layers, int) else layers
    description = describe(shapes, model=model)
    if schema_version is not None:
        description = replace(description, schema_version=schema_version)
    rng = np.random.default_rng(seed)
    weights = random_gradients(description, rng)
    owners = [description.modules[row.owner].name for row in description.parameters]
    last: list[Array | None] | None = None
    with RunFile(log_dir, start=start) as file:
        file.describe(description, steps[0] if steps else 0)
        for number, step in enumerate(steps):
            gradients: list[Array | None] = list(random_gradients(description, rng, 0.1))
            for row, owner in enumerate(owners):
                if step in (nan or {}).get(owner, ()):
                    gradients[row] = np.full(description.parameters[row].shape, np.nan, np.float32)
                if step in (zero or {}).get(owner, ()):
                    gradients[row] = np.zeros(description.parameters[row].shape, np.float32)
                if step in (none or {}).get(owner, ()):
                    gradients[row] = None
            updates = [np.zeros_like(w) if g is None else -0.01 * g for g, w in zip(gradients, weights, strict=True)]
            paired = last if last and all(g is not None and np.isfinite(g).all() for g in last) else None
            columns = observe(gradients, weights, updates, paired)
            counts = count_bins(gradients) if number % bins.EVERY_RECORDS == 0 else None
            file.record(description, step, columns, counts=counts)
            file.metric("loss/train", step, 1.0 / (1 + step), role="train_loss")
            file.metric("lr/group 0", step, 0.1, role="learning_rate")
            last = gradients
    return description
