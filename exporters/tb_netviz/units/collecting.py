"""The units of runs with their states, as far as they are asked for."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tb_netviz.refusal import RefusalError
from tb_netviz.units.reading import listed
from tb_netviz_plugin.analysis.units import UnitState, UnitThresholds, summarise
from tb_netviz_plugin.errors import NetVizError
from tb_netviz_plugin.reader import Run


class Unit(NamedTuple):
    """A unit at the last record of its activation.

    Attributes:
        unit: Its index.
        state: Id of its state.
        since_step: First step of the stretch by which it is dead, saturated or frozen, None where it is none of these.
        samples: Samples since then, or of the whole run.
        fired: In how many of them it fired.
    """

    unit: int
    state: str
    since_step: int | None
    samples: int
    fired: int


@dataclass(frozen=True, slots=True)
class LayerUnits:
    """The units of one activation.

    Attributes:
        layer: The module whose weights make them.
        activation: Name of the activation.
        units: All of them, or those in the state that was asked for.
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


def collect(
    runs: Sequence[Run], layer: str | None, state: UnitState | None, thresholds: UnitThresholds
) -> list[RunUnits]:
    """Return the units of `runs`; a run that can't be read is told on standard error, and the others go on.

    Raises:
        RefusalError: If none can be read, none has units, or none has that layer.
    """
    found, layers = [], dict[str, None]()
    for run in runs:
        try:
            found.append(_units_of(run, layer, state, thresholds))
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


def _units_of(run: Run, layer: str | None, state: UnitState | None, thresholds: UnitThresholds) -> RunUnits:
    rows = enumerate(run.network.activations)
    wanted = [index for index, row in rows if row.units and layer in (None, row.source, row.name)]
    return RunUnits(run.name, tuple(_layer(run, index, state, thresholds) for index in wanted))


def _layer(run: Run, index: int, state: UnitState | None, thresholds: UnitThresholds) -> LayerUnits:
    row = run.network.activations[index]
    summary = summarise(run.unit_table, index, run.judged(index, thresholds))
    shown = np.arange(len(row.units)) if state is None else np.flatnonzero(summary.states == state)
    units = tuple(
        Unit(unit, UnitState(code).id, None if np.isnan(since) else int(since), int(samples), int(fired))
        for unit, code, since, samples, fired in zip(
            shown.tolist(),
            summary.states[shown].tolist(),
            summary.since[shown].tolist(),
            summary.samples[shown].tolist(),
            summary.fired[shown].tolist(),
            strict=True,
        )
    )
    counts = {one.id: int((summary.states == one).sum()) for one in UnitState}
    return LayerUnits(row.source, row.name, units, counts)
