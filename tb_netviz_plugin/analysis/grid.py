"""Rows by records: the tags of all chunks and models on one axis of steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tb_netviz_plugin.analysis.network import Network
from tb_netviz_plugin.analysis.placement import Indices, Placement
from tb_netviz_plugin.analysis.records import Floats, Records, distinct, surviving
from tb_netviz_plugin.schema.columns import STEP_COLUMNS
from tb_netviz_plugin.schema.tags import Family

_STEP_COLUMN = {column.id: index for index, column in enumerate(STEP_COLUMNS)}


@dataclass(frozen=True, slots=True)
class Part:
    """The surviving records of one tag, and where they stand.

    Attributes:
        placement: The tag, its rows and columns.
        records: All its records.
        kept: Indices of the surviving records, in increasing step.
        times: Their places on the grid's axis of steps.
        rows: The rows that it has.
    """

    placement: Placement
    records: Records
    kept: slice | Indices
    times: slice | Indices
    rows: slice | Indices


@dataclass(frozen=True, slots=True)
class Table:
    """What was recorded of each row at each record, T records in increasing step.

    Attributes:
        rows: Number of rows.
        steps: Last step of each record, [T].
        parts: The tags.
    """

    rows: int
    steps: Floats
    parts: tuple[Part, ...]

    def column(self, name: str, plane: int = 0, rows: Indices | None = None) -> npt.NDArray[np.float32]:
        """Return one recorded column, [R, T]; NaN where there is no record of it.

        Args:
            name: Id of the column.
            plane: Which plane of it.
            rows: Distinct indices of the rows that are wanted; all of them by default.
        """
        wanted = slice(0, self.rows) if rows is None else as_slice(rows)
        count = wanted.stop - wanted.start if isinstance(wanted, slice) else len(wanted)
        values = np.full((count, len(self.steps)), np.nan, np.float32)
        for part in self.parts:
            found, held = _common(wanted, part.rows)
            if name in part.placement.columns and part.records.steps.size and _any(held):
                source = part.records.column(part.placement.columns.index(name), plane)
                _put(values, found, part.times, source[held][:, part.kept])
        return values


@dataclass(frozen=True, slots=True)
class Grid(Table):
    """Parameters or activations by records.

    Attributes:
        network: What the rows are.
        spans: Steps that each record covers, [T].
        observations: Steps that were observed in it, NaN where that is unknown, [T].
    """

    network: Network
    spans: Floats
    observations: Floats


def align(
    network: Network, steps: Mapping[str, Records], tags: Mapping[str, Records], family: Family = Family.PARAMETERS
) -> Grid:
    """Return the grid of a run over the union of its steps.

    Args:
        network: What the tags mean.
        steps: By model, its records of the family `steps`.
        tags: By tag, the records of `family`.
        family: What is recorded of each row.
    """
    placed = network.tags[family]
    sessions = {model: [steps[model], *(tags[p.tag] for p in placed if p.model == model)] for model in network.models}
    kept = {p.tag: survivors(tags[p.tag], sessions[p.model]) for p in placed}
    times = {model: survivors(steps[model], sessions[model]) for model in network.models}
    every = [tags[tag].steps[indices] for tag, indices in kept.items()]
    axis = united_axis([*every, *(steps[model].steps[indices] for model, indices in times.items())])
    spans, observations = np.full(len(axis), np.nan), np.full(len(axis), np.nan)
    for model, indices in times.items():
        records = steps[model]
        at = np.searchsorted(axis, records.steps[indices])
        spans[at] = np.fmax(spans[at], step_column(records, "span")[indices])
        observations[at] = np.fmax(observations[at], step_column(records, "observations")[indices])
    return Grid(
        rows=network.count(family),
        steps=axis,
        parts=place_parts(placed, tags, kept, axis),
        network=network,
        spans=np.where(spans >= 1, spans, 1.0),
        observations=observations,
    )


def united_axis(steps: Sequence[Floats]) -> Floats:
    """Return all of `steps` in increasing order, each once."""
    return distinct(np.concatenate(steps)) if steps else np.empty(0)


def place_parts(
    placed: Sequence[Placement], tags: Mapping[str, Records], kept: Mapping[str, Indices], axis: Floats
) -> tuple[Part, ...]:
    """Return the parts of a table on `axis`; a tag whose records have another shape than it says is left out.

    Args:
        placed: The tags.
        tags: By tag, its records.
        kept: By tag, the indices of its surviving records.
        axis: Steps of the table's records.
    """
    return tuple(_part(p, tags[p.tag], kept[p.tag], axis) for p in placed if _fits(tags[p.tag], p))


def _part(placement: Placement, records: Records, kept: Indices, axis: Floats) -> Part:
    times = np.searchsorted(axis, records.steps[kept])
    return Part(placement, records, as_slice(kept), as_slice(times), as_slice(placement.rows))


def _common(wanted: slice | Indices, held: slice | Indices) -> tuple[slice | Indices, slice | Indices]:
    """Return the places of the rows that both have, in `wanted` and in `held`."""
    if isinstance(wanted, slice) and isinstance(held, slice):
        # One activation is asked for at a time, of hundreds: this has to be quick.
        first, stop = max(wanted.start, held.start), min(wanted.stop, held.stop)
        stop = max(first, stop)
        return slice(first - wanted.start, stop - wanted.start), slice(first - held.start, stop - held.start)
    sought, at_hand = _indices(wanted), _indices(held)
    places = np.full(max(sought.max(initial=-1), at_hand.max(initial=-1)) + 1, -1, np.intp)
    places[sought] = np.arange(len(sought))
    common = np.flatnonzero(places[at_hand] >= 0)
    return as_slice(places[at_hand[common]]), as_slice(common)


def _indices(rows: slice | Indices) -> Indices:
    return np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows


def _any(rows: slice | Indices) -> bool:
    return rows.start < rows.stop if isinstance(rows, slice) else rows.size > 0


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
    if not indices.size:
        return indices
    first, last = int(indices[0]), int(indices[-1])
    consecutive = last - first == indices.size - 1 and bool((indices[1:] - indices[:-1] == 1).all())
    return slice(first, last + 1) if consecutive else indices


def _put(target: npt.NDArray[Any], rows: slice | Indices, times: slice | Indices, source: npt.NDArray[Any]) -> None:
    if isinstance(rows, slice) or isinstance(times, slice):
        target[rows, times] = source
    else:
        target[np.ix_(rows, times)] = source
