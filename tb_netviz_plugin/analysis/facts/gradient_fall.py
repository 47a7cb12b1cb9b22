"""The fall of the gradient through the depth."""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.analysis.facts.evidence import PERSISTING, STRIKING_FALL, Evidence
from tb_netviz_plugin.analysis.facts.fact import Fact
from tb_netviz_plugin.analysis.placement import Indices
from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.analysis.series import logarithm, nanmedian, running_median
from tb_netviz_plugin.analysis.wording import fold, layer_name, number


def gradient_fall(evidence: Evidence) -> list[Fact]:
    """State how far the gradient falls through the depth, from where to where, at present.

    Both the norm and the mean magnitude have to fall: a sparse embedding has a small mean and an
    ordinary norm, a small layer the reverse.
    """
    means, norms = evidence.numbers("gradient_mean_abs"), evidence.numbers("gradient_norm")
    alive = np.flatnonzero((means[:, -PERSISTING:] > 0).sum(axis=1) > 0)
    models = [evidence.network.layers[layer].model for layer in alive]
    falls = [
        fall
        for model in dict.fromkeys(models)
        if (fall := _fall_of_model(evidence, alive[[one == model for one in models]], means, norms))
    ]
    return sorted(falls, key=lambda fact: -fact.evidence["factor"])


def _fall_of_model(evidence: Evidence, layers: Indices, means: Floats, norms: Floats) -> Fact | None:
    if len(layers) < 3 or means.shape[1] < PERSISTING:
        return None
    profile = _depth_profile(means[layers])
    lowest_before = np.minimum.accumulate(profile)
    top = int(np.argmax(profile - lowest_before))
    bottom = int(np.argmin(profile[: top + 1]))
    factor = 10 ** (profile[top] - profile[bottom])
    norm_profile = _depth_profile(norms[layers])
    low, high = int(layers[bottom]), int(layers[top])
    share = logarithm(means[high]) - logarithm(means[low])
    known = np.flatnonzero(np.isfinite(share))
    if min(factor, 10 ** (norm_profile[top] - norm_profile[bottom])) < STRIKING_FALL or not known.size:
        return None
    shallow = np.flatnonzero(share[known] < np.log10(STRIKING_FALL))
    onset = known[min(shallow[-1] + 1, known.size - 1)] if shallow.size else known[0]
    steepest = bottom + int(np.argmax(np.diff(profile[bottom : top + 1])))
    across = 10 ** (profile[steepest + 1] - profile[steepest])
    starved = [int(layers[i]) for i in range(bottom, top) if profile[i] <= profile[top] - np.log10(STRIKING_FALL)]
    upper, lower, above, below = (
        layer_name(evidence.network, int(layers[at])) for at in (top, bottom, steepest + 1, steepest)
    )
    return Fact(
        id=f"gradient_fall:{low}",
        kind="gradient_fall",
        title=f"The gradient falls {fold(factor)} from {upper} down to {lower}",
        detail=f"Mean |g| is {number(10 ** profile[top])} in {upper} and {number(10 ** profile[bottom])} in {lower}, "
        f"{top - bottom:,} layers nearer the input; the steepest part, {fold(across)}, lies between {above} and "
        f"{below}.",
        statistic="gradient_mean_abs",
        layers=tuple(starved),
        step=evidence.steps[onset],
        last_step=evidence.steps[known[-1]],
        evidence={"factor": float(factor), "from_layer": high, "to_layer": low, "steepest_factor": float(across)},
    )


def _depth_profile(values: Floats) -> Floats:
    """Return log10 of the present value of each layer, without what only a single layer differs in."""
    recent = nanmedian(logarithm(values[:, -PERSISTING:]).T)
    return running_median(recent, 3) if len(recent) > 4 else recent
