"""Which linear layers feed each other with nothing that bends between them, as the graph of one forward pass tells."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

MAX_NODES = 20_000
"""Functions of a forward pass up to which its graph is gone through: that takes some 10 ms."""
MAX_DEPTH = 8
"""Containers within each other up to which outputs are looked for."""

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
    "Mm", "Addmm", "Bmm", "Baddbmm", "Mv", "Addmv", "SparseMm", "SparseAddmm", "Convolution", "ScatterAdd", "IndexAdd",
    "NativeBatchNorm", "CudnnBatchNorm",
))
"""Functions that are linear in each tensor where the others are weights, or constants as the edges of a graph are."""
_SUMS = frozenset(("Add", "Sub", "Cat", "Stack"))
"""Functions that are linear in all that they get."""
_FACTORS = ("_saved_self", "_saved_other", "_saved_mat1", "_saved_mat2", "_saved_batch1", "_saved_batch2")
_VIEWS = frozenset(("T", "Transpose", "Permute", "View", "Expand", "Unsqueeze", "ToCopy"))
"""Through which weights reach them."""
# fmt: on


class Flow:
    """Listens to modules as they leave a forward pass.

    Of one that runs several times, as over the steps of a series, all outputs have to go to itself or to the other.
    It reads the graph of the backward pass and changes nothing of it; `forget` lets go of that.
    """

    def __init__(self) -> None:
        self._calls: dict[int, list[Any]] = {}
        self._inputs: set[int] = set()

    def left(self, module: nn.Module, inputs: tuple[Any, ...], output: object) -> None:
        """Hear of what a module gets and puts out."""
        if isinstance(module, _LINEAR) and isinstance(output, Tensor) and output.grad_fn is not None:
            self._calls.setdefault(id(module), []).append(output.grad_fn)
            self._inputs.update(_storage(tensor) for tensor in inputs if isinstance(tensor, Tensor))

    def pairs(self, outputs: object) -> tuple[tuple[int, int], ...]:
        """Return the ids of modules of which the first one's output goes to the second one alone, bent by nothing.

        Where nothing in the whole model bends, as in graph convolutions that are summed, it may go to others as well.

        Args:
            outputs: What the whole model puts out: tensors, in containers or not.
        """
        ends = [tensor.grad_fn for tensor in _tensors(outputs, MAX_DEPTH) if tensor.grad_fn is not None]
        owners = {node: key for key, nodes in self._calls.items() for node in nodes}
        graph = _Graph(_users(ends), set(ends), owners)
        found = ((key, self._successor(key, graph)) for key in self._calls)
        alone = tuple((first, second) for first, second in found if second is not None)
        return tuple(dict.fromkeys((*alone, *self._all_pairs(graph)))) if self._bends_nowhere(graph) else alone

    def forget(self) -> None:
        """Let go of the graph."""
        self._calls.clear()
        self._inputs.clear()

    def _successor(self, module: int, graph: _Graph) -> int | None:
        """Return the module that all outputs of `module` go to, but for those that go to itself beside an input.

        What goes to itself alone is a linear recurrence on purpose.
        """
        used = [node for node in self._calls[module] if node in graph.users or node in graph.ends]
        after = {self._next(node, graph) for node in used}
        others = {owner for owner, _ in after} - {module}
        return others.pop() if len(others) == 1 and (module, False) not in after else None

    def _next(self, node: Any, graph: _Graph) -> tuple[int | None, bool]:
        """Follow an output from function to function, as far as each is linear and the only one to use it.

        Returns:
            The module that it goes to, if it does, and whether a state met the next input on the way.
        """
        repeated, met = len(self._calls[graph.owners[node]]) > 1, False
        while node not in graph.ends and len(after := graph.users.get(node, [])) == 1:
            meets = repeated and graph.meets_an_input(after[0], node)
            if not meets and not self._is_linear(after[0], node):
                return None, met
            node, met = after[0], met or meets
            if node in graph.owners:
                return graph.owners[node], met
        return None, met

    def _is_linear(self, node: Any, operand: Any) -> bool:
        """Whether a function is linear in what `operand` puts out."""
        name = _kind(node)
        if name in _ONE_OPERAND:
            return True
        others = [source for source, _ in node.next_functions if source is not operand]
        if name in ("Add", "Sub"):
            return bool(others) and all(source is not None and _is_fixed(source) for source in others)
        if name == "Mul":
            return others == [None] and _drops_out(node)
        return name in _OTHERS_FIXED and all(map(_is_fixed, others)) and not self._mixes_inputs(node, others)

    def _bends_nowhere(self, graph: _Graph) -> bool:
        """Whether all that the model does is linear, and done once: a recurrence may be linear on purpose."""
        once = all(len(nodes) == 1 for nodes in self._calls.values())
        return once and bool(graph.users) and all(map(self._is_linear_at_all, graph.users.keys() | graph.ends))

    def _is_linear_at_all(self, node: Any) -> bool:
        """Whether a function is linear in all that it gets but weights and constants, taken together.

        A product of a weight and an input is, too; where no weight has a part in it, there is no function here.
        """
        moving = [source for source, _ in node.next_functions if not _is_fixed(source)]
        if _kind(node) in _SUMS and len(moving) > 1:
            return all(source is not None for source, _ in node.next_functions)
        return not moving or (len(moving) == 1 and self._is_linear(node, moving[0]))

    def _all_pairs(self, graph: _Graph) -> Iterator[tuple[int, int]]:
        """Yield the ids of modules of which the second one gets what the first one puts out, which is no end itself."""
        for key, (call,) in self._calls.items():
            waiting, seen = [call], {call}
            found: set[int] = set()
            while waiting and not seen & graph.ends:
                after = [node for node in graph.users.get(waiting.pop(), ()) if node not in seen]
                seen.update(node for node in after if node not in graph.owners)
                found.update(graph.owners[node] for node in after if node in graph.owners)
                waiting.extend(node for node in after if node not in graph.owners)
            if not seen & graph.ends:
                yield from ((key, other) for other in self._calls if other in found)

    def _mixes_inputs(self, node: Any, others: list[Any]) -> bool:
        """Whether a factor that asks for no gradient is what a layer got: a product with it is not linear in that."""
        if None not in others:
            return False
        factors = (getattr(node, name, None) for name in _FACTORS)
        return any(isinstance(factor, Tensor) and _storage(factor) in self._inputs for factor in factors)


@dataclass(frozen=True, slots=True)
class _Graph:
    """The graph of a forward pass.

    Attributes:
        users: By function, those that use what it puts out.
        ends: Those whose outputs the model puts out.
        owners: The modules that some of them are calls of.
    """

    users: dict[Any, list[Any]]
    ends: set[Any]
    owners: dict[Any, int]

    def meets_an_input(self, node: Any, operand: Any) -> bool:
        """Whether a state is joined with what no gradient is asked for, as the next input is."""
        others = [source for source, _ in node.next_functions if source is not operand]
        return _kind(node) == "Cat" and all(source is None for source in others)


def _storage(tensor: Tensor) -> int:
    """Return what tells whether two tensors lie in the same memory, of those that lie in any."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):  # As of sparse tensors, and of those that only stand for others.
        return id(tensor)


