"""Losses that have no slope: the output itself gets a gradient of exactly zero, and so does all that lies before it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tb_netviz_plugin.analysis.derive import State
from tb_netviz_plugin.analysis.records import Bools
from tb_netviz_plugin.analysis.wording import number
from tb_netviz_plugin.diagnosis.answers import last_activation
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.causes import SLOPELESS
from tb_netviz_plugin.diagnosis.course import training
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.movement import stepped

_FEWEST = 20
"""Records of the gradient, and values of the loss, that tell."""
_NEARLY_ALL = 0.9
"""Share of the records from then on in which nothing gets a gradient: a sample or two may still do so by chance."""
_FALLS = 0.05
"""Share of its first value by which a loss falls at most that no longer has a slope since it is good enough."""
_SOLVED = 1e-4
"""Share of its first value below which a loss leaves nothing to learn."""
_SHORT = "float16"
"""A format in which what the loss hands back may be too small to be any number but 0."""

_REMEDIES = (
    Remedy(
        "Look for what in the loss has no slope: round, sign, argmax, a comparison, a clamp that its values lie beyond."
    ),
    Remedy(
        "Of boxes, take a loss that falls as they come nearer, before they touch.",
        'torchvision.ops.generalized_box_iou_loss(boxes, targets, reduction="mean")  # or F.smooth_l1_loss',
    ),
    Remedy(
        "See which part of the loss passes a gradient on.",
        "outputs.retain_grad()\nloss.backward()\nprint(outputs.grad.abs().max())",
    ),
)


def slopeless(case: Case) -> Finding | None:
    """Return that the loss gives no gradient, though it is no lower than at first, or None where it gives one."""
    return case.once("slopeless", lambda: _slopeless(case))


def _slopeless(case: Case) -> Finding | None:
    models = list(case.layers_of_models())
    loss = training(case)
    if len(models) != 1 or loss is None or loss.values.size < _FEWEST:  # One of several has a loss of its own.
        return None
    if loss.learned >= _FALLS or abs(loss.end) <= _SOLVED * abs(loss.start):
        return None
    layers = stepped(case, models[0])
    derived = case.statistic("gradient_max_abs", band=True)
    known = derived.states[layers] == State.NUMBER
    nothing = ~(known & (derived.high[layers] != 0)).any(axis=0)
    first = _since(nothing, known.any(axis=0))
    if first is None or not _none_at_the_output(case, models[0], float(case.steps[first])):
        return None
    steps, since = case.steps, float(case.steps[first])
    largest = np.where(known, derived.high[layers], 0.0).max(axis=0)
    share = float(nothing[first:].mean())
    return Finding(
        rule="loss_plateau",
        severity=Severity.CRITICAL,
        layers=(),
        first_step=since,
        last_step=float(steps[-1]),
        message=f"The loss itself gives no gradient: from step {since:,.0f} to step {steps[-1]:,.0f} that of the "
        f"output, and of all weights, is exactly zero in {share:.0%} of {len(steps) - first:,} records, while "
        f"{loss.name} is {number(loss.end)}, having begun at {number(loss.start)}.",
        beyond=Beyond("share of the records in which nothing gets a gradient", share, _NEARLY_ALL),
        evidence=(
            Line("largest |g| of all layers", "gradient_max_abs", steps, largest),
            Line(loss.name, loss.name, loss.steps, loss.values),
        ),
        remedies=_REMEDIES,
        excluded=(
            "Not a gradient that vanishes through the depth, nor units that are dead: the output gets none either.",
            "Not solved: the loss is no lower than at first.",
        ),
        view="overview",
        subject=SLOPELESS,
    )


def _since(nothing: Bools, known: Bools) -> int | None:
    """Return the first record, of enough, from which on nearly all are such; None where there is none."""
    indices = np.flatnonzero(known)
    held = nothing[indices]
    shares = np.cumsum(held[::-1])[::-1] / np.arange(len(held), 0, -1)
    begins = np.flatnonzero(held & (shares >= _NEARLY_ALL))
    return int(indices[begins[0]]) if begins.size and len(held) - begins[0] >= _FEWEST else None


def _none_at_the_output(case: Case, layers: Sequence[int], since: float) -> bool:
    """Whether what the network puts out gets no gradient from this step on, wherever that was measured."""
    row = last_activation(case, case.network.layers[layers[0]].model)
    if row is None or "output_gradient_norm" not in case.recorded or row.activation.dtype == _SHORT:
        return False
    norms = case.numbers("output_gradient_norm")[case.network.activations.index(row)]
    norms = norms[np.isfinite(norms) & (case.activation_steps >= since)]
    return bool(norms.size) and bool((norms == 0).mean() >= _NEARLY_ALL)
