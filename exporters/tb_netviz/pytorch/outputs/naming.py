"""Which of torch's losses a functional loss is, from the nodes of its graph."""

from __future__ import annotations

from collections import deque
from typing import Any

from torch import Tensor

_MOST_NODES = 16
"""Nodes that are looked at: a loss may be scaled, smoothed and averaged before it is given to us."""

_NAMES = {
    "MseLossBackward": "MSELoss",
    "SmoothL1LossBackward": "SmoothL1Loss",
    "HuberLossBackward": "HuberLoss",
    "BinaryCrossEntropyBackward": "BCELoss",
    "BinaryCrossEntropyWithLogitsBackward": "BCEWithLogitsLoss",
}
_NEGATIVE_LOG_LIKELIHOODS = ("NllLossBackward", "NllLoss2DBackward")
_VIEWS = ("ViewBackward", "UnsafeViewBackward", "ReshapeAliasBackward")


def name_of_loss(loss: object) -> str:
    """Return the type of the loss, such as "CrossEntropyLoss" for `F.cross_entropy`; empty where it can't be told."""
    waiting: deque[Any] = deque([loss.grad_fn] if isinstance(loss, Tensor) else [])
    for _ in range(_MOST_NODES):
        node = waiting.popleft() if waiting else None
        if node is None:
            continue
        name = _kind(node)
        if name in _NAMES:
            return _NAMES[name]
        if name in _NEGATIVE_LOG_LIKELIHOODS:
            return "CrossEntropyLoss" if _follows_a_log_softmax(node) else "NLLLoss"
        waiting.extend(below for below, _ in node.next_functions)
    return ""


def _follows_a_log_softmax(node: Any) -> bool:
    below = node.next_functions[0][0]
    while below is not None and _kind(below) in _VIEWS:
        below = below.next_functions[0][0]
    return below is not None and _kind(below) == "LogSoftmaxBackward"


def _kind(node: Any) -> str:
    """Return the name of a node without its number."""
    return str(node.name()).rstrip("0123456789")
