"""Parameters by records: the tags of all chunks and models on one axis of steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tb_netviz_plugin.analysis.network import Indices, Network, Placement
from tb_netviz_plugin.analysis.records import Floats, Records, distinct, surviving
from tb_netviz_plugin.schema.columns import STEP_COLUMNS

_STEP_COLUMN = {column.id: index for index, column in enumerate(STEP_COLUMNS)}


@dataclass(frozen=True, slots=True)
class Part:
    """The surviving records of one tag, and where they stand.

    Attributes:
        placement: The tag, its rows and columns.
        records: All its records.
        kept: Indices of the surviving records, in increasing step.
        times: Their places on the grid's axis of steps.
    """

    placement: Placement
    records: Records
    kept: Indices
    times: Indices


@dataclass(frozen=True, slots=True)
class Grid:
    """What was recorded of each parameter at each record, T records in increasing step.

    Attributes:
        network: Rows and layers.
        steps: Last step of each record, [T].
        spans: Steps that each covers, [T].
        observations: Steps that were observed in it, NaN where that is unknown, [T].
        parts: The tags.
    """

    network: Network
    steps: Floats
    spans: Floats
    observations: Floats
    parts: tuple[Part, ...]

    def column(self, name: str, plane: int = 0) -> npt.NDArray[np.float32]:
        """Return one recorded column, [P, T]; NaN where there is no record of it."""
        values = np.full((len(self.network.parameters), len(self.steps)), np.nan, np.float32)
        for part in self.parts:
            if name in part.placement.columns and part.records.steps.size:
                source = part.records.plane(plane)[:, part.placement.columns.index(name)]
                _put(values, as_slice(part.placement.rows), as_slice(part.times), source[:, as_slice(part.kept)])
        return values


def align(network: Network, steps: Mapping[str, Records], tags: Mapping[str, Records]) -> Grid:
    """Return the grid of a run over the union of its steps.

    Args:
        network: What the tags mean.
        steps: By model, its records of the family `steps`.
        tags: By tag, the records of the family `parameters`.
    """
    sessions = {
        model: [steps[model], *(tags[p.tag] for p in network.parameter_tags if p.model == model)]
        for model in network.models
    }
    kept = {p.tag: survivors(tags[p.tag], sessions[p.model]) for p in network.parameter_tags}
    times = {model: survivors(steps[model], sessions[model]) for model in network.models}
    every = [tags[tag].steps[indices] for tag, indices in kept.items()]
    every += [steps[model].steps[indices] for model, indices in times.items()]
    axis = distinct(np.concatenate(every)) if every else np.empty(0)
    spans, observations = np.full(len(axis), np.nan), np.full(len(axis), np.nan)
    for model, indices in times.items():
        records = steps[model]
        at = np.searchsorted(axis, records.steps[indices])
        spans[at] = np.fmax(spans[at], step_column(records, "span")[indices])
        observations[at] = np.fmax(observations[at], step_column(records, "observations")[indices])
    parts = tuple(
        Part(p, tags[p.tag], kept[p.tag], np.searchsorted(axis, tags[p.tag].steps[kept[p.tag]]))
        for p in network.parameter_tags
        if _fits(tags[p.tag], p)
    )
    return Grid(network, axis, np.where(spans >= 1, spans, 1.0), observations, parts)


def survivors(records: Records, session: Sequence[Records]) -> Indices:
    """Return the indices of the records that count, in increasing step."""
    alive = np.flatnonzero(surviving(records, session))
    return alive[np.argsort(records.steps[alive], kind="stable")]


def step_column(records: Records, name: str) -> Floats:
    """Return a column of records of the family `steps`, [N]; NaN where it is no number or an older writer had none."""
    index = _STEP_COLUMN[name]
    plane = records.plane(0)
    if index >= len(plane) or not records.steps.size:
        return np.full(records.steps.size, np.nan)
    values = plane[index].astype(np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _fits(records: Records, placement: Placement) -> bool:
    return records.plane(0).shape[:2] == (len(placement.rows), len(placement.columns))


def as_slice(indices: Indices) -> slice | Indices:
    """Return consecutive indices as a slice, which NumPy copies several times as fast."""
    consecutive = indices.size > 0 and bool(np.all(np.diff(indices) == 1))
    return slice(int(indices[0]), int(indices[-1]) + 1) if consecutive else indices


def _put(target: npt.NDArray[Any], rows: slice | Indices, times: slice | Indices, source: npt.NDArray[Any]) -> None:
    if isinstance(rows, slice) or isinstance(times, slice):
        target[rows, times] = source
    else:
        target[np.ix_(rows, times)] = source
