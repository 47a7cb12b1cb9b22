"""`unused_parameter`: layers that ask for a gradient and never get one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tb_netviz_plugin.analysis.derive import State
from tb_netviz_plugin.analysis.records import Bools
from tb_netviz_plugin.analysis.wording import subject
from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.rule import Limits, Rule, Threshold

_CUT = (
    Remedy(
        "Look for what takes the loss out of the graph: `.item()`, `.detach()`, `.data`, NumPy, `torch.no_grad()`, a "
        "tensor that is made anew from it.",
        "assert loss.grad_fn is not None",
    ),
    Remedy("Call `backward` between the forward pass and the step.", "loss.backward()\noptimizer.step()"),
    Remedy("Forget the gradients after the step and not before it.", "optimizer.step()\noptimizer.zero_grad()"),
)
_REMEDIES = (
    Remedy("Call it in `forward`, on the way from the input to the loss."),
    Remedy("Don't cut the graph in front of it: look for `.detach()`, `.data`, `.item()` and `torch.no_grad()`."),
    Remedy("If it is unused on purpose, freeze it, or take it out.", "layer.requires_grad_(False)"),
)


def find(case: Case, limits: Limits) -> list[Finding]:
    """Find layers that never had a gradient though they ask for one."""
    states = case.statistic("gradient_norm").states
    there = np.isin(states, (State.NUMBER, State.NONFINITE))
    without: Bools = np.asarray(states == State.NO_GRADIENT)
    if there.any():
        without &= there.any(axis=0)
    never = ~case.frozen & ~there.any(axis=1) & (without.sum(axis=1) >= limits["records"])
    layers = np.flatnonzero(never).tolist()
    if not layers:
        return []
    others = int(there.any(axis=1).sum())
    if not others and (np.nan_to_num(case.column("update_norm")) > 0).any():
        return []  # Weights that move have a gradient that one can't see, or an optimizer that needs none.
    return [_beside_others(case, limits, layers, without, others) if others else _of_all(case, limits, layers, without)]


def _of_all(case: Case, limits: Limits, layers: list[int], without: Bools) -> Finding:
    """Return the finding of a run in which nothing had a gradient, though an optimizer made steps."""
    return replace(
        _beside_others(case, limits, layers, without, 0),
        severity=Severity.CRITICAL,
        message=f"No layer of {len(layers):,} had a gradient in {int(without.any(axis=0).sum()):,} records, though the "
        "optimizer made its steps: the loss on which `backward` is called does not depend on the weights.",
        remedies=_CUT,
    )


def _beside_others(case: Case, limits: Limits, layers: list[int], without: Bools, others: int) -> Finding:
    seen = np.flatnonzero(without[layers].any(axis=0))
    return Finding(
        rule="unused_parameter",
        severity=Severity.WARNING,
        layers=tuple(layers),
        first_step=float(case.steps[seen[0]]),
        last_step=float(case.steps[seen[-1]]),
        message=f"{subject(case.network, layers)} never had a gradient in {seen.size:,} records, while {others:,} "
        f"other layers had: nothing that the loss depends on uses {'it' if len(layers) == 1 else 'them'}.",
        beyond=Beyond("records without a gradient", float(without[layers].sum(axis=1).min()), limits["records"]),
        evidence=(
            Line("layers without a gradient", "gradient_norm", case.steps, without.sum(axis=0).astype(np.float64), 0.5),
        ),
        remedies=_REMEDIES,
        excluded=("They are not frozen: requires_grad is on.",),
    )


RULE = Rule(
    id="unused_parameter",
    title="Unused parameters",
    needs=(needs.statistics("gradient_norm"), needs.records(2)),
    thresholds=(Threshold("records", 5, "records without a gradient", 2, 1_000),),
    find=find,
)
