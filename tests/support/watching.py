"""Reads back what a watched training run wrote, and computes by hand what it should have written."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tensorboard.compat.proto.event_pb2 import Event
from torch.optim import Optimizer

from tb_netviz.events import read_frames
from tb_netviz.pytorch import NetVizWriter
from tb_netviz_plugin.schema.columns import EVALUATION_COLUMNS
from tb_netviz_plugin.schema.description import Chunk, RunDescription, evaluation_tag
from tb_netviz_plugin.schema.tags import Family
from tests.support.events import arrays, descriptions, metrics, of_family

Table = dict[str, dict[str, float]]


@dataclass
class Recording:
    """A run of one model, every record of which is of one step.

    Attributes:
        description: The last one.
        tables: By step, by parameter, by column.
        bins: By step, by parameter: counts.
        activations: By step, by activation, by column.
        activation_bins: By step, by activation: counts.
        units: By step, by activation, unit after unit, by column.
        unit_steps: By step, by activation, by column.
        outputs: By step, by column.
        evaluations: By step, by column.
        classes: By step: targets, hits and losses of each class.
        scalars: By tag, of the standard dashboard: (step, value).
        metrics: By name: (role, step, mean).
        histograms: By tag, the steps.
        graphs: How many there are.
    """

    description: Any = None
    descriptions: list[RunDescription] = field(default_factory=list)
    tables: dict[int, Table] = field(default_factory=dict)
    bins: dict[int, dict[str, np.ndarray]] = field(default_factory=dict)
    activations: dict[int, Table] = field(default_factory=dict)
    activation_bins: dict[int, dict[str, np.ndarray]] = field(default_factory=dict)
    units: dict[int, dict[str, list[dict[str, float]]]] = field(default_factory=dict)
    unit_steps: dict[int, Table] = field(default_factory=dict)
    outputs: dict[int, dict[str, float]] = field(default_factory=dict)
    evaluations: dict[int, dict[str, float]] = field(default_factory=dict)
    classes: dict[int, np.ndarray] = field(default_factory=dict)
    scalars: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    metrics: dict[str, list[tuple[str, int, float]]] = field(default_factory=dict)
    histograms: dict[str, list[int]] = field(default_factory=dict)
    graphs: int = 0


def events_in(folder: Path) -> list[Event]:
    """Return the events of all files in `folder`, in the order of their names."""
    events = []
    for path in sorted(Path(folder).glob("events.out.tfevents.*")):
        events += [Event.FromString(record) for record in read_frames(path)]
    return events


def read(folder: Path, model: str = "") -> Recording:
    """Read the run in `folder`, of the model of that name."""
    recording = Recording()
    for event in events_in(folder):
        for _, _, description in descriptions([event]):
            if description.model == model:
                recording.description = description
                recording.descriptions.append(description)
        for name, role, step, columns in metrics([event]):
            recording.metrics.setdefault(name, []).append((role, step, columns["mean"]))
        for value in event.summary.value:
            if value.WhichOneof("value") == "simple_value":
                recording.scalars.setdefault(value.tag, []).append((event.step, value.simple_value))
            if value.WhichOneof("value") == "histo":
                recording.histograms.setdefault(value.tag, []).append(event.step)
        recording.graphs += bool(event.graph_def)
        _take_apart(recording, event, model)
        if recording.description is not None:
            _take_record(recording, event)
    return recording


def _take_apart(recording: Recording, event: Event, model: str) -> None:
    for table in of_family(event, Family.CLASSES).values():
        recording.classes[event.step] = table
    row = of_family(event, Family.EVALUATIONS).get(evaluation_tag(model))
    if row is not None:
        names = (column.id for column in EVALUATION_COLUMNS)
        recording.evaluations[event.step] = dict(zip(names, row.tolist(), strict=True))


def _take_record(recording: Recording, event: Event) -> None:
    found = arrays(event)
    for chunk in recording.description.chunks:
        names = [row.name for row in recording.description.parameters[chunk.first_row :][: chunk.rows]]
        if chunk.tag not in found:
            continue
        if chunk.family == Family.PARAMETERS:
            (plane,) = found[chunk.tag]
            table = recording.tables.setdefault(event.step, {})
            for name, row in zip(names, plane.tolist(), strict=True):
                table[name] = dict(zip(chunk.columns, row, strict=True))
        elif chunk.family == Family.OUTPUTS:
            recording.outputs[event.step] = dict(zip(chunk.columns, found[chunk.tag].tolist(), strict=True))
        elif chunk.family == Family.BINS:
            recording.bins.setdefault(event.step, {}).update(zip(names, found[chunk.tag], strict=True))
        else:
            _take_activations(recording, event.step, chunk, found[chunk.tag])


def _take_activations(recording: Recording, step: int, chunk: Chunk, array: np.ndarray) -> None:
    activations = recording.description.activations
    rows = [row.name for row in activations[chunk.first_row :][: chunk.rows]]
    if chunk.family == Family.ACTIVATIONS:
        (plane,) = array
        recording.activations.setdefault(step, {}).update(
            (name, dict(zip(chunk.columns, row, strict=True))) for name, row in zip(rows, plane.tolist(), strict=True)
        )
    elif chunk.family == Family.ACTIVATION_BINS:
        recording.activation_bins.setdefault(step, {}).update(zip(rows, array, strict=True))
    elif chunk.family == Family.UNIT_STEPS:
        recording.unit_steps.setdefault(step, {}).update(
            (name, dict(zip(chunk.columns, row, strict=True))) for name, row in zip(rows, array.tolist(), strict=True)
        )
    elif chunk.family == Family.UNITS:
        owners = [row.name for row in activations for _ in range(row.units)][chunk.first_row :][: chunk.rows]
        table = recording.units.setdefault(step, {})
        for name, row in zip(owners, array.tolist(), strict=True):
            table.setdefault(name, []).append(dict(zip(chunk.columns, row, strict=True)))


class ByHand:
    """Computes the columns of each step in float64, from copies that a test takes around `optimizer.step()`."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._model = model
        self._last: dict[str, np.ndarray | None] = {}
        self._before: dict[str, np.ndarray] = {}
        self._gradients: dict[str, np.ndarray | None] = {}
        self.tables: dict[int, Table] = {}

    def before(self, scale: float = 1.0) -> None:
        """Note the gradients and weights as they are, just before the step; gradients still hold the loss's `scale`."""
        self._last = self._gradients
        self._before = {name: _array(parameter) for name, parameter in self._model.named_parameters()}
        self._gradients = {
            name: None if parameter.grad is None else _array(parameter.grad) / scale
            for name, parameter in self._model.named_parameters()
        }

    def after(self, step: int) -> None:
        """Compute the columns of `step`."""
        self.tables[step] = {
            name: _columns(self._gradients[name], self._last.get(name), self._before[name], _array(parameter))
            for name, parameter in self._model.named_parameters()
        }


