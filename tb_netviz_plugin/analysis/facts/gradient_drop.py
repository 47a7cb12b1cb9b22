"""Layers whose gradient fell below their own past."""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.analysis.facts.evidence import PERSISTING, STRIKING_FALL, Evidence
from tb_netviz_plugin.analysis.facts.fact import Fact
from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.analysis.series import logarithm, nanmedian, running_median
from tb_netviz_plugin.analysis.wording import fold, gradient_is, number


def gradient_drop(evidence: Evidence) -> list[Fact]:
    """State which layers' gradients fell far below their own past, while the other layers' did not."""
    norms = evidence.numbers("gradient_norm")
    if len(norms) < 3 or norms.shape[1] < 4 * PERSISTING:
        return []
    logs = logarithm(norms)
    relative = logs - nanmedian(logs)
    drops = [_drop_of_layer(evidence, layer, logs[layer], relative[layer]) for layer in range(len(norms))]
    return sorted((drop for drop in drops if drop), key=lambda fact: -fact.evidence["factor"])


def _drop_of_layer(evidence: Evidence, layer: int, logs: Floats, relative: Floats) -> Fact | None:
    """Return the fact about a layer, from log10 of its norms, [T], and the same relative to the other layers."""
    known = np.flatnonzero(np.isfinite(relative))
    if known.size < 4 * PERSISTING:
        return None
    series = relative[known]
    present, past = float(np.median(series[-PERSISTING:])), float(running_median(series, PERSISTING).max())
    factor = 10 ** (past - present)
    if factor < STRIKING_FALL:
        return None
    above = np.flatnonzero(series > (past + present) / 2)
    onset = known[min(above[-1] + 1, known.size - 1)]
    step = evidence.steps[onset]
    before, after = 10 ** np.median(logs[known][above]), 10 ** np.median(logs[known][-PERSISTING:])
    return Fact(
        id=f"gradient_drop:{layer}",
        kind="gradient_drop",
        title=f"{gradient_is(evidence.network, [layer])} {fold(factor)} smaller since step {step:,.0f}",
        detail=f"Its norm was {number(before)} and is {number(after)}; measured against the other layers it "
        f"fell {fold(factor)}.",
        statistic="gradient_norm",
        layers=(layer,),
        step=step,
        last_step=evidence.steps[known[-1]],
        evidence={"factor": factor, "before": float(before), "after": float(after)},
    )
