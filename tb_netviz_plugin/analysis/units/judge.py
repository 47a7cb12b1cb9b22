"""The state of every unit of an activation at every record."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tb_netviz_plugin.analysis.grid import as_slice
from tb_netviz_plugin.analysis.placement import Indices
from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.analysis.units.deaths import Deaths, find_deaths
from tb_netviz_plugin.analysis.units.evidence import BLOCK, Evidence, blocks, spread
from tb_netviz_plugin.analysis.units.states import UnitState
from tb_netviz_plugin.analysis.units.stretches import Stretches, find_stretches, no_accidents
from tb_netviz_plugin.analysis.units.table import Looks, UnitTable, looks
from tb_netviz_plugin.analysis.units.thresholds import UnitThresholds
from tb_netviz_plugin.schema.description import Response

States = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Judged:
    """The units of one activation, U of them, at the N records in which it stands.

    Attributes:
        looks: The records.
        states: Of UnitState, [U, N].
        counts: Units in each state at each record, [9, N].
        since: Index of the first record of the stretch that makes a unit dead, saturated or frozen at the last
            record, -1 for the others, [U].
        activity: Share of the samples in which it fired at the last record in which the activation ran, [U].
        deaths: When which of them died.
    """

    looks: Looks
    states: States
    counts: npt.NDArray[np.uint32]
    since: Indices
    activity: npt.NDArray[np.float32]
    deaths: Deaths

    @property
    def last(self) -> States:
        """Their states at the last record, or not recorded where there is none, [U]."""
        if self.states.shape[1]:
            return self.states[:, -1]
        return np.full(len(self.states), UnitState.NOT_RECORDED, np.uint8)

    @property
    def nbytes(self) -> int:
        """Memory that it takes, about."""
        return self.states.nbytes + self.counts.nbytes + 32 * (len(self.since) + len(self.deaths.units))


def judge(table: UnitTable, activations: Iterable[int], thresholds: UnitThresholds) -> dict[int, Judged]:
    """Return the states of the units of these activations, by their indices.

    Of hundreds of activations that ran in the same records the units are judged together, which takes a fraction of
    the time.
    """
    activations = list(activations)
    groups: dict[Hashable, list[tuple[int, Looks]]] = {}
    for index, seen in zip(activations, looks(table, activations), strict=True):
        groups.setdefault(_alike(table, index, seen), []).append((index, seen))
    found = {index: one for group in groups.values() for index, one in _judge(table, group, thresholds)}
    return {index: found[index] for index in activations}


def _alike(table: UnitTable, activation: int, seen: Looks) -> Hashable:
    """Return what is equal of activations that can be judged together: smooth ones have a spread of their own."""
    row = table.network.activations[activation]
    alone = activation if row.activation.response is Response.SMOOTH else None
    records = tuple(part.tobytes() for part in (seen.times, seen.samples, seen.counted))
    return row.activation.response, row.frozen, alone, records


def _judge(
    table: UnitTable, group: Sequence[tuple[int, Looks]], thresholds: UnitThresholds
) -> Iterator[tuple[int, Judged]]:
    """Yield the states of the units of activations that ran in the same records."""
    _, seen = group[0]
    about = [table.network.activations[index] for index, _ in group]
    response, frozen = about[0].activation.response, about[0].frozen
    units = np.concatenate([np.arange(row.units.start, row.units.stop) for row in about])
    ran = np.flatnonzero(seen.samples > 0)
    times, samples = seen.times[ran], seen.samples[ran]
    scale = spread(table, units, times, seen.counted[ran]) if response is Response.SMOOTH else None
    states = _without_samples(len(units), seen.samples)
    parts = []
    for block in blocks(np.arange(len(units))):
        evidence = Evidence(table, units[block], times, response, samples, seen.counted[ran], scale)
        part = _Part(evidence, samples, thresholds, frozen=frozen)
        states[block[0] : block[-1] + 1, as_slice(ran)] = part.states
        parts.append(part)
    since = np.concatenate([np.empty(0, np.intp), *(part.since for part in parts)])
    activity = np.concatenate([np.empty(0, np.float32), *(part.activity for part in parts)])
    ran_at_last = bool(ran.size) and ran[-1] == len(seen.times) - 1
    since = np.where(since >= 0, ran[since], -1) if ran_at_last else np.full(len(units), -1)
    deaths = _united([] if frozen else [part.deaths for part in parts], ran)
    stops = np.cumsum([len(row.units) for row in about]).tolist()
    for (index, own), row, stop in zip(group, about, stops, strict=True):
        held = slice(stop - len(row.units), stop)
        yield index, Judged(own, states[held], _counts(states[held]), since[held], activity[held], _of(deaths, held))


def _of(deaths: Deaths, held: slice) -> Deaths:
    """Return the deaths of the units that are held, which count from the first of them."""
    first, last = np.searchsorted(deaths.units, [held.start, held.stop])
    some = slice(int(first), int(last))
    return Deaths(deaths.units[some] - held.start, deaths.first[some], deaths.samples[some], deaths.revived[some])


class _Part:
    """The states of some units at the records in which they ran, and when they died."""

    def __init__(self, evidence: Evidence, samples: Floats, thresholds: UnitThresholds, *, frozen: bool) -> None:
        silent = evidence.silent(thresholds)
        dead = find_stretches(silent, samples, thresholds.windows, thresholds.samples)
        dead = no_accidents(dead, samples, evidence.patience(thresholds))
        stuck = find_stretches(evidence.saturated(thresholds), samples, thresholds.windows, thresholds.samples)
        self.states: States = np.full(silent.shape, UnitState.ALIVE, np.uint8)
        self.states[evidence.sparse(thresholds)] = UnitState.SPARSE
        died = np.flatnonzero(dead.held.any(axis=1) & (not frozen))
        since_then = np.logical_or.accumulate(dead.held[died], axis=1)
        self.states[died] = np.where(since_then, UnitState.REVIVED, self.states[died])
        self.states[stuck.held] = UnitState.FROZEN if frozen else UnitState.SATURATED
        self.states[silent] = UnitState.SILENT
        self.states[dead.held] = UnitState.FROZEN if frozen else UnitState.DEAD
        self.states[~evidence.known] = UnitState.NOT_RECORDED
        self.since = _open_since(dead, stuck)
        self.activity = evidence.fired[:, -1] if samples.size else np.full(len(silent), np.nan, np.float32)
        self.deaths = find_deaths(dead, evidence.known & ~silent, samples)


def _without_samples(units: int, samples: Floats) -> States:
    """Return the states of units at records that hold no samples of them, [units, N]."""
    never = np.cumsum(samples) == 0
    idle = np.where(never, UnitState.NEVER_RUN, UnitState.NOT_RECORDED).astype(np.uint8)
    return np.repeat(idle[None], units, axis=0)


def _united(deaths: Sequence[Deaths], ran: Indices) -> Deaths:
    """Return the deaths in all blocks of units.

    Args:
        deaths: Those of each block, with units by their index in it, and records by theirs among those that ran.
        ran: Indices of the records that ran among all.
    """
    if not deaths:
        return Deaths(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0), np.empty(0, np.bool_))
    return Deaths(
        np.concatenate([number * BLOCK + part.units for number, part in enumerate(deaths)]),
        np.concatenate([ran[part.first] for part in deaths]),
        np.concatenate([part.samples for part in deaths]),
        np.concatenate([part.revived for part in deaths]),
    )


def _counts(states: States) -> npt.NDArray[np.uint32]:
    """Return how many units are in each state at each record, [9, N]."""
    counts = np.zeros((len(UnitState), states.shape[1]), np.uint32)
    seen = np.zeros(len(UnitState), np.bool_)
    seen[states] = True  # Most units are alive; the other states are hardly worth a look each.
    for state in np.flatnonzero(seen):
        counts[state] = (states == state).sum(axis=0, dtype=np.uint32)
    return counts


def _open_since(dead: Stretches, stuck: Stretches) -> Indices:
    """Return the first record of the stretch that is open and long enough at the last record, -1 where none is."""
    since = np.full(len(dead.held), -1, np.intp)
    if dead.held.shape[1]:
        for stretches in (stuck, dead):
            since = np.where(stretches.held[:, -1], stretches.first[:, -1], since)
    return since
