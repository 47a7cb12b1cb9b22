"""`unused_parameter`: layers that ask for a gradient and never get one."""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.analysis.derive import State
from tb_netviz_plugin.analysis.wording import subject
from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.rule import Limits, Rule, Threshold

_REMEDIES = (
    Remedy("Call it in `forward`, on the way from the input to the loss."),
    Remedy("Don't cut the graph in front of it: look for `.detach()`, `.data`, `.item()` and `torch.no_grad()`."),
    Remedy("If it is unused on purpose, freeze it, or take it out.", "layer.requires_grad_(False)"),
)


def find(case: Case, limits: Limits) -> list[Finding]:
    """Find layers that never had a gradient though they ask for one, while others had."""
    states = case.statistic("gradient_norm").states
    there = np.isin(states, (State.NUMBER, State.NONFINITE))
    without = (states == State.NO_GRADIENT) & there.any(axis=0)
    never = ~case.frozen & ~there.any(axis=1) & (without.sum(axis=1) >= limits["records"])
    layers = np.flatnonzero(never).tolist()
    if not layers:
        return []
    seen = np.flatnonzero(without[layers].any(axis=0))
    with_gradient = there.any(axis=1)
    return [
        Finding(
            rule="unused_parameter",
            severity=Severity.WARNING,
            layers=tuple(layers),
            first_step=float(case.steps[seen[0]]),
            last_step=float(case.steps[seen[-1]]),
            message=f"{subject(case.network, layers)} never had a gradient in {seen.size:,} records, while "
            f"{int(with_gradient.sum()):,} other layers had: nothing that the loss depends on uses "
            f"{'it' if len(layers) == 1 else 'them'}.",
            beyond=Beyond("records without a gradient", float(without[layers].sum(axis=1).min()), limits["records"]),
            evidence=(
                Line(
                    "layers without a gradient",
                    "gradient_norm",
                    case.steps,
                    without.sum(axis=0).astype(np.float64),
                    0.5,
                ),
            ),
            remedies=_REMEDIES,
            excluded=("They are not frozen: requires_grad is on.",),
        )
    ]


RULE = Rule(
    id="unused_parameter",
    title="Unused parameters",
    needs=(needs.statistics("gradient_norm"), needs.records(2)),
    thresholds=(Threshold("records", 5, "records without a gradient", 2, 1_000),),
    find=find,
)
