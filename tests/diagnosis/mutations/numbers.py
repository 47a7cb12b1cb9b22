"""Faults of the numbers: weights in types whose steps are coarse or whose range is short."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tests.diagnosis.mutations.mutation import EFFECTS, Mutation, Site, need
from tests.diagnosis.mutations.steps import rate

SLOW = 0.01


def of_type(dtype: torch.dtype, *, slow: float = 1.0) -> Callable[[Site], None]:
    """Return what keeps the weights in a short type; inputs and outputs are converted, so that nothing else notices."""

    def shorten(site: Site) -> None:
        need(site.groups, "an optimizer")
        types = {parameter.dtype for parameter in site.model.parameters()}
        need(types == {torch.float32}, "network in float32")
        site.model.to(dtype)
        site.model.register_forward_pre_hook(_to_weights, with_kwargs=True)
        site.model.register_forward_hook(_to_the_usual)
        rate(slow)(site)

    return shorten


def _to_weights(
    model: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return inputs in the type that the weights have now, which in a proof is another one."""
    dtype = next(model.parameters()).dtype

    def convert(value: Any) -> Any:
        return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value

    return tuple(convert(one) for one in inputs), {name: convert(one) for name, one in keywords.items()}


def _to_the_usual(_model: nn.Module, _inputs: object, outputs: Any) -> Any:
    """Return outputs in float32, where they are in a shorter type."""
    if isinstance(outputs, tuple):
        return tuple(_lengthened(one) for one in outputs)
    return _lengthened(outputs)


def _lengthened(value: Any) -> Any:
    short = isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16)
    return value.float() if short else value


MUTATIONS = (
    Mutation("float16", ("low_precision_underflow", "nonfinite"), EFFECTS, at_watch=of_type(torch.float16)),
    Mutation(
        "bfloat16-slow",
        ("low_precision_underflow",),
        (*EFFECTS, "lr_too_low"),
        at_watch=of_type(torch.bfloat16, slow=SLOW),
    ),
)
