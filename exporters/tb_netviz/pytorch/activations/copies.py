"""Whether other processes train the same model as this one, so that its units are the same ones there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from tb_netviz.pytorch.shards import is_sharded, reason_to_omit
from tb_netviz.pytorch.structure import named_modules


def fingerprint(model: nn.Module, name: str) -> str:
    """Return what copies of a model have in common before they are trained.

    Args:
        model: The model.
        name: Under which it is recorded.
    """
    modules = [(place, type(module).__name__) for place, module in named_modules(model)]
    return hashlib.sha256(repr((name, modules)).encode()).hexdigest()[:16]


def digest(model: nn.Module) -> str:
    """Return what only copies have in common that are trained together: a few of their weights and gradients.

    It is taken before an optimizer's first step, when processes that train together have the same gradients, too, and
    those that have begun with the same weights by chance have not. On an accelerator it waits for the backward pass.
    """
    state = hashlib.sha256()
    for sample in _samples(model):
        state.update(sample.to("cpu", torch.float64).numpy().tobytes())
    return state.hexdigest()[:16]


def _samples(model: nn.Module) -> Iterator[Tensor]:
    """Yield the first and last elements of whole weights and gradients, in a tensor for each device and type."""
    held: dict[Any, list[Tensor]] = {}
    for parameter in model.parameters():
        if is_sharded(parameter) or reason_to_omit(parameter) or nn.parameter.is_lazy(parameter):
            continue
        for tensor in (parameter.detach(), parameter.grad):
            if type(tensor) is Tensor and tensor.layout is torch.strided and tensor.numel() and not tensor.is_meta:
                first, last = (0,) * tensor.ndim, (-1,) * tensor.ndim
                held.setdefault((tensor.device, tensor.dtype), []).extend((tensor[first], tensor[last]))
    for elements in held.values():
        stacked = torch.stack(elements)
        yield torch.view_as_real(stacked) if stacked.is_complex() else stacked
