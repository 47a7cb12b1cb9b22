"""Gradients that a backward pass has brought, and of which nothing is left as the optimizer steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tb_netviz_plugin.analysis.wording import subject
from tb_netviz_plugin.diagnosis.case import Case, Curve
from tb_netviz_plugin.diagnosis.causes import GONE
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.movement import curve_of_group, is_backbone

_SHARE = 0.8
"""Share of the observed steps from which on it is no guard against a gradient that is not finite."""

_REMEDIES = (
    Remedy(
        "Set the gradients to zero after the step, or before the backward pass, and not between the two.",
        "optimizer.zero_grad()\nloss.backward()\noptimizer.step()",
    ),
    Remedy("Look for what else sets them to zero or to None before the step: another optimizer, a hook, a mask."),
)


def gone(case: Case, layers: Sequence[int], records: int, rule: str) -> Finding | None:
    """Return that gradients of optimizer groups are gone before nearly each step, or None where they are not.

    Args:
        case: The run.
        layers: Those of a model.
        records: How many records have to show it.
        rule: Id of the rule that tells of it.
    """
    seen = {group: curve for group in groups_of(case, layers) if (curve := _seen(case, group, records)) is not None}
    held = [layer for layer in layers if set(groups_of(case, [layer])) & set(seen)]
    if not seen or not held:
        return None
    worst = max(seen.values(), key=_share)
    verb = "learn" if len(held) > 1 else "learns"
    left = [layer for layer in layers if layer not in held and not case.frozen[layer]]
    return Finding(
        rule=rule,
        severity=_severity(case, layers, held, left),
        layers=tuple(held),
        first_step=float(worst.steps[0]),
        last_step=float(worst.steps[-1]),
        message=f"{subject(case.network, held)} {verb} nothing: the backward pass brings "
        f"gradients, and at {_share(worst):.0%} of the {worst.steps.size:,} steps that were looked at nothing was left "
        "of them as the optimizer stepped.",
        beyond=Beyond("share of the steps before which gradients were gone", _share(worst), _SHARE),
        evidence=(Line("gradients that were gone: 1, still there: 0", worst.name, worst.steps, worst.values, _SHARE),),
        remedies=_REMEDIES,
        excluded=(
            "Not a loss that is cut off from the weights: after the backward pass there were gradients.",
            "Not frozen: requires_grad is on.",
            *(("Not the whole network: the gradients of other layers were still there.",) if left else ()),
        ),
        subject=GONE,
    )


def _severity(case: Case, layers: Sequence[int], held: Sequence[int], left: Sequence[int]) -> Severity:
    """Say how bad it is: a backbone may well be kept as it is by dropping its gradients."""
    if not left:
        return Severity.CRITICAL
    return Severity.INFO if is_backbone(case, layers, held) else Severity.WARNING


def groups_of(case: Case, layers: Sequence[int]) -> list[int]:
    """Return the optimizer groups that hold parameters of some layers."""
    rows = (row for layer in layers for row in case.network.layers[layer].parameters)
    return list(dict.fromkeys(group for row in rows if (group := case.network.parameters[row].group) is not None))


def _seen(case: Case, group: int, records: int) -> Curve | None:
    curve = curve_of_group(case, "gone_gradient", group)
    return curve if curve is not None and curve.steps.size >= records and _share(curve) >= _SHARE else None


def _share(curve: Curve) -> float:
    return float(np.nanmean(curve.values))
