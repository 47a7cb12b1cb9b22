"""Steps that changed the weights of a layer far more than usual."""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.analysis.derive import State
from tb_netviz_plugin.analysis.facts.evidence import PERSISTING, Evidence
from tb_netviz_plugin.analysis.facts.fact import Fact
from tb_netviz_plugin.analysis.series import nanmedian
from tb_netviz_plugin.analysis.wording import fold, layer_name, number

SPIKE_OVER_MEDIAN = 50.0
"""Factor over the usual update ratio from which an update is a spike."""
SPIKE_RATIO = 0.1
"""Share of its weights that an update has to change to be a spike."""


def update_spike(evidence: Evidence) -> list[Fact]:
    """State where a step changed a layer's weights far more than steps usually do."""
    derived = evidence.statistic("update_ratio", band=True)
    ratios = np.where(derived.states == State.NUMBER, derived.high, np.nan)
    usual = nanmedian(np.where(derived.states == State.NUMBER, derived.values, np.nan).T)[:, None]
    ratios[:, : 2 * PERSISTING] = np.nan
    spikes = (ratios >= SPIKE_RATIO) & (ratios >= SPIKE_OVER_MEDIAN * usual) & (usual > 0)
    if not spikes.any():
        return []
    over = np.where(spikes, ratios / usual, 0.0)
    worst, at = (int(i) for i in np.unravel_index(np.argmax(over), over.shape))
    layers = [worst, *(int(i) for i in np.flatnonzero(spikes[:, at]) if i != worst)]
    ratio, step = float(ratios[worst, at]), evidence.steps[at]
    return [
        Fact(
            id=f"update_spike:{worst}",
            kind="update_spike",
            title=f"{layer_name(evidence.network, worst)}'s weights changed by {ratio:.0%} at step {step:,.0f}",
            detail=f"That is {fold(over[worst, at])} its usual update of {number(float(usual[worst, 0]))} of the "
            f"norm of its weights. {len(layers):,} of {len(ratios):,} layers had such a step then.",
            statistic="update_ratio",
            layers=tuple(layers),
            step=step,
            last_step=step,
            evidence={"ratio": ratio, "usual": float(usual[worst, 0]), "layers": len(layers)},
        )
    ]
