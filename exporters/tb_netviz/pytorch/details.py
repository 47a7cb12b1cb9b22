"""A few words on a module: what its author would say of it at a blackboard."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

_LONGEST = 80
_USUAL_MOMENTUM = 0.1
"""That of torch's normalisations by batches."""


def detail_of(module: nn.Module) -> str:
    """Return sizes and settings of a module, such as "64 → 128, kernel 3×3, stride 2"; empty for containers."""
    for kinds, describe in _DETAILS:
        if isinstance(module, kinds):
            return describe(module)
    return _representation(module)


def dropout_of(module: nn.Module) -> float:
    """Return the share that a module of torch leaves out in training."""
    if isinstance(module, nn.modules.dropout._DropoutNd):
        return float(module.p)
    return float(module.dropout) if isinstance(module, nn.RNNBase | nn.MultiheadAttention) else 0.0


def _convolution(module: Any) -> str:
    words = [f"{module.in_channels} → {module.out_channels}", f"kernel {_product(module.kernel_size)}"]
    if set(module.stride) != {1}:
        words.append(f"stride {_product(module.stride)}")
    if module.groups != 1:
        words.append(f"{module.groups} groups")
    return ", ".join(words)


def _normalisation(module: Any) -> str:
    words = [f"{module.num_features} channels"]
    if module.track_running_stats and module.momentum != _USUAL_MOMENTUM:
        words.append("cumulative" if module.momentum is None else f"momentum {module.momentum:g}")
    return ", ".join(words)


def _product(sizes: Iterable[int]) -> str:
    return "×".join(map(str, sizes))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _representation(module: nn.Module) -> str:
    """What the module says of itself; its own code, hence on guard."""
    try:
        text = " ".join(module.extra_repr().split())
    except Exception:
        return ""
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


# The first that fits; attributes are those of the classes named, hence Any.
_DETAILS: tuple[tuple[type | tuple[type, ...], Callable[[Any], str]], ...] = (
    (torch.jit.ScriptModule, lambda _: "TorchScript"),
    (nn.modules.conv._ConvNd, _convolution),
    (nn.Linear, lambda module: f"{module.in_features} → {module.out_features}"),
    ((nn.Embedding, nn.EmbeddingBag), lambda module: f"{module.num_embeddings} × {module.embedding_dim}"),
    (nn.LayerNorm, lambda module: _product(module.normalized_shape)),
    (nn.GroupNorm, lambda module: f"{module.num_channels} channels in {module.num_groups} groups"),
    (nn.modules.batchnorm._NormBase, _normalisation),
    (
        nn.RNNBase,
        lambda module: f"{module.input_size} → {module.hidden_size}, {_count(module.num_layers, 'layer')}",
    ),
    (nn.MultiheadAttention, lambda module: f"{module.embed_dim}, {_count(module.num_heads, 'head')}"),
    ((nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.Flatten), lambda _: ""),
)
