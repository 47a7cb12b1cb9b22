"""Gradients that are NaN or infinite."""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.analysis.derive import State
from tb_netviz_plugin.analysis.facts.evidence import Evidence
from tb_netviz_plugin.analysis.facts.fact import Fact
from tb_netviz_plugin.analysis.wording import gradient_is


def nonfinite(evidence: Evidence) -> list[Fact]:
    """State where NaN or infinite gradients were first seen."""
    share = evidence.statistic("gradient_nonfinite")
    spoiled = share.states == State.NONFINITE
    if not spoiled.any():
        return []
    first = np.where(spoiled.any(axis=1), spoiled.argmax(axis=1), spoiled.shape[1])
    layers = [int(i) for i in np.argsort(first, kind="stable") if spoiled[i].any()]
    onset, last = int(first.min()), int(np.flatnonzero(spoiled.any(axis=0))[-1])
    at_onset = [layer for layer in layers if first[layer] == onset]
    records = int(spoiled.any(axis=0).sum())
    step = evidence.steps[onset]
    return [
        Fact(
            id=f"nonfinite:{layers[0]}",
            kind="nonfinite",
            title=f"{gradient_is(evidence.network, at_onset)} not finite at step {step:,.0f}",
            detail=f"NaN or infinite gradients in {len(layers):,} of {len(spoiled):,} layers and {records:,} of "
            f"{spoiled.shape[1]:,} records, first at step {step:,.0f}, last at step {evidence.steps[last]:,.0f}.",
            statistic="gradient_nonfinite",
            layers=tuple(layers),
            step=step,
            last_step=evidence.steps[last],
            evidence={"layers": len(layers), "records": records, "largest_share": float(np.nanmax(share.values))},
        )
    ]
