"""What the published rules look at, read from a run."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from tb_netviz_plugin.analysis.activations import ActivationRow
from tb_netviz_plugin.analysis.derive import State
from tb_netviz_plugin.analysis.records import Bools, Floats
from tb_netviz_plugin.diagnosis import Case, Severity
from tb_netviz_plugin.reader import Run
from tb_netviz_plugin.schema.description import Response
from tests.diagnosis.scoring import Told


class Watched:
    """A run, T records of L layers.

    Args:
        run: What was recorded.
    """

    def __init__(self, run: Run) -> None:
        self.case = Case(run)
        self.steps = self.case.steps
        self.gradient_means = self.case.numbers("gradient_mean_abs")
        self.gradient_norms = self.case.numbers("gradient_norm")
        self.update_ratios = self.case.numbers("update_ratio")
        self.spoiled: Bools = self.case.statistic("gradient_nonfinite").states == State.NONFINITE
        self.train_loss = self.case.curve("train_loss")
        self.val_loss = self.case.curve("val_loss")

    @cached_property
    def accuracy(self) -> Floats | None:
        """Share of the training samples that are right, [T]; None of what is no classifier."""
        outputs = self.case.outputs
        return None if outputs is None or not np.isfinite(outputs.accuracy).any() else outputs.accuracy

    def told(self, rule: str, where: Bools) -> list[Told]:
        """Return what is said where a rule holds, [L, T]: once, of the layer nearest to the input for which it does."""
        layers = np.flatnonzero(where.any(axis=1))
        if not layers.size:
            return []
        name = self.case.network.layers[layers[0]].name
        return [Told(rule, Severity.WARNING, (name,), float(self.steps[np.flatnonzero(where[layers[0]])[0]]))]

    def told_of_units(self, rule: str, response: Response, column: str, below: float, share: float) -> list[Told]:
        """Return what is said where more than a share of the units of an activation lie below a value."""
        for row in self._rows_with_units(response):
            where = (self._units(row, column) < below).mean(axis=0) > share
            if where.any():
                return [Told(rule, Severity.WARNING, (row.source,), float(self.case.unit_table.steps[where][0]))]
        return []

    def told_of_inputs(self, rule: str, function: str, low: float, high: float, share: float) -> list[Told]:
        """Return what is said where more than a share of what goes into a function lies, on average, beyond bounds."""
        rows = {row.module: row for row in self.case.network.activations}
        for row in self._rows_with_units(Response.BOUNDED):
            source = rows.get(row.source)
            if source is None or not source.units or function not in row.activation.kind.lower():
                continue
            means = self._units(source, "mean")
            where = ((means < low) | (means > high)).mean(axis=0) > share
            if where.any():
                return [Told(rule, Severity.WARNING, (row.source,), float(self.case.unit_table.steps[where][0]))]
        return []

    def _rows_with_units(self, response: Response) -> Iterator[ActivationRow]:
        return (row for row in self.case.network.activations if row.units and row.activation.response is response)

    def _units(self, row: ActivationRow, column: str) -> Floats:
        units = np.arange(row.units.start, row.units.stop)
        return self.case.unit_table.units.column(column, rows=units).astype(np.float64)


def said(rule: str, steps: Floats, where: Bools, layers: tuple[str, ...] = ()) -> list[Told]:
    """Return what is said where a rule about the whole network, or some layers, holds at one of `steps`."""
    places = np.flatnonzero(where)
    return [Told(rule, Severity.WARNING, layers, float(steps[places[0]]))] if places.size else []
