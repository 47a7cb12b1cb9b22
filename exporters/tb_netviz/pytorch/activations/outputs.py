"""The tensor in what a module returns, and the axis along which its units lie."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

CHANNEL: Final = "channel"
FEATURE: Final = "feature"
HEAD: Final = "head"

_IMAGE_AXES = 4
"""Axes from which on an output is taken for one with channels where nothing else is known."""
_STRIDE = 8
_LEAST = 4


class Layout(NamedTuple):
    """How the values of an output belong to units.

    Attributes:
        axis: Axis of the units: 1, or -1 for the last.
        unit: What a unit is.
    """

    axis: int
    unit: str


class Sampling(NamedTuple):
    """Which entries along the first axis are counted: every `stride`-th, from `start` on."""

    stride: int
    start: int


def is_measurable(tensor: Tensor) -> bool:
    """Whether the values of `tensor` are at hand: it is dense, whole, and no stand-in of a transformation."""
    return (
        type(tensor).__torch_dispatch__ is Tensor.__torch_dispatch__
        and tensor.layout is torch.strided
        and not (tensor.is_quantized or tensor.is_nested or tensor.is_meta)
        and not torch._C._functorch.is_functorch_wrapped_tensor(tensor)
    )


def first_tensor(output: Any, depth: int = 0) -> Tensor | None:
    """Return the tensor that stands for an output: the first one in tuples, mappings and the like."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, PackedSequence):
        return output.data
    for part in _parts(output) if depth < 4 else ():
        found = first_tensor(part, depth + 1)
        if found is not None:
            return found
    return None


def _parts(output: Any) -> Iterable[Any]:
    if isinstance(output, Mapping):
        return output.values()
    if isinstance(output, list | tuple):
        return output
    if dataclasses.is_dataclass(output):
        return [getattr(output, field.name, None) for field in dataclasses.fields(output)]
    return ()


def layout_of(output: Tensor, *, convolved: bool | None) -> Layout:
    """Return how the values of an output belong to units.

    Args:
        output: The output.
        convolved: Whether the last module with weights before it was a convolution; None where none ran.
    """
    has_channels = output.ndim >= 3 if convolved else convolved is None and output.ndim >= _IMAGE_AXES
    return Layout(1, CHANNEL) if has_channels else Layout(-1, FEATURE)


def with_units(output: Tensor, layout: Layout) -> tuple[Tensor, Layout]:
    """Return an output that has an axis of samples and one of units; one unit where it has none."""
    if output.ndim >= 2:
        return output, layout
    return output.reshape(-1, 1), Layout(-1, layout.unit)


def sampling_of(output: Tensor, turn: int) -> Sampling:
    """Return which entries to count: about every eighth but no fewer than four, others at each `turn`."""
    entries = int(output.shape[0])
    stride = min(_STRIDE, max(1, entries // _LEAST))
    return Sampling(stride, turn % stride)
