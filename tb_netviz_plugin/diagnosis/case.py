"""What the rules read: everything that was recorded of a run, derived when a rule asks for it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from tb_netviz_plugin.analysis.derive import Derived, Grouping, State, by_layer, by_row, derive
from tb_netviz_plugin.analysis.evaluations import Evaluations
from tb_netviz_plugin.analysis.grid import Grid, survivors
from tb_netviz_plugin.analysis.network import Network
from tb_netviz_plugin.analysis.outputs import Classes, Outputs
from tb_netviz_plugin.analysis.records import Bools, Floats, Records
from tb_netviz_plugin.analysis.units import Judged, UnitTable, UnitThresholds
from tb_netviz_plugin.schema.columns import METRIC_COLUMNS
from tb_netviz_plugin.schema.statistics import STATISTIC, Rows

_Value = TypeVar("_Value")
_ABOUT = 0.8
"""Share of the steps that one scalar spans at which another one spans about as many."""
_OURS = "netviz/"
"""What the names of scalars begin with that the writer logs itself."""
_NEARLY = 1.5
"""Factor between two losses at the median up to which they are the same one."""
_METRIC_COLUMN = {column.id: index for index, column in enumerate(METRIC_COLUMNS)}


class Logged(Protocol):
    """A scalar of a run."""

    @property
    def name(self) -> str:
        """Under which it was logged."""

    @property
    def role(self) -> str:
        """What it is: "train_loss", "val_loss" or another of docs/wire-format.md, or ""."""

    @property
    def records(self) -> Records:
        """Its values."""


class Recorded(Protocol):
    """A run, as far as rules need it."""

    @property
    def network(self) -> Network:
        """Its layers, parameters and activations."""

    @property
    def grid(self) -> Grid:
        """What was recorded of its parameters."""

    @property
    def activation_grid(self) -> Grid:
        """What was recorded of its activations."""

    @property
    def unit_table(self) -> UnitTable:
        """What was recorded of single units."""

    @property
    def outputs(self) -> Mapping[str, Outputs]:
        """By model, what is known of its outputs, targets and inputs."""

    @property
    def classes(self) -> Mapping[str, Classes]:
        """By model, how each class does."""

    @property
    def evaluations(self) -> Mapping[str, Evaluations]:
        """By model, what it got and gave in evaluations."""

    @property
    def metrics(self) -> Sequence[Logged]:
        """The scalars that were logged."""

    def judged(self, thresholds: UnitThresholds) -> Mapping[int, Judged]:
        """Return the states of the units of each activation, by its index."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A logged scalar, T records in increasing step.

    Attributes:
        name: Under which it was logged.
        steps: Last step of each record, [T].
        values: Mean of the finite values in it, [T]; NaN where none is.
        low: The smallest, [T].
        high: The largest, [T].
        nonfinite: Values that were not finite, [T].
    """

    name: str
    steps: Floats
    values: Floats
    low: Floats
    high: Floats
    nonfinite: Floats


class Case:
    """A run that rules look at.

    Args:
        run: What was recorded.
    """

    def __init__(self, run: Recorded) -> None:
        self._run = run
        self._known: dict[Hashable, Any] = {}

    def once(self, what: Hashable, compute: Callable[[], _Value]) -> _Value:
        """Return what `compute` returns, worked out when it is first asked for; who gets it must not change it.

        Args:
            what: Tells it from all else that is worked out of a case.
            compute: Works it out.
        """
        if what not in self._known:
            self._known[what] = compute()
        known: _Value = self._known[what]
        return known

    @property
    def network(self) -> Network:
        """Its layers, parameters and activations."""
        return self._run.network

    @property
    def steps(self) -> Floats:
        """Last step of each record of the parameters, [T]."""
        return self._run.grid.steps

    @property
    def observations(self) -> Floats:
        """Steps that were observed in each record of the parameters, [T]; NaN where that is unknown."""
        return self._run.grid.observations

    def column_of_activations(self, name: str) -> Floats:
        """Return a recorded column of every activation, [A, T]; NaN in every cell that is no number."""
        grid = self._run.activation_grid
        return self.once(("column of activations", name), lambda: _finite(grid.column(name)))

    @property
    def activation_steps(self) -> Floats:
        """Last step of each record of the activations, [T]."""
        return self._run.activation_grid.steps

    @cached_property
    def recorded(self) -> frozenset[str]:
        """Ids of the statistics that were recorded."""
        return frozenset(statistic.id for statistic in self.network.statistics)

    def statistic(self, name: str, *, band: bool = False) -> Derived:
        """Return a statistic of all layers, or of all activations, and its band if that is asked for."""
        return self.once(("statistic", name, band), lambda: self._derive(name, band=band))

    def numbers(self, name: str) -> Floats:
        """Return a statistic of all layers, [L, T], or activations, [A, T]; NaN in every cell that is no number."""
        return self.once(("numbers", name), lambda: _numbers(self.statistic(name)))

    def numbers_or_more(self, name: str) -> Floats:
        """Return likewise what counts values that are not finite, for which a cell stands that is no number."""
        return np.nan_to_num(self.statistic(name).values)

    def of_parameters(self, name: str) -> Floats:
        """Return a statistic of every single parameter, [P, T]; NaN in every cell that is no number."""
        grid = self._run.grid
        return self.once(("of parameters", name), lambda: _numbers(derive(grid, STATISTIC[name], by_row(grid))))

    @cached_property
    def without_gradient(self) -> Bools:
        """At which records each single parameter had no gradient, though it was looked for, [P, T]."""
        grid = self._run.grid
        states = derive(grid, STATISTIC["gradient_norm"], by_row(grid)).states
        return np.asarray(states == State.NO_GRADIENT)

    def column(self, name: str) -> Floats:
        """Return a recorded column of every single parameter, [P, T]; NaN in every cell that is no number."""
        return self.once(("column", name), lambda: _finite(self._run.grid.column(name)))

    @cached_property
    def frozen(self) -> Bools:
        """Which layers ask for no gradient, [L]."""
        return np.array([layer.frozen for layer in self.network.layers], np.bool_)

    def layers_of_models(self) -> Iterable[list[int]]:
        """Yield the indices of the layers of each model, input first."""
        models = [layer.model for layer in self.network.layers]
        for model in dict.fromkeys(models):
            yield [index for index, other in enumerate(models) if other == model]

    def judged(self, activation: int, thresholds: UnitThresholds | None = None) -> Judged:
        """Return the states of an activation's units."""
        limits = thresholds or UnitThresholds()
        return self.once(("judged", limits), lambda: self._run.judged(limits))[activation]

    @property
    def unit_table(self) -> UnitTable:
        """What was recorded of single units."""
        return self._run.unit_table

    @property
    def outputs(self) -> Outputs | None:
        """What is known of outputs, targets and inputs, [T] as `steps`; of the first model that has any, else None."""
        return next(iter(self._run.outputs.values()), None)

    @property
    def classes(self) -> Classes | None:
        """How each class does, of that model; None where no targets are class indices, or classes are too many."""
        return None if self.outputs is None else self._run.classes.get(self.outputs.model)

    @property
    def evaluations(self) -> Mapping[str, Evaluations]:
        """By model, what it got and gave in evaluations, where some were measured."""
        return self._run.evaluations

    @property
    def criterion(self) -> str:
        """Type of the loss, such as "CrossEntropyLoss", of the first model that has one; empty where unknown."""
        return next((one.criterion for one in self.network.descriptions if one.criterion), "")

    def curve(self, role: str) -> Curve | None:
        """Return the scalar of a role with the most records, of those that span about the most steps; None without."""
        curves = self.curves(role)
        spans = [curve.steps[-1] - curve.steps[0] for curve in curves]
        wide = [curve for curve, span in zip(curves, spans, strict=True) if span >= _ABOUT * max(spans)]
        logged = [curve for curve in wide if not curve.name.startswith(_OURS)]
        # What the criterion gave says more where the user logs rarely, unless that is only a part of the loss.
        usable = [
            *logged,
            *(curve for curve in wide if curve.name.startswith(_OURS) and all(_agree(curve, one) for one in logged)),
        ]
        return max(usable, key=lambda curve: curve.steps.size, default=None)

    def curves(self, role: str) -> list[Curve]:
        """Return all scalars of a role."""
        return [
            _curve(metric)
            for metric in self._run.metrics
            if metric.role == role and len(metric.records.plane(0)) >= len(METRIC_COLUMNS) and metric.records.steps.size
        ]

    @cached_property
    def last_step(self) -> float:
        """The last step of anything that was recorded; NaN where nothing was."""
        axes = [self.steps, self.activation_steps, *(metric.records.steps for metric in self._run.metrics)]
        return float(max((axis.max() for axis in axes if axis.size), default=np.nan))

    def _derive(self, name: str, *, band: bool) -> Derived:
        statistic = STATISTIC[name]
        grid, grouping = self._rows(statistic.rows)
        return derive(grid, statistic, grouping, band=band)

    def _rows(self, rows: Rows) -> tuple[Grid, Grouping]:
        if rows is Rows.PARAMETERS:
            return self._run.grid, by_layer(self._run.grid)
        return self._run.activation_grid, by_row(self._run.activation_grid)


