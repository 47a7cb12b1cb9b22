"""Outputs that the first steps threw to the ends of their function, where hardly any gradient passes back."""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.analysis.activations import ActivationRow
from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.diagnosis.answers import answers
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.course import training
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.movement import movement
from tb_netviz_plugin.diagnosis.starts import BEGINNING
from tb_netviz_plugin.diagnosis.stretches import PERSISTING
from tb_netviz_plugin.schema.description import Response

_ENDS = 0.5
"""Share of outputs at the ends of their function."""
_BETWEEN = 0.1
"""The same at the first record, of outputs that began between the ends."""
_PARTS = 4
"""Parts of the run from then on in each of which so many are there, at the median."""
_THROWN, _FIRST = 0.3, 3
"""Norm of an update over that of the weights, in one of so many first records, that throws outputs to their ends."""

_REMEDIES = (
    Remedy("Lower the learning rate, and standardise the inputs: (x - mean) / std."),
    Remedy(
        "Begin with smaller weights, so that the inputs of the function stay near zero.",
        'nn.init.xavier_uniform_(layer.weight, gain=nn.init.calculate_gain("tanh"))',
    ),
)


def thrown_to_their_ends(case: Case, outputs: frozenset[str]) -> list[Finding]:
    """Find outputs that the first steps threw to the ends of their function, where they stayed.

    Args:
        case: The run.
        outputs: Names of activations that are a network's output.
    """
    found = _thrown(case, outputs)
    if found is None:
        return []
    row, since, shares, update = found
    share = float(np.nanmedian(shares[case.activation_steps >= since]))
    return [
        Finding(
            rule="saturation",
            severity=Severity.WARNING,
            layers=() if row.layer is None else (row.layer,),
            first_step=since,
            last_step=float(case.activation_steps[-1]),
            message=f"{share:.0%} of the values of {row.label} are at the ends of the function since step "
            f"{since:,.0f}, where first steps threw them that changed the weights by up to {update:.0%}: hardly any "
            "gradient passes back.",
            beyond=Beyond("share of the outputs at the ends", share, _ENDS),
            evidence=(
                Line(f"{row.label}: share at the ends", "activation_saturation", case.activation_steps, shares, _ENDS),
            ),
            remedies=_REMEDIES,
            excluded=("Not outputs that are compared with targets, of which they may well be certain.",),
            view="activations",
        )
    ]


def _thrown(case: Case, outputs: frozenset[str]) -> tuple[ActivationRow, float, Floats, float] | None:
    """Return outputs at the ends of their function that the first steps threw there, since when, and the update.

    They began between the ends, and most of them are there from the first steps to the end of the run, before
    anything can have been learned. Likewise the share of them at the ends, [T]. Outputs that are compared with targets
    are left out, and those under a loss that ends at zero: they may well be certain, and soon.
    """
    steps, loss = case.activation_steps, training(case)
    if "activation_saturation" not in case.recorded or not steps.size or steps[0] > BEGINNING:
        return None
    if loss is not None and loss.has_scale:
        return None
    compared = answers(case)
    for index, row in enumerate(case.network.activations):
        if row.name not in outputs or row.activation.response is not Response.BOUNDED:
            continue
        if compared is not None and compared.model == row.model:
            continue
        shares = case.numbers("activation_saturation")[index]
        early = (steps <= steps[0] + BEGINNING) & (shares >= _ENDS)
        layers = [at for at, layer in enumerate(case.network.layers) if layer.model == row.model]
        update = float(np.nanmax(movement(case, layers).ratios[:_FIRST], initial=0.0))
        if not shares[0] <= _BETWEEN or not early.any() or update < _THROWN:
            continue
        first = int(np.argmax(early))
        held = shares[first:][np.isfinite(shares[first:])]
        if held.size >= 2 * PERSISTING and min(np.median(part) for part in np.array_split(held, _PARTS)) >= _ENDS:
            return row, float(steps[first]), shares, update
    return None
