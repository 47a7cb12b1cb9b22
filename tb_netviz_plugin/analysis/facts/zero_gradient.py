"""Layers whose gradient is exactly zero."""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.analysis.derive import State
from tb_netviz_plugin.analysis.facts.evidence import PERSISTING, Evidence
from tb_netviz_plugin.analysis.facts.fact import Fact
from tb_netviz_plugin.analysis.records import Bools
from tb_netviz_plugin.analysis.wording import gradient_is


def zero_gradient(evidence: Evidence) -> list[Fact]:
    """State which layers' gradients are exactly zero up to the last record, and since when."""
    derived = evidence.statistic("gradient_max_abs", band=True)
    number = derived.states == State.NUMBER
    runs = {
        layer: onset
        for layer in range(len(number))
        if (onset := _persisting(number[layer], derived.high[layer] == 0)) is not None
    }
    facts = []
    for onset in sorted(set(runs.values())):
        layers = [layer for layer, since in runs.items() if since == onset]
        last = int(np.flatnonzero(number[layers].any(axis=0))[-1])
        records = int(number[layers, onset:].sum(axis=1).min())
        step, until = evidence.steps[onset], evidence.steps[last]
        facts.append(
            Fact(
                id=f"zero_gradient:{layers[0]}",
                kind="zero_gradient",
                title=f"{gradient_is(evidence.network, layers)} exactly zero since step {step:,.0f}",
                detail=f"Every element is 0 in all {records:,} records from step {step:,.0f} to step {until:,.0f}.",
                statistic="gradient_zero_fraction",
                layers=tuple(layers),
                step=step,
                last_step=until,
                evidence={"records": records},
            )
        )
    return facts


def _persisting(number: Bools, condition: Bools) -> int | None:
    """Return since which record `condition` holds wherever there is a number, or None if it does not persist."""
    known = np.flatnonzero(number)
    broken = np.flatnonzero(~condition[known])
    start = broken[-1] + 1 if broken.size else 0
    return int(known[start]) if known.size - start >= PERSISTING else None
