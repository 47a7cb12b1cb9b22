"""Units that do what another one does, or its opposite: by their incoming weights, and by what came of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tb_netviz_plugin.analysis.activations import activation_key
from tb_netviz_plugin.analysis.placement import Indices
from tb_netviz_plugin.analysis.records import Bools
from tb_netviz_plugin.analysis.units.evidence import blocks, read
from tb_netviz_plugin.analysis.units.judge import Judged
from tb_netviz_plugin.analysis.units.states import UnitState
from tb_netviz_plugin.analysis.units.table import UnitTable
from tb_netviz_plugin.schema.description import Response

TOLERANCE = 1e-3
"""By how much the behaviour of two units may differ that are alike, as a share of it."""
RECORDS = 2
"""Last records with samples at which two units have to be alike."""
_CAN_BE_OPPOSITE = (Response.NONE, Response.BOUNDED)
_LIVING = (UnitState.ALIVE, UnitState.SPARSE, UnitState.SATURATED, UnitState.REVIVED)


@dataclass(frozen=True, slots=True)
class Redundant:
    """The redundant units of a layer, which has U of them.

    Attributes:
        activation: Index of its last activation.
        twins: Index of the first unit that each is redundant beside, -1 where there is none, [U].
        opposite: Whether it is that one's opposite, [U].
    """

    activation: int
    twins: Indices
    opposite: Bools

    @property
    def groups(self) -> list[list[int]]:
        """Units that are equal, the first of each group first."""
        members: dict[int, list[int]] = {}
        for unit in np.flatnonzero((self.twins >= 0) & ~self.opposite).tolist():
            first = int(self.twins[unit])
            members.setdefault(first, [first]).append(unit)
        return [members[first] for first in sorted(members)]

    @property
    def pairs(self) -> list[list[int]]:
        """Units that are opposite, two at a time, the one that is not redundant first."""
        return [[int(self.twins[unit]), unit] for unit in np.flatnonzero((self.twins >= 0) & self.opposite).tolist()]


def find_redundant(table: UnitTable, judged: Mapping[int, Judged]) -> list[Redundant]:
    """Return what is redundant, layer by layer.

    A unit that is alike before an activation function may not be so behind it: it has to be at all activations of the
    layer that the latest description has, and is listed at the last of them.

    Args:
        table: The records.
        judged: The states of the units, by activation.
    """
    latest = {activation_key(d, activation) for d in table.network.descriptions for activation in d.activations}
    layers: dict[tuple[str, str, int], list[int]] = {}
    for index in judged:
        row = table.network.activations[index]
        if activation_key(row, row.activation) in latest:
            layers.setdefault((row.model, row.source, len(row.units)), []).append(index)
    found = (_of_layer(table, {index: judged[index] for index in indices}) for indices in layers.values())
    return [redundant for redundant in found if (redundant.twins >= 0).any()]


def _of_layer(table: UnitTable, judged: Mapping[int, Judged]) -> Redundant:
    every = [_signed_twins(table, index, units) for index, units in judged.items()]
    twins = np.where(np.all(np.equal(every, every[-1]), axis=0), every[-1], 0)
    return Redundant(max(judged), np.abs(twins) - 1, twins < 0)


def _signed_twins(table: UnitTable, activation: int, judged: Judged) -> Indices:
    """Return one more than the index of the unit that each is alike with, negative for an opposite one, 0 for none."""
    row, looks = table.network.activations[activation], judged.looks
    places = np.flatnonzero((looks.samples > 0) & (looks.counted > 0))[-RECORDS:]
    twins: Indices = np.zeros(len(row.units), np.intp)
    if len(places) < RECORDS:
        return twins
    times, states = looks.times[places], judged.states[:, places[-1]]
    units = np.arange(row.units.start, row.units.stop)
    told = _columns(table, "twin", units, times)
    held = (told[:, 0] != 0) & (np.abs(told[:, 0]) <= len(units)) & (told == told[:, :1]).all(axis=1)
    second = np.flatnonzero(held & np.isin(states, _LIVING))
    signed = told[second, 0].astype(np.intp)
    behaviour = {name: _columns(table, name, units, times) for name in ("mean", "std", "fired", "largest")}
    first = np.abs(signed) - 1
    pairs = [{name: values[some] for name, values in behaviour.items()} for some in (first, second)]
    opposite = _opposite(*pairs) & (row.activation.response in _CAN_BE_OPPOSITE)
    alike = np.where(signed > 0, _equal(*pairs), opposite) & (first != second)
    twins[second[alike]] = signed[alike]
    return twins


def _columns(table: UnitTable, name: str, units: Indices, times: Indices) -> npt.NDArray[np.float32]:
    return np.concatenate(
        [np.empty((0, len(times)), np.float32), *(read(table, name, b, times) for b in blocks(units))]
    )


_Behaviour = Mapping[str, npt.NDArray[np.float32]]


def _equal(one: _Behaviour, other: _Behaviour) -> Bools:
    """Return which units behaved alike at all records; what may be next to zero is measured by the deviation."""
    return (
        _close(one["std"], other["std"])
        & _close(one["fired"], other["fired"])
        & _close(one["mean"], other["mean"], one["std"])
        & _close(one["largest"], other["largest"], one["std"])
    )


def _opposite(one: _Behaviour, other: _Behaviour) -> Bools:
    varies = np.all(one["std"] > 0, axis=1)
    opposite: Bools = varies & _close(one["std"], other["std"]) & _close(one["mean"], -other["mean"], one["std"])
    return opposite


def _close(
    one: npt.NDArray[np.float32], other: npt.NDArray[np.float32], least: npt.NDArray[np.float32] | float = 0.0
) -> Bools:
    size = np.maximum(np.maximum(np.abs(one), np.abs(other)), least)
    with np.errstate(invalid="ignore"):
        close: Bools = np.all(np.abs(one - other) <= TOLERANCE * size, axis=1)
    return close
