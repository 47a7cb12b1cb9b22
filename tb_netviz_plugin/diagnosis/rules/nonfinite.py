"""`nonfinite`: NaN or infinite values, and where they began."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tb_netviz_plugin.analysis.derive import State
from tb_netviz_plugin.analysis.records import Bools
from tb_netviz_plugin.analysis.wording import layer_name
from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.rule import Limits, Rule

_REMEDIES = (
    Remedy(
        "Let torch name the operation; that slows training down, so take it out afterwards.",
        "torch.autograd.set_detect_anomaly(True)",
    ),
    Remedy(
        "Clip the gradient, and lower the learning rate.",
        "torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)",
    ),
    Remedy("Keep the arguments of log, sqrt and divisions away from zero.", "torch.log(x.clamp_min(1e-8))"),
    Remedy("Look for NaN in the data.", "assert torch.isfinite(inputs).all()"),
)


@dataclass(frozen=True, slots=True)
class _Onset:
    """Where it began.

    Attributes:
        step: Last step of the first record.
        layers: The layers, the first one to show it first.
        where: In words.
    """

    step: float
    layers: tuple[int, ...]
    where: str


def find(case: Case, _limits: Limits) -> list[Finding]:
    """Find NaN or infinite gradients and outputs, from the first record that has one."""
    gradients = case.statistic("gradient_nonfinite").states == State.NONFINITE
    onsets = [onset for onset in (_in_outputs(case), _in_gradients(case, gradients)) if onset]
    if not onsets:
        return []
    onset = min(onsets, key=lambda one: one.step)  # Outputs first: gradients follow from them.
    spoiled = gradients.any(axis=0)
    last = case.steps[np.flatnonzero(spoiled)[-1]] if spoiled.any() else onset.step
    goes_on = bool(spoiled.size) and bool(spoiled[-1])
    counts = gradients.sum(axis=0).astype(np.float64)
    reach = f"; by step {last:,.0f} {int(counts.max()):,} of {len(gradients):,} layers had such gradients"
    return [
        Finding(
            rule="nonfinite",
            severity=Severity.CRITICAL if goes_on else Severity.WARNING,
            layers=onset.layers,
            first_step=onset.step,
            last_step=last,
            message=f"{onset.where} at step {onset.step:,.0f}{reach if spoiled.any() else ''}.",
            beyond=Beyond("layers with gradients that are not finite", float(counts.max(initial=0)), 0.0),
            evidence=(
                Line("layers with gradients that are not finite", "gradient_nonfinite", case.steps, counts, 0.5),
            ),
            remedies=_REMEDIES,
            excluded=_excluded(case, onset.step),
        )
    ]


def _in_outputs(case: Case) -> _Onset | None:
    """Return the first output, in the order of the forward pass, at the first record that has one."""
    if "activation_nonfinite" not in case.recorded:
        return None
    spoiled = case.numbers_or_more("activation_nonfinite") > 0
    if not spoiled.any():
        return None
    at = int(np.flatnonzero(spoiled.any(axis=0))[0])
    rows = [case.network.activations[row] for row in np.flatnonzero(spoiled[:, at])]
    layers = dict.fromkeys(row.layer for row in rows if row.layer is not None)
    where = f"The output of {rows[0].label} was the first that was not finite,"
    return _Onset(float(case.activation_steps[at]), tuple(layers), where)


def _in_gradients(case: Case, spoiled: Bools) -> _Onset | None:
    if not spoiled.any():
        return None
    at = int(np.flatnonzero(spoiled.any(axis=0))[0])
    layers = [int(layer) for layer in np.flatnonzero(spoiled[:, at])[::-1]]  # The backward pass begins at the output.
    first = f"{layer_name(case.network, layers[0])}'s gradient was"
    others = f", with those of {len(layers) - 1:,} more layers" if len(layers) > 1 else ""
    return _Onset(float(case.steps[at]), tuple(layers), f"{first} not finite{others},")


def _excluded(case: Case, step: float) -> tuple[str, ...]:
    loss = case.curve("train_loss")
    if loss is None or not (loss.steps < step).any():
        return ()
    before = loss.values[loss.steps < step][-1]
    return (f"The loss was finite before: {before:.4g}.",) if np.isfinite(before) else ()


RULE = Rule(
    id="nonfinite",
    title="NaN or infinite values",
    needs=(needs.statistics("gradient_nonfinite"), needs.records(1)),
    thresholds=(),
    find=find,
)
