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


_ROUNDING = 1e-6
"""Shares that differ by less are the same."""


@dataclass(frozen=True, slots=True)
class _Onset:
    """Where it began.

    Attributes:
        step: Last step of the first record.
        layers: The layers, the first one to show it first.
        where: In words.
        share: Of the values of the layer that shows it most, over the steps of the record.
        modules: Those without weights that showed it before any layer, as a softmax or a normalisation.
    """

    step: float
    layers: tuple[int, ...]
    where: str
    share: float
    modules: tuple[str, ...] = ()


def find(case: Case, _limits: Limits) -> list[Finding]:
    """Find NaN or infinite gradients, outputs or losses, from the first record that has one."""
    gradients = case.statistic("gradient_nonfinite").states == State.NONFINITE
    onset = _onset(case, gradients)
    if onset is None:
        return []
    spoiled = gradients.any(axis=0)
    last = float(case.steps[np.flatnonzero(spoiled)[-1]]) if spoiled.any() else onset.step
    goes_on = bool(spoiled.size) and bool(spoiled[-1])
    counts = gradients.sum(axis=0).astype(np.float64)
    return [
        Finding(
            rule="nonfinite",
            severity=Severity.CRITICAL if goes_on else Severity.WARNING,
            layers=onset.layers,
            modules=onset.modules,
            first_step=onset.step,
            last_step=last,
            message=f"{onset.where} at step {onset.step:,.0f}{_reach(gradients, last, goes_on=goes_on)}.",
            beyond=Beyond("layers with gradients that are not finite", float(counts.max(initial=0)), 0.0),
            evidence=(
                Line("layers with gradients that are not finite", "gradient_nonfinite", case.steps, counts, 0.5),
            ),
            remedies=_REMEDIES,
            excluded=_excluded(case, onset.step),
        )
    ]


def _onset(case: Case, gradients: Bools) -> _Onset | None:
    """Return where it began: what is seen first and, in a record of several steps, at most of them."""
    backward = _in_gradients(case, gradients)
    outputs = _in_outputs(case, backward)
    if outputs is None or (backward is not None and backward.step < outputs.step):
        return backward or _in_loss(case)
    return outputs


def _reach(gradients: Bools, last: float, *, goes_on: bool) -> str:
    """Say how far it spread, and whether it passed."""
    layers = int(gradients.sum(axis=0).max(initial=0))
    if not layers:
        return ""
    if goes_on:
        return f"; by step {last:,.0f} {layers:,} of {len(gradients):,} layers had such gradients"
    return f"; it passed: after step {last:,.0f} all gradients are finite again"


def _in_outputs(case: Case, backward: _Onset | None) -> _Onset | None:
    """Return the first output of the forward pass, at the first record with one; None where a gradient came before it.

    In a record of several steps, a gradient spoils the weights, and these all outputs of the steps that follow. What
    began it was spoiled before, at more than those.
    """
    if "activation_nonfinite" not in case.recorded:
        return None
    shares = case.numbers_or_more("activation_nonfinite")
    if not (shares > 0).any():
        return None
    at = int(np.flatnonzero((shares > 0).any(axis=0))[0])
    step, followed = float(case.activation_steps[at]), 0.0
    if backward is not None and backward.step == step:
        followed = max(backward.share - 1 / _observations(case, step), 0.0)
    spoiled = np.flatnonzero(shares[:, at] > (followed + _ROUNDING if followed else 0.0))
    if not spoiled.size:
        return None
    rows = [case.network.activations[row] for row in spoiled]
    layers = dict.fromkeys(row.layer for row in rows if row.layer is not None)
    where = f"The output of {rows[0].label} was the first that was not finite,"
    modules = (rows[0].module,) if rows[0].layer is None else ()
    return _Onset(step, tuple(layers), where, float(shares[:, at].max()), modules)


def _observations(case: Case, step: float) -> float:
    """Return how many steps the record of the parameters that ends at `step` holds."""
    counts = case.observations[case.steps == step]
    return float(counts[0]) if counts.size and counts[0] >= 1 else 1.0


def _in_gradients(case: Case, spoiled: Bools) -> _Onset | None:
    if not spoiled.any():
        return None
    at = int(np.flatnonzero(spoiled.any(axis=0))[0])
    shares = case.numbers_or_more("gradient_nonfinite")[:, at]
    # The backward pass begins at the output.
    layers = sorted(np.flatnonzero(spoiled[:, at])[::-1].tolist(), key=lambda layer: -shares[layer])
    first = f"{layer_name(case.network, layers[0])}'s gradient was"
    others = f", with those of {len(layers) - 1:,} more layers" if len(layers) > 1 else ""
    where = f"{first} not finite{others},"
    return _Onset(float(case.steps[at]), tuple(layers), where, float(shares.max()))


def _in_loss(case: Case) -> _Onset | None:
    """Return the first training loss that was not finite, where no gradient and no output was."""
    loss = case.curve("train_loss")
    if loss is None or not (loss.nonfinite > 0).any():
        return None
    at = int(np.flatnonzero(loss.nonfinite > 0)[0])
    return _Onset(float(loss.steps[at]), (), f"{loss.name} was not finite", 1.0)


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
