"""`poor_init`: weights that begin so that the signal dies out, blows up, or is the same in all units."""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.analysis.wording import fold, layer_name, number, subject
from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.offsets import far_off
from tb_netviz_plugin.diagnosis.rule import Limits, Rule, Threshold
from tb_netviz_plugin.diagnosis.scales import faint_throughout, loud_states, loud_throughout
from tb_netviz_plugin.diagnosis.signal import middle_gain, trend
from tb_netviz_plugin.diagnosis.starts import (
    BEGINNING,
    CERTAIN,
    FAINT,
    LOUD,
    LOUDER,
    SCALE,
    certain,
    decided,
    gain_of,
    loud,
)
from tb_netviz_plugin.diagnosis.stuck import made_by
from tb_netviz_plugin.schema.description import Response

_MOST = 0.5
"""Share of values at the ends of a function from which on hardly any gradient passes."""
_ALIKE = 0.9
"""Share of a layer's units that have to have equal weights for it to be symmetric."""
_UNITS = 4
"""Units from which on equal ones are no matter of chance."""

_SYMMETRY = (
    Remedy(
        "Draw the weights at random: units that begin equal get equal gradients, and stay equal.",
        'nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")',
    ),
)


def find(case: Case, limits: Limits) -> list[Finding]:
    """Find networks whose signal changes its scale from layer to layer at the start, or whose units begin alike."""
    findings = []
    for layers in case.layers_of_models():
        found = (
            _symmetric(case, layers)
            or _scale(case, layers, limits["factor"])
            or faint_throughout(case, layers)
            or loud(case, layers, limits["loud"])
            or certain(case, layers, limits["certain"])
            or far_off(case, layers, limits["offset"])
            or loud_throughout(case, layers)
            or loud_states(case, layers)
            or decided(case, layers, limits["decided"])
            or _saturating(case, layers)
        )
        findings += [found] if found else []
    return findings


def _scale(case: Case, layers: list[int], factor: float) -> Finding | None:
    """Find weights, not inputs or sums, that change the scale of the signal from layer to layer."""
    found = trend(case, layers, factor)
    if found is None:
        return None
    blamed, grows = found.layers(case), found.decades > 0
    gain = middle_gain(case, blamed)
    if not (gain > LOUD if grows else gain < FAINT):
        return None
    (begin, end), (before, after) = found.labels(case), found.deviations
    step = float(case.activation_steps[0])
    return Finding(
        rule="poor_init",
        severity=Severity.WARNING,
        layers=blamed,
        first_step=step,
        last_step=step,
        message=f"At step {step:,.0f} the deviation of the outputs {'grows' if grows else 'shrinks'} "
        f"{fold(found.factor)}, from {number(before)} in {begin} to {number(after)} in {end}: the weights begin too "
        f"{'large' if grows else 'small'}.",
        beyond=Beyond("factor between the deviations of two layers' outputs", found.factor, factor),
        evidence=found.lines(case),
        remedies=SCALE,
        excluded=(f"Not one layer: it is {found.each:.1f}-fold from each to the next.",),
        view="activations",
    )


def _saturating(case: Case, layers: list[int]) -> Finding | None:
    """Find weights so large that most of what follows from them is at the ends of a bounded function from the start."""
    steps = case.activation_steps
    if "activation_saturation" not in case.recorded or not steps.size or steps[0] > BEGINNING:
        return None
    shares = case.numbers("activation_saturation")
    found = [
        (index, layer)
        for index, row in enumerate(case.network.activations)
        if row.activation.response is Response.BOUNDED
        and shares[index, 0] >= _MOST
        and (layer := made_by(case, row)) is not None
        and layer in layers
        and gain_of(case, layer) > LOUD
    ]
    if not found:
        return None
    index, layer = found[0]
    where, share, gain = case.network.activations[index].label, float(shares[index, 0]), gain_of(case, layer)
    return Finding(
        rule="poor_init",
        severity=Severity.WARNING,
        layers=tuple(dict.fromkeys(layer for _, layer in found)),
        first_step=float(steps[0]),
        last_step=float(steps[0]),
        message=f"{share:.0%} of the values of {where} are at the ends of the function at step {steps[0]:,.0f}: the "
        f"weights of {layer_name(case.network, layer)} make their inputs {gain:.2g} times as large.",
        beyond=Beyond("by how much the weights scale their inputs", gain, LOUD),
        evidence=(Line(f"{where}: share at the ends", "activation_saturation", steps, shares[index], _MOST),),
        remedies=SCALE,
        excluded=("Not what it learned: it is so from the start.", "Not large inputs: the weights alone do it."),
        view="activations",
    )


def _symmetric(case: Case, layers: list[int]) -> Finding | None:
    """Find layers nearly all of whose units begin with equal weights and still have them at the end."""
    shares: dict[int, tuple[int, Floats]] = {}
    for index, row in enumerate(case.network.activations):
        if row.layer in layers and row.layer is not None and len(row.units) >= _UNITS:
            alike = _alike(case, index)
            if alike is not None and alike.size > 1 and min(alike[0], alike[-1]) >= _ALIKE:
                shares.setdefault(row.layer, (index, alike))
    if not shares:
        return None
    blamed = sorted(shares)
    index, alike = shares[blamed[0]]
    looks = case.judged(index).looks
    steps = case.unit_table.steps[looks.times]
    begins = "begins" if len(blamed) == 1 else "begin"
    return Finding(
        rule="poor_init",
        severity=Severity.CRITICAL,
        layers=tuple(blamed),
        first_step=float(looks.first_steps[0]),
        last_step=float(steps[-1]),
        message=f"{subject(case.network, blamed)} {begins} with equal weights in {alike[0]:.0%} of the units, and they "
        f"are equal still at step {steps[-1]:,.0f}: all units of {layer_name(case.network, blamed[0])} learn the same.",
        beyond=Beyond("share of units with equal weights", float(alike[-1]), _ALIKE),
        evidence=(
            Line(f"{case.network.activations[index].label}: units with equal weights", "units", steps, alike, _ALIKE),
        ),
        remedies=_SYMMETRY,
        excluded=("Not a branch that begins at zero on purpose: such units come apart with the first steps.",),
        view="units",
    )


def _alike(case: Case, activation: int) -> Floats | None:
    """Return the share of an activation's units with equal weights at each of its records, or None where unknown."""
    row, looks = case.network.activations[activation], case.judged(activation).looks
    twins = case.unit_table.units.column("twin", rows=np.arange(row.units.start, row.units.stop))[:, looks.times]
    if not twins.size or np.isnan(twins).any():
        return None
    # Each but the first of a group of equal units has a twin.
    return np.asarray((twins > 0).sum(axis=0) / (len(row.units) - 1), np.float64)


RULE = Rule(
    id="poor_init",
    title="Poor initialisation",
    needs=(needs.statistics("activation_std"),),
    thresholds=(
        Threshold("factor", 100.0, "factor between the deviations of two layers' outputs", 3.0, 1e9),
        Threshold("loud", LOUDER, "loss and outputs at the start over those at the end", 1.5, 1e6),
        Threshold("certain", CERTAIN, "first cross-entropy over that of guessing", 2.0, 1e6),
        Threshold("offset", 5.0, "first distance of outputs from targets, in the deviations of these", 2.0, 1e6),
        Threshold("decided", 0.8, "first deviation of outputs between 0 and 1, over the most there can be", 0.1, 1.0),
    ),
    find=find,
)