def _tensors(value: object, depth: int) -> Iterator[Tensor]:
    """Yield the tensors in what a model puts out: in containers, and in the attributes of other things."""
    if isinstance(value, Tensor):
        yield value
        return
    parts: Any = ()
    if isinstance(value, Mapping):
        parts = value.values()
    elif isinstance(value, list | tuple | set):
        parts = value
    elif hasattr(value, "__dict__") and not isinstance(value, type | nn.Module):
        parts = vars(value).values()
    if depth:
        for part in list(parts):
            yield from _tensors(part, depth - 1)


def _users(ends: list[Any]) -> dict[Any, list[Any]]:
    """Return the functions that use what each function puts out; empty where there are too many."""
    users: dict[Any, list[Any]] = {}
    seen = set(ends)
    waiting = list(seen)
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


def _is_fixed(node: Any) -> bool:
    """Whether it is a constant, or a weight, perhaps seen otherwise."""
    while node is not None and _kind(node) in _VIEWS:
        node = node.next_functions[0][0]
    return node is None or type(node).__name__ == "AccumulateGrad"


def _drops_out(node: Any) -> bool:
    """Whether a product is dropout, as on a CPU: by nothing, or by one factor above 1; a mask of ones may well bend."""
    factors = [factor for name in _FACTORS if isinstance(factor := getattr(node, name, None), Tensor)]
    if len(factors) != 1 or not factors[0].numel():
        return False
    low, high = (float(one) for one in torch.aminmax(factors[0]))
    return low == 0 and high > 1 and bool(((factors[0] == 0) | (factors[0] == high)).all())


def _kind(node: Any) -> str:
    found = _NAME.match(type(node).__name__)  # A function's own `name` may be anything that its author set.
    return found[1] if found else ""
