"""Units that do what another one does, or its opposite: by their incoming weights, and by what came of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tb_netviz_plugin.analysis.activations import activation_key
from tb_netviz_plugin.analysis.placement import Indices
from tb_netviz_plugin.analysis.records import Bools, Floats
from tb_netviz_plugin.analysis.units.evidence import blocks, read
from tb_netviz_plugin.analysis.units.judge import Judged
from tb_netviz_plugin.analysis.units.states import UnitState
from tb_netviz_plugin.analysis.units.table import UnitTable
from tb_netviz_plugin.schema.description import Response

TOLERANCE = 1e-3
"""By how much the behaviour of two units may differ that are alike, as a share of it."""
RECORDS = 2
"""Last records with samples at which two units have to be alike."""
TOO_FEW = "there are fewer than two records of its units"
UNKNOWN = "its incoming weights were not compared"
_CAN_BE_OPPOSITE = (Response.NONE, Response.BOUNDED)
_LIVING = (UnitState.ALIVE, UnitState.SPARSE, UnitState.SATURATED, UnitState.REVIVED)


@dataclass(frozen=True, slots=True)
class Redundant:
    """What came of comparing the units of a layer, which has U of them.

    Attributes:
        activation: Index of its last activation.
        twins: Index of the first unit that each is redundant beside, -1 where there is none, [U].
        opposite: Whether it is that one's opposite, [U].
        difference: By how much at most it behaved differently, as a share; NaN where there is none, [U].
        samples: Samples over which they were compared, the fewest of any activation of the layer.
        reason: Why they were not compared, in words; empty where they were.
    """

    activation: int
    twins: Indices
    opposite: Bools
    difference: Floats
    samples: int
    reason: str

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
    """Return what is redundant, layer by layer; a layer without such a unit is not among them.

    Args:
        table: The records.
        judged: The states of the units, by activation.
    """
    return [layer for layer in compare_layers(table, judged) if (layer.twins >= 0).any()]


def compare_layers(table: UnitTable, judged: Mapping[int, Judged]) -> list[Redundant]:
    """Return what came of comparing the units of each layer.

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
    return [_of_layer(table, {index: judged[index] for index in indices}) for indices in layers.values()]


@dataclass(frozen=True, slots=True)
class _Compared:
    """The units of one activation, U of them, compared with each other.

    Attributes:
        signed: One more than the index of the first unit that each is like, negative if opposite, 0 for none, [U].
        difference: See `Redundant`, [U].
        samples: Counted samples that the comparison stands on.
        reason: See `Redundant`.
    """

    signed: Indices
    difference: Floats
    samples: int = 0
    reason: str = ""


def _of_layer(table: UnitTable, judged: Mapping[int, Judged]) -> Redundant:
    every = [_compare(table, index, units) for index, units in judged.items()]
    last = every[-1].signed
    signed = np.where(np.all([one.signed == last for one in every], axis=0), last, 0)
    difference = np.where(signed != 0, np.max([one.difference for one in every], axis=0), np.nan)
    samples, reason = min(one.samples for one in every), next((one.reason for one in every if one.reason), "")
    return Redundant(max(judged), np.abs(signed) - 1, signed < 0, difference, samples, reason)


def _compare(table: UnitTable, activation: int, judged: Judged) -> _Compared:
    row, looks = table.network.activations[activation], judged.looks
    signed, difference = np.zeros(len(row.units), np.intp), np.full(len(row.units), np.nan)
    places = np.flatnonzero((looks.samples > 0) & (looks.counted > 0))[-RECORDS:]
    if len(places) < RECORDS:
        return _Compared(signed, difference, reason=TOO_FEW)
    times, states = looks.times[places], judged.states[:, places[-1]]
    units = np.arange(row.units.start, row.units.stop)
    told = _columns(table, "twin", units, times)
    if np.isnan(told).any(axis=1).all():
        return _Compared(signed, difference, reason=UNKNOWN)
    held = (told[:, 0] != 0) & (np.abs(told[:, 0]) <= len(units)) & (told == told[:, :1]).all(axis=1)
    second = np.flatnonzero(held & np.isin(states, _LIVING))
    samples = int(looks.counted[places].sum())
    if not second.size:
        return _Compared(signed, difference, samples)
    twins = told[second, 0].astype(np.intp)
    behaviour = {name: _columns(table, name, units, times) for name in ("mean", "std", "fired", "largest")}
    first = np.abs(twins) - 1
    pairs = [{name: values[some] for name, values in behaviour.items()} for some in (first, second)]
    opposite = _opposite(*pairs) if row.activation.response in _CAN_BE_OPPOSITE else np.full(len(second), np.nan)
    found = np.where(twins > 0, _equal(*pairs), opposite)
    alike = (found <= TOLERANCE) & (first != second)
    signed[second[alike]], difference[second[alike]] = twins[alike], found[alike]
    return _Compared(signed, difference, samples)


def _columns(table: UnitTable, name: str, units: Indices, times: Indices) -> npt.NDArray[np.float32]:
    return np.concatenate(
        [np.empty((0, len(times)), np.float32), *(read(table, name, b, times) for b in blocks(units))]
    )


_Behaviour = Mapping[str, npt.NDArray[np.float32]]


def _equal(one: _Behaviour, other: _Behaviour) -> Floats:
    """Return by how much units behaved differently; what may be next to zero is measured by the deviation."""
    largest: Floats = np.max(
        [
            _difference(one["std"], other["std"]),
            _difference(one["fired"], other["fired"]),
            _difference(one["mean"], other["mean"], one["std"]),
            _difference(one["largest"], other["largest"], one["std"]),
        ],
        axis=0,
    )
    return largest


def _opposite(one: _Behaviour, other: _Behaviour) -> Floats:
    """Return by how much units differ from being opposite; NaN where one of them does not vary."""
    varies = np.all(one["std"] > 0, axis=1)
    parts = [_difference(one["std"], other["std"]), _difference(one["mean"], -other["mean"], one["std"])]
    return np.where(varies, np.max(parts, axis=0), np.nan)


def _difference(
    one: npt.NDArray[np.float32], other: npt.NDArray[np.float32], least: npt.NDArray[np.float32] | float = 0.0
) -> Floats:
    """Return the largest difference over the records, as a share of the values or of `least`; NaN for no number."""
    size = np.maximum(np.maximum(np.abs(one), np.abs(other)), least).astype(np.float64)
    with np.errstate(invalid="ignore"):
        gap = np.abs(one.astype(np.float64) - other)
        shares = np.divide(gap, size, out=np.zeros_like(gap), where=gap != 0)
    largest: Floats = shares.max(axis=1, initial=0.0)
    return largest
