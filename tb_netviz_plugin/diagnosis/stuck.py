"""Layers of which many units are stuck in one state: dead, or saturated."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tb_netviz_plugin.analysis.activations import ActivationRow
from tb_netviz_plugin.analysis.placement import Indices
from tb_netviz_plugin.analysis.records import Bools, Floats
from tb_netviz_plugin.analysis.units import UnitState, since_steps
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.finding import Line
from tb_netviz_plugin.diagnosis.stretches import PERSISTING, above
from tb_netviz_plugin.schema.description import Response

_MOST_LINES = 4
_ALL = 0.9
"""Share of an activation's values from which on nearly all lie where it is flat."""
_WELL = (UnitState.ALIVE, UnitState.SPARSE, UnitState.REVIVED)


@dataclass(frozen=True, slots=True)
class Stuck:
    """The units of one activation that are in the state at its last record.

    Attributes:
        row: The activation.
        state: The state.
        units: Which of its units.
        share: How many of all its units these are.
        since: First step of each one's stretch, in increasing order, [len(units)].
        samples: Samples in the shortest of the stretches.
        last_step: Last step of the last record.
        steps: Last step of each record, [N].
        shares: Share of its units in the state at each record, [N].
    """

    row: ActivationRow
    state: UnitState
    units: tuple[int, ...]
    share: float
    since: Floats
    samples: float
    last_step: float
    steps: Floats
    shares: Floats

    def since_share(self, share: float) -> float:
        """Return the step from which on at least this share of the units has been in the state."""
        needed = int(np.ceil(share * len(self.row.units)))
        return float(self.since[min(max(needed, 1), len(self.since)) - 1])

    def line(self, threshold: float | None) -> Line:
        """Return its share over the steps."""
        return Line(f"{self.row.label}: share of units {self.state.id}", "units", self.steps, self.shares, threshold)


def stuck_units(case: Case, state: UnitState, responses: Iterable[Response]) -> list[Stuck]:
    """Return the activations of these responses that have units in `state` at their last record, input first.

    A unit that is well in another call of the same layer, as in another round of messages, is left out.
    """
    wanted = frozenset(responses)
    found = []
    for index, row in enumerate(case.network.activations):
        if row.units and row.activation.response in wanted:
            units = np.flatnonzero((case.judged(index).last == state) & ~_well_elsewhere(case, row))
            if units.size and case.judged(index).looks.times.size:
                found.append(_of_activation(case, index, state, units))
    return found


def _well_elsewhere(case: Case, row: ActivationRow) -> Bools:
    """Return which units of an activation respond in another call of it, [units]."""
    well = np.zeros(len(row.units), np.bool_)
    for index, other in enumerate(case.network.activations):
        same = (other.model, other.source, other.activation.kind) == (row.model, row.source, row.activation.kind)
        if same and other is not row and len(other.units) == len(row.units):
            well |= np.isin(case.judged(index).last, _WELL)
    return well


def saturated_since(case: Case, one: Stuck, share: float) -> float:
    """Return the step from which on a share of an activation's units is saturated, or nearly all of its values are.

    Units that leave the flat part for single records begin anew each time, however few of them do.
    """
    return min(one.since_share(share), _of_all_values(case, one))


def _of_all_values(case: Case, one: Stuck) -> float:
    """Return from which step on to the end nearly all values of an activation lie where it is flat; else infinity."""
    steps = case.activation_steps
    if "activation_saturation" not in case.recorded or not steps.size:
        return np.inf
    row = next(index for index, other in enumerate(case.network.activations) if other is one.row)
    stretch = above(case.numbers("activation_saturation")[row], _ALL)
    lasts = stretch is not None and stretch.last >= len(steps) - PERSISTING
    return float(steps[stretch.first]) if stretch is not None and lasts else np.inf


def lines(found: Iterable[Stuck], threshold: float | None) -> tuple[Line, ...]:
    """Return the first few as evidence."""
    return tuple(one.line(threshold) for one in list(found)[:_MOST_LINES])


def layers(case: Case, found: Iterable[Stuck]) -> tuple[int, ...]:
    """Return the layers that make these units, each once."""
    held = (made_by(case, one.row) for one in found)
    return tuple(dict.fromkeys(layer for layer in held if layer is not None))


def made_by(case: Case, row: ActivationRow) -> int | None:
    """Return the layer that makes an activation's units, or None where none is known to.

    Of a type of one's own that need not be what it does: there it is the last one in front that puts out the like.
    """
    if row.layer is not None:
        return row.layer
    modules = next(one for one in case.network.descriptions if one.model == row.model).modules
    places = {module.name: place for place, module in enumerate(modules)}
    own = places.get(modules[row.activation.module].name if row.activation.module < len(modules) else "", -1)
    in_front = [
        index
        for index, layer in enumerate(case.network.layers)
        if layer.model == row.model
        and places.get(layer.module.name, own) < own
        and layer.module.output_shape[1:] == row.activation.shape[1:]
    ]
    return max(in_front, key=lambda index: places[case.network.layers[index].module.name], default=None)


def _of_activation(case: Case, index: int, state: UnitState, units: Indices) -> Stuck:
    row, judged = case.network.activations[index], case.judged(index)
    since = since_steps(judged)[units]
    samples = judged.looks.samples
    totals = np.cumsum(samples[::-1])[::-1]
    return Stuck(
        row,
        state,
        tuple(units.tolist()),
        units.size / len(row.units),
        np.sort(since),
        float(totals[judged.since[units].max()]),
        float(case.unit_table.steps[judged.looks.times[-1]]),
        case.unit_table.steps[judged.looks.times],
        judged.counts[state] / len(row.units),
    )
