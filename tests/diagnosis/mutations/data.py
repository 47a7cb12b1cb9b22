"""Faults of the data: their scale, a value that is none, wrong labels, too few samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tests.diagnosis.data import Part
from tests.diagnosis.mutations.mutation import EFFECTS, Mutation, Site
from tests.diagnosis.mutations.places import is_measured

SCALE, SHIFT = 60.0, 120.0
NAN_AT = 60
WRONG_SHARE = 0.5
KEPT_SHARE, FEWEST_KEPT = 1 / 40, 20
_SEED = 5


def raw(site: Site) -> None:
    """Give the network its inputs on a scale far from 1 and far from 0, in training and wherever else it is called."""
    _change_inputs(site, "input of numbers", lambda inputs: inputs * SCALE + SHIFT)


def nan(site: Site) -> None:
    """Make one value NaN, in the sixtieth forward pass of the training."""
    passes = 0

    def spoil(inputs: Tensor) -> Tensor | None:
        nonlocal passes
        if not (site.model.training and torch.is_grad_enabled()):
            return None
        passes += 1
        if passes != NAN_AT:
            return None
        spoilt = inputs.clone(memory_format=torch.contiguous_format)
        spoilt.view(-1)[0] = torch.nan
        return spoilt

    _change_inputs(site, f"{NAN_AT}th forward pass with numbers", spoil)


def _change_inputs(site: Site, missing: str, change: Callable[[Tensor], Tensor | None]) -> None:
    """Change the first batch of numbers among the inputs, where `change` gives one."""
    site.missing = missing

    def hook(_model: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        at = next((at for at, one in enumerate(inputs) if is_measured(one)), None)
        changed = None if at is None else change(inputs[at])
        if at is None or changed is None:
            return inputs
        site.missing = ""
        return (*inputs[:at], changed, *inputs[at + 1 :])

    site.model.register_forward_pre_hook(hook)


def half_wrong(part: Part) -> Part:
    """Return it with half of the targets permuted."""
    generator = torch.Generator().manual_seed(_SEED)
    wrong = (torch.rand(len(part.targets), generator=generator) < WRONG_SHARE).nonzero()[:, 0]
    targets = part.targets.clone()
    targets[wrong] = part.targets[wrong[torch.randperm(len(wrong), generator=generator)]]
    return Part(part.inputs, targets)


def few(part: Part) -> Part:
    """Return a fortieth of it."""
    return part.first(max(FEWEST_KEPT, int(KEPT_SHARE * len(part.targets))))


MUTATIONS = (
    Mutation("inputs-raw", ("input_unnormalised",), (*EFFECTS, "lr_too_high"), at_watch=raw),
    Mutation("input-nan", ("nonfinite",), at_watch=nan),
    Mutation("labels-half-wrong", ("label_noise",), ("overfitting", "underfitting"), at_split=half_wrong),
    Mutation("samples-few", ("overfitting",), at_split=few),
)
