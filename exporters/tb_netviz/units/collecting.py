"""The units of runs with their states, as far as they are asked for."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tb_netviz.reading import listed
from tb_netviz.refusal import RefusalError
from tb_netviz_plugin.analysis.units import (
    Redundant,
    Summary,
    UnitState,
    UnitThresholds,
    find_redundant,
    summarise,
)
from tb_netviz_plugin.errors import NetVizError
from tb_netviz_plugin.reader import Run

REDUNDANT = "redundant"
"""What can be asked for beside the states: units that do what another one of their layer does, or the opposite."""


class Unit(NamedTuple):
    """A unit at the last record of its activation.

    Attributes:
        unit: Its index.
        state: Id of its state.
        since_step: First step of the stretch by which it is dead, saturated or frozen, None where it is none of these.
        samples: Samples since then, or of the whole run.
        fired: In how many of them it fired.
        twin: The first unit of its layer that does the same, or the opposite; None where there is none.
        opposite: Whether it is the opposite.
    """

    unit: int
    state: str
    since_step: int | None
    samples: int
    fired: int
    twin: int | None
    opposite: bool

    def is_(self, kind: str) -> bool:
        """Whether it is in the state of that id, or redundant where that is asked for."""
        return self.twin is not None if kind == REDUNDANT else self.state == kind


@dataclass(frozen=True, slots=True)
class LayerUnits:
    """The units of one activation.

    Attributes:
        layer: The module whose weights make them.
        activation: Name of the activation.
        units: All of them, or those of the kind that was asked for.
        counts: How many of all are in which state, by its id.
    """

    layer: str
    activation: str
    units: tuple[Unit, ...]
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class RunUnits:
    """The units of a run."""

    run: str
    layers: tuple[LayerUnits, ...]


def collect(runs: Sequence[Run], layer: str | None, kind: str | None, thresholds: UnitThresholds) -> list[RunUnits]:
    """Return the units of `runs`; a run that can't be read is told on standard error, and the others go on.

    Args:
        runs: The runs.
        layer: Name of the layer that is asked for, or of its activation; None means all.
        kind: Id of the state that is asked for, or REDUNDANT; None means all.
        thresholds: Say what is dead.

    Raises:
        RefusalError: If none can be read, none has units, or none has that layer.
    """
    found, layers = [], dict[str, None]()
    for run in runs:
        try:
            found.append(_units_of(run, layer, kind, thresholds))
            layers |= dict.fromkeys(row.source for row in run.network.activations if row.units)
        except NetVizError as error:
            print(f"tb-netviz: {run.name!r} can't be read: {error}", file=sys.stderr)
    if not found:
        raise RefusalError("no run could be read")
    if not layers:
        raise RefusalError("nothing was recorded of single units")
    if layer is not None and not any(run.layers for run in found):
        raise RefusalError(f"there is no layer {layer!r}; there {listed(list(layers))}")
    return found


def _units_of(run: Run, layer: str | None, kind: str | None, thresholds: UnitThresholds) -> RunUnits:
    rows = [(index, row) for index, row in enumerate(run.network.activations) if row.units]
    sources = {row.source for _, row in rows if layer in (None, row.source, row.name)}
    states = run.judged(thresholds)
    judged = {index: states[index] for index, row in rows if row.source in sources}
    redundant = {found.activation: found for found in find_redundant(run.unit_table, judged)} if rows else {}
    layers = []
    for index, row in rows:
        if layer in (None, row.source, row.name):
            every = _units(summarise(run.unit_table, index, judged[index]), redundant.get(index))
            counts = Counter(unit.state for unit in every)
            units = tuple(unit for unit in every if kind is None or unit.is_(kind))
            layers.append(LayerUnits(row.source, row.name, units, {state.id: counts[state.id] for state in UnitState}))
    return RunUnits(run.name, tuple(layers))


def _units(summary: Summary, redundant: Redundant | None) -> list[Unit]:
    count = len(summary.states)
    twins = [-1] * count if redundant is None else redundant.twins.tolist()
    opposite = [False] * count if redundant is None else redundant.opposite.tolist()
    columns = (summary.states.tolist(), summary.since.tolist(), summary.samples.tolist(), summary.fired.tolist())
    return [
        Unit(
            unit=unit,
            state=UnitState(code).id,
            since_step=None if np.isnan(since) else int(since),
            samples=int(samples),
            fired=int(fired),
            twin=None if twin < 0 else twin,
            opposite=turned,
        )
        for unit, (code, since, samples, fired, twin, turned) in enumerate(zip(*columns, twins, opposite, strict=True))
    ]
