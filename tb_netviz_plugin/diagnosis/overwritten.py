"""First steps that leave nothing of some weights, since gradients grow so on their way to them."""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.analysis.wording import fold, layer_name, number
from tb_netviz_plugin.diagnosis.answers import guess
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.causes import AT_ONCE
from tb_netviz_plugin.diagnosis.course import training
from tb_netviz_plugin.diagnosis.depth import rise
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.movement import matrices
from tb_netviz_plugin.diagnosis.starts import BEGINNING

_ALL_OF_THEM = 0.9
"""Norm of a step over that of the weights behind it from which on these are what the step made them."""
_MOST_OF_THEM = 0.5
"""The same from which on most of them is."""
_DEEP = 10
"""Layers from which on a network is deep."""
_SOME, _END = 0.1, 0.25
"""Share of the layers that the first step overwrites at least, and of those next to the output."""
_USUAL = 0.1
"""Norm of a step over that of the weights up to which the rate is none that overwrites them by itself."""
_LEARNED, _GUESSED = 0.5, 0.5
"""Share of its first value by which a loss has fallen, and of what guessing costs below which it lies, where that did
no harm."""

_REMEDIES = (
    Remedy("Lead the gradient around the layers: add the input of a block to its output.", "x = x + block(x)"),
    Remedy(
        "Clip the norm of all gradients together.",
        "torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)  # between backward() and step()",
    ),
    Remedy("Raise the learning rate from next to zero over the first steps."),
)


def is_overwritten(case: Case, layer: int) -> bool:
    """Whether the first step leaves nothing of a layer's matrices, so that what made its gradient grow is gone, too."""
    ratios = case.of_parameters("update_ratio")[matrices(case, [layer]), :1]
    return bool(ratios.size) and bool(np.nan_to_num(ratios).max() >= _ALL_OF_THEM)


def at_first_step(case: Case, layers: list[int], factor: float) -> Finding | None:
    """Find a deep network whose gradient grows so towards the input that the first step overwrites what lies there.

    What grew is gone then, as of layers that are normalised: larger weights make their gradients smaller.
    """
    held = [layer for layer in layers if matrices(case, [layer])]
    if len(held) < _DEEP or not case.steps.size or case.steps[0] > BEGINNING or _learns(case, layers):
        return None
    risen = rise(case.numbers("gradient_norm")[held][:, :1])
    updates = case.numbers("update_ratio")[held][:, 0]
    end = updates[-max(1, int(_END * len(held))) :]
    gone = [layer for layer, update in zip(held, updates, strict=True) if update >= _MOST_OF_THEM]
    if not risen.size[0] >= np.log10(factor) or len(gone) < _SOME * len(held) or not np.nanmax(end) <= _USUAL:
        return None
    profile = risen.profile[:, 0]
    low = int(np.nanargmin(profile))
    high = int(np.nanargmax(profile[: low + 1]))
    (begin, finish), step = (layer_name(case.network, held[at]) for at in (low, high)), float(case.steps[0])
    grown = float(10 ** (profile[high] - profile[low]))
    norms = case.numbers("gradient_norm")
    return Finding(
        rule="exploding_gradient",
        severity=Severity.WARNING,
        layers=tuple(gone),
        first_step=step,
        last_step=step,
        message=f"At step {step:,.0f} the gradient grows {fold(grown)} from {begin} down to {finish}: its norm is "
        f"{number(float(10 ** profile[low]))} there and {number(float(10 ** profile[high]))} here, so that the step "
        f"changes the weights by {float(updates[low]):.0%} and {float(updates[high]):.0%} of their norm, and leaves "
        f"little of those of {len(gone):,} layers.",
        beyond=Beyond("factor between two depths", grown, factor),
        evidence=tuple(
            Line(layer_name(case.network, held[at]), "gradient_norm", case.steps, norms[held[at]]) for at in (low, high)
        ),
        remedies=_REMEDIES,
        excluded=("Not a learning rate that is too high for all layers: those next to the output hardly move.",),
        subject=AT_ONCE,
    )


def _learns(case: Case, layers: list[int]) -> bool:
    """Whether the network learned all the same, or nothing is known of that."""
    loss, guessing = training(case), guess(case, case.network.layers[layers[0]].model)
    if loss is None or not loss.has_scale or loss.learned >= _LEARNED:
        return True
    return guessing is not None and loss.end <= _GUESSED * guessing
