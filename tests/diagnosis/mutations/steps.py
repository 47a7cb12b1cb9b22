"""Faults of the steps: rates, gradients that are kept or clipped, and decay."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn
from torch.optim import SGD, Optimizer

from tests.diagnosis.mutations.mutation import EFFECTS, Mutation, Site, need

HIGH, HIGHEST, LOW = 30.0, 300.0, 1e-4
CLIP = 1e-3
DECAY_OF_A_STEP, DECAY_IN_THE_GRADIENT = 0.1, 3.0
_OF_GROUPS = ("lr", "initial_lr", "max_lr", "min_lr")
_OF_SCHEDULES = ("base_lrs", "max_lrs")


def rate(factor: float) -> Callable[[Site], None]:
    """Return what multiplies the learning rate, and all that schedules make it of."""

    def scale(site: Site) -> None:
        for group in site.groups:
            group.update({name: group[name] * factor for name in _OF_GROUPS if name in group})
        for schedule in site.schedules:
            if any(schedule.optimizer is optimizer for optimizer in site.optimizers):
                of_it = vars(schedule)
                of_it.update({name: [one * factor for one in of_it[name]] for name in _OF_SCHEDULES if name in of_it})
                if "eta_min" in of_it:
                    of_it["eta_min"] *= factor

    return scale


def kept(site: Site) -> None:
    """Let nothing set gradients to zero."""
    need(site.optimizers, "an optimizer")
    site.missing = "call of zero_grad"

    def nothing(*_arguments: object, **_keywords: object) -> None:
        site.missing = ""

    for one in (*site.optimizers, *site.model.modules()):
        vars(one)["zero_grad"] = nothing


def clipped(site: Site) -> None:
    """Clip gradients to next to nothing, just before each step."""
    need(site.optimizers, "an optimizer")
    site.missing = "step without a closure"

    def clip(optimizer: Optimizer, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> None:
        if not any(callable(one) for one in (*arguments[1:], *keywords.values())):
            site.missing = ""
            nn.utils.clip_grad_norm_([one for group in optimizer.param_groups for one in group["params"]], CLIP)

    for optimizer in site.optimizers:
        optimizer.register_step_pre_hook(clip)


def decay(site: Site) -> None:
    """Let weights decay faster than they learn: by a tenth a step where the decay stands beside the gradient."""
    need(all("weight_decay" in group for group in site.groups), "weight decay")
    for optimizer in site.optimizers:
        for group in optimizer.param_groups:
            apart = isinstance(optimizer, SGD) or group.get("decoupled_weight_decay")
            highest = max(float(group[name]) for name in _OF_GROUPS if name in group)  # It may begin at 0.
            need(highest, "learning rate")
            group["weight_decay"] = DECAY_OF_A_STEP / highest if apart else DECAY_IN_THE_GRADIENT


MUTATIONS = (
    Mutation("rate-high", ("lr_too_high",), EFFECTS, at_watch=rate(HIGH)),
    Mutation("rate-highest", ("lr_too_high",), EFFECTS, at_watch=rate(HIGHEST)),
    Mutation("rate-low", ("lr_too_low",), ("underfitting", "loss_plateau"), at_watch=rate(LOW)),
    Mutation("gradients-kept", ("missing_zero_grad",), (*EFFECTS, "lr_too_high"), by_harm=False, at_watch=kept),
    Mutation(
        "gradients-clipped",
        ("clip_saturated",),
        ("lr_too_low", "underfitting", "loss_plateau"),
        at_watch=clipped,
    ),
    Mutation("decay", ("over_regularised",), EFFECTS, at_watch=decay),
)
