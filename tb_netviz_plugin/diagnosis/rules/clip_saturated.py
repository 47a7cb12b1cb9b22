"""`clip_saturated`: gradients that are clipped at most steps, so that the clipping sets the size of the steps."""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.analysis.series import nanmedian
from tb_netviz_plugin.analysis.wording import number
from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.case import Case, Curve
from tb_netviz_plugin.diagnosis.course import training
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.movement import movement
from tb_netviz_plugin.diagnosis.rule import Limits, Rule, Threshold

_FEWEST = 20
_LATE = 0.5
"""Share of the run, at its end, that is judged: at the beginning gradients may well be clipped."""
_EACH = 10
"""Values that a share of clipped steps is taken of, to find where it began."""
_SCALES = ("Adam", "AdamW", "NAdam", "RAdam", "Adamax", "RMSprop", "Adagrad", "Adadelta", "Lion")
"""Optimizers in which a scale that all gradients share cancels, so that clipping does not make steps smaller."""
_STANDS = 0.1
"""Share by which a loss falls that doesn't stand."""


def find(case: Case, limits: Limits) -> list[Finding]:
    """Find models whose gradients were clipped far, at most steps of the second half of the run."""
    befores = case.curves("gradient_norm_before")
    findings = []
    for index, clipped in enumerate(case.curves("clipped")):
        found = _of(case, clipped, befores[index] if index < len(befores) else None, limits)
        findings += [found] if found else []
    return findings


def _of(case: Case, clipped: Curve, before: Curve | None, limits: Limits) -> Finding | None:
    steps, values = clipped.steps, clipped.values
    late = steps >= steps[-1] - _LATE * (steps[-1] - steps[0])
    if values.size < _FEWEST or not late.any():
        return None
    share = float(np.nanmean(values[late]))
    beyond = _beyond(case, before, float(steps[late][0]))
    if share <= limits["share"] or beyond < limits["beyond"]:
        return None
    after = _after(case, float(steps[late][0]))
    first = _since(clipped, limits["share"])
    typical = after * beyond
    lines = [Line("share of steps that are clipped", clipped.name, steps, values, limits["share"])]
    if before is not None:
        lines.append(Line("gradient norm before clipping", before.name, before.steps, before.values, after))
    harmless = _cancels(case)
    clipped_by = (
        f"The gradient was clipped at {share:.0%} of the steps since step {steps[late][0]:,.0f}, from "
        f"{number(typical)} to {number(after)} at the median"
    )
    return Finding(
        rule="clip_saturated",
        severity=Severity.INFO if harmless else Severity.WARNING,
        layers=(),
        first_step=first,
        last_step=float(steps[-1]),
        message=f"{clipped_by}: "
        + ("the optimizer scales steps by itself." if harmless else "the clipping sets the size of the steps."),
        beyond=Beyond("share of steps that are clipped", share, limits["share"]),
        evidence=tuple(lines),
        remedies=(
            Remedy(
                "Raise the limit to about the 90th percentile of the norm.",
                f"torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm={float(f'{2 * typical:.1g}'):g})",
            ),
            *(() if harmless else (Remedy("Lower the learning rate by as much, so that a step stays as large."),)),
            Remedy("Look for what makes the gradient so large: the scale of inputs, targets and weights."),
        ),
        excluded=(
            "Not the beginning of the run, where it is common: the second half is judged.",
            "Not an outlier now and then, as in recurrent networks: most steps are clipped.",
        ),
        view="overview",
    )


def _cancels(case: Case) -> bool:
    """Whether a scale that all gradients share cancels in the steps, and the loss does not stand."""
    names = [group.optimizer for _, group in case.network.groups]
    loss = training(case)
    stands = loss is not None and loss.has_scale and loss.learned < _STANDS
    return bool(names) and not stands and all(name in _SCALES for name in names)


def _after(case: Case, since: float) -> float:
    """Return the norm of the gradient that the optimizer got, at the median."""
    norms = movement(case, range(len(case.network.layers))).gradient[case.steps >= since]
    return float(nanmedian(norms[:, None])[0]) if norms.size else np.nan


def _beyond(case: Case, before: Curve | None, since: float) -> float:
    """Return by how much the gradient was above what was left of it, at the median; infinite where that is unknown."""
    if before is None:
        return np.inf
    norms = before.values[before.steps >= since]
    after = _after(case, since)
    return float(nanmedian(norms[:, None])[0] / after) if norms.size and after > 0 else np.inf


def _since(clipped: Curve, share: float) -> float:
    """Return the step from which on most steps are clipped."""
    width = min(_EACH, clipped.values.size)
    shares = np.convolve(np.nan_to_num(clipped.values), np.ones(width) / width, mode="valid")
    few = np.flatnonzero(shares <= share)
    return float(clipped.steps[min(int(few[-1]) + 1, clipped.steps.size - 1)]) if few.size else float(clipped.steps[0])


RULE = Rule(
    id="clip_saturated",
    title="Gradients clipped at most steps",
    needs=(needs.statistics("gradient_norm"), needs.records(1), needs.curve("clipped", "clipping was seen", _FEWEST)),
    thresholds=(
        Threshold("share", 0.5, "share of the steps of the second half that are clipped", 0.01, 1.0),
        Threshold("beyond", 5.0, "gradient norm before clipping over that after it", 1.0, 1e6),
    ),
    find=find,
)
