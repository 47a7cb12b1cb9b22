"""The records of single units on one axis of steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tb_netviz_plugin.analysis.grid import Table, place_parts, survivors, united_axis
from tb_netviz_plugin.analysis.network import Network
from tb_netviz_plugin.analysis.placement import Indices
from tb_netviz_plugin.analysis.records import Floats, Records
from tb_netviz_plugin.schema.tags import Family


@dataclass(frozen=True, slots=True)
class UnitTable:
    """What was recorded of each unit, T records in increasing step, of all models.

    Attributes:
        network: What the rows are.
        spans: Steps that each record covers at most, [T].
        activations: Which steps and how many samples, by activation.
        units: What each unit did; the units of all activations, one after another.
    """

    network: Network
    spans: Floats
    activations: Table
    units: Table

    @property
    def steps(self) -> Floats:
        """Last step of each record, [T]."""
        return self.units.steps


@dataclass(frozen=True, slots=True)
class Looks:
    """The records of one activation, N of the table's T.

    Attributes:
        times: Their places on the table's axis.
        first_steps: First observed step of each.
        samples: Samples whose largest value was read, 0 where it did not run.
        counted: Samples that shares and moments are of.
    """

    times: Indices
    first_steps: Floats
    samples: Floats
    counted: Floats


def align_units(network: Network, steps: Mapping[str, Records], tags: Mapping[str, Records]) -> UnitTable:
    """Return the table of a run.

    Args:
        network: What the tags mean.
        steps: By model, its records of the family `steps`, which tell where a resumed run stepped back.
        tags: By tag, the records of the families `units` and `unit_steps`.
    """
    placed = network.tags[Family.UNIT_STEPS] + network.tags[Family.UNITS]
    sessions = {
        model: [_just_after(steps[model]), *(tags[p.tag] for p in placed if p.model == model)]
        for model in network.models
    }
    kept = {p.tag: survivors(tags[p.tag], sessions[p.model]) for p in placed}
    axis = united_axis([tags[tag].steps[indices] for tag, indices in kept.items()])
    tables = [
        Table(network.count(family), axis, place_parts(network.tags[family], tags, kept, axis))
        for family in (Family.UNIT_STEPS, Family.UNITS)
    ]
    spans = np.fmax.reduce(_numbers(tables[0].column("span")), axis=0, initial=1.0)
    return UnitTable(network, spans, *tables)


def looks(table: UnitTable, activations: Sequence[int]) -> list[Looks]:
    """Return the records in which each of these activations stands, whether it ran or not."""
    rows = np.asarray(activations, np.intp)
    columns = (_numbers(table.activations.column(name, rows=rows)) for name in ("span", "samples", "counted"))
    return [_looks(table, *row) for row in zip(*columns, strict=True)]


def _looks(table: UnitTable, span: Floats, samples: Floats, counted: Floats) -> Looks:
    times = np.flatnonzero(~np.isnan(samples))
    first_steps = table.steps[times] - np.fmax(span[times], 1) + 1
    return Looks(times, first_steps, samples[times], np.fmax(counted[times], 0))


def _numbers(values: npt.NDArray[np.float32]) -> Floats:
    """Return `values` in float64, NaN where they are infinite."""
    return np.where(np.isfinite(values), values, np.nan).astype(np.float64)


def _just_after(steps: Records) -> Records:
    """Return `steps` as if written between their step and the next.

    A record of units and one of parameters that end at the same step are of one session, whichever was written first.
    """
    return replace(steps, steps=steps.steps + 0.5)
