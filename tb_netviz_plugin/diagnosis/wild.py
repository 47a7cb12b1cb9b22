"""Gradients that leap by orders of magnitude from record to record, as those through a simulator that is chaotic."""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.analysis.wording import layer_name, number
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.course import training
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.movement import total

_LEAPS, _UNKNOWN = 2.5, 2.0
"""Factor between the gradients of one record and the next, up or down, at the median; and so many times that there
is no loss that the gradient could be compared with."""
_ALWAYS, _LARGE = 0.8, 1e3
"""Share of the records at which the norm of the gradient times that of the weights is so many times the loss at least,
or of 10 where there is none."""
_RECORDS = 40
"""Records from which on leaps are no matter of a few."""
_LEARNED = 0.5
"""Share of its first value by which a loss has fallen where they do no harm."""

_REMEDIES = (
    Remedy(
        "Clip the norm of all gradients together.",
        "torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)  # between backward() and step()",
    ),
    Remedy("Backpropagate through fewer steps of what is simulated or unrolled.", "state = state.detach()"),
    Remedy("Estimate the gradient of what is chaotic from rewards, as policy gradients do."),
)


def wild(case: Case, layers: list[int]) -> Finding | None:
    """Find a gradient that is huge all the time, and of another order of magnitude at each record."""
    norms = case.numbers("gradient_norm")[layers]
    gradients, weights = total(norms), total(case.numbers("weight_norm")[layers])
    known = np.flatnonzero((gradients > 0) & (weights > 0))
    loss = training(case)
    if known.size < _RECORDS or (loss is not None and loss.has_scale and loss.learned >= _LEARNED):
        return None
    leaps = float(10 ** np.median(np.abs(np.diff(np.log10(gradients[known])))))
    factor, scale = _UNKNOWN * _LEAPS, np.full(known.size, 10.0)
    if loss is not None and loss.has_scale:
        factor, scale = _LEAPS, np.interp(case.steps[known], loss.steps, np.abs(loss.values))
    if leaps < factor or (gradients[known] * weights[known] >= _LARGE * scale).mean() < _ALWAYS:
        return None
    low, high = np.quantile(gradients[known], (0.1, 0.9))
    worst = np.nan_to_num(norms[:, known]).max(axis=1)
    blamed = tuple(layers[at] for at in np.argsort(-worst, kind="stable") if worst[at] >= worst.max() / 10)
    first, last = (float(case.steps[known[at]]) for at in (0, -1))
    return Finding(
        rule="exploding_gradient",
        severity=Severity.WARNING,
        layers=blamed,
        first_step=first,
        last_step=last,
        message=f"From record to record the norm of the gradient changes {leaps:.2g}-fold, at the median: it lies "
        f"between {number(float(low))} and {number(float(high))} in four of five, from step {first:,.0f} to step "
        f"{last:,.0f}, and is largest in {layer_name(case.network, blamed[0])}: something unrolled or simulated "
        f"makes small differences large.",
        beyond=Beyond("factor from record to record", leaps, factor),
        evidence=(Line("gradient norm of all layers", "gradient_norm", case.steps, gradients),),
        remedies=_REMEDIES,
        excluded=(
            "Not single batches: it is so from each record to the next.",
            "Not a loss of a large scale, whose gradient would be as large all the time.",
        ),
    )