def _agree(dense: Curve, other: Curve) -> bool:
    """Whether two scalars have about the same values, where both are above zero, as far as both go."""
    finite = np.isfinite(dense.values)
    beside = np.interp(other.steps, dense.steps[finite], dense.values[finite]) if finite.any() else np.array([np.nan])
    with np.errstate(divide="ignore", invalid="ignore"):
        gaps = np.abs(np.log(beside / other.values)) if beside.size == other.values.size else np.array([np.nan])
    known = gaps[np.isfinite(gaps)]
    return bool(known.size) and float(np.median(known)) <= np.log(_NEARLY)


def _numbers(derived: Derived) -> Floats:
    if not derived.states.any():  # As in most runs, all are State.NUMBER.
        return derived.values
    return np.where(derived.states == State.NUMBER, derived.values, np.nan)


def _finite(values: npt.NDArray[np.float32]) -> Floats:
    finite = np.isfinite(values)
    wide = values.astype(np.float64)
    return wide if finite.all() else np.where(finite, wide, np.nan)


def _curve(metric: Logged) -> Curve:
    kept = survivors(metric.records, [metric.records])
    columns = metric.records.plane(0)[:, kept].astype(np.float64)
    named = {name: columns[_METRIC_COLUMN[name]] for name in ("mean", "min", "max", "nonfinite")}
    return Curve(metric.name, metric.records.steps[kept], named["mean"], named["min"], named["max"], named["nonfinite"])