def train_by_hand(
    folder: Path,
    model: torch.nn.Module,
    optimizers: Optimizer | Sequence[Optimizer],
    loss_of: Callable[[torch.nn.Module], torch.Tensor],
    *,
    steps: int = 4,
    before: Callable[[int], None] = lambda _step: None,
    **options: Any,
) -> tuple[Recording, dict[int, Table]]:
    """Train, watched at each step; return what was recorded and what it should be.

    Args:
        folder: Of the run.
        model: The model.
        optimizers: Step in turn.
        loss_of: Called with the model.
        steps: How many.
        before: Called with the number of each step before its forward pass.
        options: Of `watch`.
    """
    by_hand = ByHand(model)
    optimizers = [optimizers] if isinstance(optimizers, Optimizer) else list(optimizers)
    with NetVizWriter(folder) as writer:
        writer.watch(model, optimizers, every=1, **options)
        for step in range(steps):
            before(step)
            loss_of(model).backward()
            by_hand.before()
            for optimizer in optimizers:
                optimizer.step()
            by_hand.after(step)
            model.zero_grad()
    return read(folder), by_hand.tables


def _columns(gradient, last, before, after) -> dict[str, float]:
    nan = math.nan
    columns = {
        "present": float(gradient is not None),
        "weight_norm": float(np.sqrt(np.sum(np.abs(after) ** 2))),
        "update_norm": float(np.sqrt(np.sum(np.abs(after - before) ** 2))),
    }
    names = ("grad_norm", "grad_abs_sum", "grad_abs_max", "grad_sum", "grad_zeros", "grad_nonfinite")
    columns |= dict.fromkeys((*names, "grad_dot_last", "grad_norm_last"), nan)
    if gradient is None:
        return columns
    bad = int(np.sum(~np.isfinite(gradient)))
    columns["grad_nonfinite"] = bad
    if bad:
        return columns
    columns["grad_norm"] = float(np.sqrt(np.sum(np.abs(gradient) ** 2)))
    columns["grad_abs_sum"] = float(np.sum(np.abs(gradient)))
    columns["grad_abs_max"] = float(np.max(np.abs(gradient), initial=0))
    columns["grad_sum"] = nan if np.iscomplexobj(gradient) else float(np.sum(gradient))
    columns["grad_zeros"] = int(np.sum(gradient == 0))
    if last is not None and last.shape == gradient.shape and np.all(np.isfinite(last)):
        columns["grad_dot_last"] = float(np.real(np.sum(gradient * np.conj(last))))
        columns["grad_norm_last"] = float(np.sqrt(np.sum(np.abs(last) ** 2)))
    return columns


def _array(tensor: torch.Tensor) -> np.ndarray:
    tensor = tensor.detach().to_dense() if tensor.layout is not torch.strided else tensor.detach()
    return tensor.to(torch.complex128 if tensor.is_complex() else torch.float64).numpy().copy()


def assert_equal(found: Table, expected: Table, relative: float = 2e-5) -> None:
    """Compare two tables; sums may be off by rounding in proportion to the sum of magnitudes."""
    assert found.keys() == expected.keys()
    for name, columns in found.items():
        scale = expected[name]["grad_abs_sum"] if math.isfinite(expected[name]["grad_abs_sum"]) else 0.0
        product = expected[name]["grad_norm"] * expected[name]["grad_norm_last"]
        slack = {"grad_sum": scale * 1e-5, "grad_dot_last": product * 1e-5, "update_norm": 1e-6}
        for column, value in columns.items():
            np.testing.assert_allclose(
                value, expected[name][column], rtol=relative, atol=slack.get(column, 0.0), err_msg=f"{name}.{column}"
            )
