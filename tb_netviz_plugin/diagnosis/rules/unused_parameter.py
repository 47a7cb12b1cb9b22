"""`unused_parameter`: layers, and single parameters of layers, that ask for a gradient and never get one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tb_netviz_plugin.analysis.derive import State
from tb_netviz_plugin.analysis.records import Bools
from tb_netviz_plugin.analysis.wording import listed, subject
from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.causes import PARTS
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
_OF_PARTS = (
    Remedy(
        "See which part of the layer's output is used: of a bidirectional layer `output[:, -1]` holds a backward half "
        "that has read one place.",
        "forwards, backwards = hidden[-2], hidden[-1]\nlast = torch.cat([forwards, backwards], dim=1)",
    ),
    Remedy("Use it in `forward`, on the way from the input to the loss."),
    Remedy("If it is unused on purpose, take it out, or freeze it.", "parameter.requires_grad_(False)"),
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
    parts = _parts(case, limits)
    if not layers:
        return parts
    others = int(there.any(axis=1).sum())
    if not others and (np.nan_to_num(case.column("update_norm")) > 0).any():
        return []  # Weights that move have a gradient that one can't see, or an optimizer that needs none.
    found = _beside_others(case, limits, layers, without, others) if others else _of_all(case, limits, layers, without)
    return [found, *parts]


def _parts(case: Case, limits: Limits) -> list[Finding]:
    """Find single parameters without a gradient in layers that have one; of matrices, one of zeros alone is none.

    Beside a matrix that has one: where inputs are zero a bias has one nevertheless, and a bias may well drop out.
    """
    norms, missing = case.column("grad_norm"), case.without_gradient
    found: list[tuple[int, Bools]] = []
    for layer in case.network.layers:
        rows = [row for row in layer.parameters if case.network.parameters[row].parameter.name.split(".")[-1] != "bias"]
        sizes = {row: len(case.network.parameters[row].parameter.shape) for row in rows}
        learns = np.nan_to_num(norms[[row for row in rows if sizes[row] > 1]]).max(axis=0, initial=0.0) > 0
        for row in rows:
            without = learns & (missing[row] | ((norms[row] == 0) & (sizes[row] > 1)))
            never = not case.network.parameters[row].parameter.frozen and not (np.nan_to_num(norms[row]) > 0).any()
            if never and without.sum() >= limits["records"]:
                found.append((row, without))
    return [_of_parts(case, limits, found)] if found else []


def _of_parts(case: Case, limits: Limits, found: Sequence[tuple[int, Bools]]) -> Finding:
    rows = [row for row, _ in found]
    names = [case.network.parameters[row].name for row in rows]
    zero = "" if case.without_gradient[rows].any() else " but exactly 0"
    counts = np.sum([without for _, without in found], axis=0).astype(np.float64)
    seen = np.flatnonzero(counts)
    return Finding(
        rule="unused_parameter",
        severity=Severity.WARNING,
        layers=tuple(dict.fromkeys(case.network.parameters[row].layer for row in rows)),
        first_step=float(case.steps[seen[0]]),
        last_step=float(case.steps[seen[-1]]),
        message=f"{listed(names)} never had a gradient{zero} in {seen.size:,} records, while the rest of "
        f"the layer had: nothing that the loss depends on uses {'it' if len(rows) == 1 else 'them'}.",
        beyond=Beyond("records without a gradient", float(min(one.sum() for _, one in found)), limits["records"]),
        evidence=(Line("parameters without a gradient", "gradient_norm", case.steps, counts, 0.5),),
        remedies=_OF_PARTS,
        excluded=(
            "It is not frozen: requires_grad is on.",
            "Not a gradient that vanishes on the way: the rest of the layer has one.",
        ),
        subject=PARTS,
    )


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
