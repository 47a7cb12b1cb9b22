"""The state of each unit at the end, and on how many samples it stands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tb_netviz_plugin.analysis.records import Bools, Floats
from tb_netviz_plugin.analysis.units.evidence import blocks, read
from tb_netviz_plugin.analysis.units.judge import Judged
from tb_netviz_plugin.analysis.units.table import UnitTable


@dataclass(frozen=True, slots=True)
class Summary:
    """The units of an activation, U of them, at its last record.

    Attributes:
        states: Of UnitState, [U].
        since: First step of the stretch that makes a unit dead, saturated or frozen; NaN for the others, [U].
        samples: Samples since then, or of the whole run, [U]. Where it fired in none of them they are all that
            were read, else those that were counted.
        fired: In how many of `samples` it fired, [U].
    """

    states: npt.NDArray[np.uint8]
    since: Floats
    samples: Floats
    fired: Floats


def since_steps(judged: Judged) -> Floats:
    """Return the first step of the stretch that each unit is in at the end, NaN where it is in none, [U]."""
    steps = np.append(judged.looks.first_steps, np.nan)  # An index of -1 stands for none.
    return steps[judged.since]


def summarise(table: UnitTable, activation: int, judged: Judged) -> Summary:
    """Return the summary of an activation's units."""
    looks, first_unit = judged.looks, table.network.activations[activation].units.start
    samples, fired = np.zeros(len(judged.states)), np.zeros(len(judged.states))
    for block in blocks(np.arange(len(judged.states))):
        largest = read(table, "largest", first_unit + block, looks.times)
        shares = np.nan_to_num(read(table, "fired", first_unit + block, looks.times).astype(np.float64))
        inside: Bools = (np.arange(len(looks.times)) >= judged.since[block, None]) & (largest > -np.inf)
        never = ~np.any(inside & (largest > 0), axis=1, keepdims=True)
        samples[block] = np.where(inside, np.where(never, looks.samples, looks.counted), 0).sum(axis=1)
        fired[block] = np.where(inside & ~never, np.round(shares * looks.counted), 0).sum(axis=1)
    return Summary(judged.last, since_steps(judged), samples, fired)
