"""Signals that grow with each layer by something else than weights, and gradients that grow with them."""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.analysis.wording import fold, number
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.causes import SUMS
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Severity
from tb_netviz_plugin.diagnosis.movement import total
from tb_netviz_plugin.diagnosis.multiplied import SUMMED, learns
from tb_netviz_plugin.diagnosis.signal import middle_gain, trend
from tb_netviz_plugin.diagnosis.starts import LOUD
from tb_netviz_plugin.diagnosis.stretches import PERSISTING


def of_signal(case: Case, layers: list[int], factor: float) -> Finding | None:
    """Find a signal that grows with each layer though the weights don't make it: gradients are as large all over."""
    found = trend(case, layers, factor)
    if found is None or found.decades < 0 or not middle_gain(case, found.layers(case)) <= LOUD:
        return None
    if learns(case, case.network.layers[layers[0]].model):
        return None
    sizes = _over_weights(case, layers)
    known = sizes[np.isfinite(sizes)]
    if known.size < PERSISTING:
        return None
    first, last = float(np.median(known[:PERSISTING])), float(np.median(known[-PERSISTING:]))
    if min(first, last) < factor:
        return None
    (begin, end), (before, after) = found.labels(case), found.deviations
    return Finding(
        rule="exploding_gradient",
        severity=Severity.CRITICAL,
        layers=found.layers(case),
        first_step=float(case.steps[0]),
        last_step=float(case.steps[-1]),
        message=f"The signal grows {fold(found.factor)} from {begin} to {end}, {found.each:.1f}-fold with each layer: "
        f"its deviation is {number(before)} there and {number(after)} here, and the norm of the gradient is "
        f"{fold(first)} that of the weights at first, and {fold(last)} at the end.",
        beyond=Beyond("factor between two depths", found.factor, factor),
        evidence=(*found.lines(case), Line("gradient : weight", "gradient_norm", case.steps, sizes, factor)),
        remedies=SUMMED,
        excluded=("Not weights that begin too large: by themselves they would hardly change the scale.",),
        view="activations",
        subject=SUMS,
    )


def _over_weights(case: Case, layers: list[int]) -> Floats:
    """Return the norm of the gradient over that of the weights, [T]; NaN where it is not known."""
    gradients, weights = total(case.numbers("gradient_norm")[layers]), total(case.numbers("weight_norm")[layers])
    sizes = np.full(len(gradients), np.nan)
    np.divide(gradients, weights, out=sizes, where=weights > 0)
    return sizes
