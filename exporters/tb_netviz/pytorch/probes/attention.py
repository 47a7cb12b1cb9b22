"""Attention weights, wherever they are computed: in torch's own layer or in a function."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

Take = Callable[[Tensor], None]

_SOFTMAX = (functional.softmax, torch.softmax, Tensor.softmax)


class AttentionMode(TorchFunctionMode):
    """Hands over the weights of every attention that is computed by a function while it is on.

    Args:
        take: Gets them, [samples, heads, queries, keys].
    """

    def __init__(self, take: Take) -> None:
        super().__init__()
        self._take = take

    def __torch_function__(
        self, function: Any, types: Iterable[type], arguments: Sequence[Any] = (), keywords: Any = None
    ) -> Any:
        """Call `function` as it was meant, and look at it."""
        keywords = keywords or {}
        result = function(*arguments, **keywords)
        if function is functional.scaled_dot_product_attention:
            self._take(weights(*arguments, **keywords))
        elif function in _SOFTMAX and _is_attention(result, arguments, keywords):
            self._take(result)
        return result


def _is_attention(result: Tensor, arguments: Sequence[Any], keywords: dict[str, Any]) -> bool:
    """Whether a softmax is that of attention, written out: over the keys of [samples, heads, queries, keys]."""
    dim = keywords.get("dim", arguments[1] if len(arguments) > 1 else None)
    return result.ndim == 4 and dim in (-1, 3)


def weights(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Return what scaled_dot_product_attention multiplies `value` with, by its definition in torch's documentation."""
    del value, dropout_p
    if enable_gqa:
        key = key.repeat_interleave(query.size(-3) // key.size(-3), -3)
    scores = (query @ key.transpose(-2, -1)).float() * (1 / math.sqrt(query.size(-1)) if scale is None else scale)
    if is_causal:
        allowed = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        scores = scores.masked_fill(~allowed, -math.inf)
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, -math.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return torch.softmax(scores, dim=-1).nan_to_num(0.0)  # A query that may look nowhere has no weights.


_FURTHER = ("key_padding_mask", "need_weights", "attn_mask", "average_attn_weights", "is_causal")
"""Arguments of nn.MultiheadAttention after query, key and value."""


class Asked:
    """A call of nn.MultiheadAttention that is made to compute its weights by head, whatever the caller asked for.

    Args:
        arguments: What the caller gave.
        keywords: What it gave by name.
    """

    def __init__(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        further = dict(zip(_FURTHER, arguments[3:], strict=False)) | keywords
        self._wanted = further.get("need_weights", True)
        self._averaged = further.get("average_attn_weights", True)
        self.arguments = arguments[:3]
        self.keywords = further | {"need_weights": True, "average_attn_weights": False}

    def answer(self, output: Any) -> Any:
        """Return what the caller asked for, from an output with all weights."""
        result, found = output
        if not self._wanted:
            return result, None
        return (result, found.mean(-3)) if self._averaged else (result, found)
