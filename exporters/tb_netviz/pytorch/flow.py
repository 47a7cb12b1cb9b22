"""Which linear layers feed each other with nothing that bends between them, as the graph of one forward pass tells."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

MAX_NODES = 20_000
"""Functions of a forward pass up to which its graph is gone through: that takes some 10 ms."""

_LINEAR = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NAME = re.compile(r"(.*)Backward\d*$")
# fmt: off
_ONE_OPERAND = frozenset((
    "View", "UnsafeView", "ReshapeAlias", "Alias", "AsStrided", "T", "Transpose", "Permute", "Expand", "Squeeze",
    "Unsqueeze", "Slice", "Select", "IndexSelect", "Clone", "ToCopy", "Neg", "Mean", "Sum", "AvgPool1D", "AvgPool2D",
    "AvgPool3D", "AdaptiveAvgPool1D", "AdaptiveAvgPool2D", "AdaptiveAvgPool3D", "NativeDropout", "ConstantPadNd",
    "UpsampleNearest2D", "UpsampleBilinear2D",
))
"""Functions that are linear in the one tensor that they get."""
_OTHERS_FIXED = frozenset((
    "Add", "Sub", "Mul", "Div", "Mm", "Addmm", "Bmm", "Baddbmm", "Mv", "Addmv", "SparseMm", "SparseAddmm",
    "Convolution", "Index", "ScatterAdd", "IndexAdd", "NativeBatchNorm", "CudnnBatchNorm",
))
"""Functions that are linear in each tensor where the others are weights or constants."""
_VIEWS = frozenset(("T", "Transpose", "Permute", "View", "Expand", "Unsqueeze", "ToCopy"))
"""Through which weights reach them."""
# fmt: on


class Flow:
    """Listens to modules as they leave a forward pass; only those that run once are known.

    It reads the graph of the backward pass and changes nothing of it; `forget` lets go of that.
    """

    def __init__(self) -> None:
        self._nodes: dict[int, Any] = {}
        self._repeated: set[int] = set()

    def left(self, module: nn.Module, output: object) -> None:
        """Hear of what a module puts out."""
        if not isinstance(module, _LINEAR):
            return
        if id(module) in self._nodes:
            self._repeated.add(id(module))
        elif isinstance(output, Tensor) and output.grad_fn is not None:
            self._nodes[id(module)] = output.grad_fn

    def pairs(self, outputs: object) -> tuple[tuple[int, int], ...]:
        """Return the ids of modules of which the first one's output goes to the second one alone, bent by nothing.

        Args:
            outputs: What the whole model puts out: tensors, in containers or not.
        """
        ends = [tensor.grad_fn for tensor in _tensors(outputs) if tensor.grad_fn is not None]
        users = _users(ends)
        owners = {node: key for key, node in self._nodes.items() if key not in self._repeated}
        found = ((key, _next(node, users, owners, ends)) for node, key in owners.items())
        return tuple((first, second) for first, second in found if second is not None)

    def forget(self) -> None:
        """Let go of the graph."""
        self._nodes.clear()


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _tensors(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)


def _users(ends: list[Any]) -> dict[Any, list[Any]]:
    """Return the functions that use what each function puts out; empty where there are too many."""
    users: dict[Any, list[Any]] = {}
    waiting, seen = list(ends), set(ends)
    while waiting:
        node = waiting.pop()
        for source, _ in node.next_functions:
            if source is None:
                continue
            users.setdefault(source, []).append(node)
            if source not in seen:
                seen.add(source)
                waiting.append(source)
        if len(seen) > MAX_NODES:
            return {}
    return users


def _next(node: Any, users: dict[Any, list[Any]], owners: dict[Any, int], ends: list[Any]) -> int | None:
    """Follow an output from function to function, as far as each is linear and the only one to use it."""
    while node not in ends and len(after := users.get(node, [])) == 1 and _is_linear(after[0], node):
        node = after[0]
        if node in owners:
            return owners[node]
    return None


def _is_linear(node: Any, operand: Any) -> bool:
    """Whether a function is linear in what `operand` puts out."""
    name = _kind(node)
    if name in _ONE_OPERAND:
        return True
    others = [source for source, _ in node.next_functions if source is not operand]
    return name in _OTHERS_FIXED and all(map(_is_fixed, others))


def _is_fixed(node: Any) -> bool:
    """Whether it is a constant, or a weight, perhaps seen otherwise."""
    while node is not None and _kind(node) in _VIEWS:
        node = node.next_functions[0][0]
    return node is None or node.name().endswith("AccumulateGrad")


def _kind(node: Any) -> str:
    found = _NAME.match(node.name())
    return found[1] if found else ""
