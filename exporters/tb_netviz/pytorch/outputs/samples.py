"""Outputs, targets and inputs as rows, one a sample."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from tb_netviz.pytorch.activations.outputs import is_measurable
from tb_netviz.pytorch.activations.responses import WEIGHTED, is_convolution
from tb_netviz.pytorch.structure import named_modules
from tb_netviz.statistics.bins import stride
from tb_netviz.statistics.outputs import Kind

MOST_VALUES = 1 << 14
"""Values of an output, of targets or of an input that are read at most,"""
LEAST_SAMPLES = 64
"""unless these are fewer samples: a language model has 50,000 classes."""

_IMAGE_AXES = 4


class Pairing(NamedTuple):
    """How outputs and targets belong together.

    Attributes:
        axis: That of the classes in the outputs.
        kind: What the targets are; None where there are none.
    """

    axis: int
    kind: Kind | None


def pairing_of(outputs: Tensor, targets: Tensor | None) -> Pairing:
    """Return how outputs of any shape and targets belong together, by their shapes and types.

    Class indices lie where torch's losses want them, [N, ...] beside [N, C, ...], or beside [N, ..., C], flattened too.
    """
    axis = 1 if outputs.ndim >= _IMAGE_AXES else -1
    if targets is None:
        return Pairing(axis, None)
    found = _class_axis(outputs, targets) if is_whole(targets) and targets.dtype is not torch.bool else None
    if found is not None:
        return Pairing(found, Kind.INDICES)
    return Pairing(axis, Kind.NUMBERS if outputs.shape == targets.shape else Kind.OTHER)


def _class_axis(outputs: Tensor, targets: Tensor) -> int | None:
    """Return the axis of the classes that `targets` are indices of; None where they can't be."""
    shape = outputs.shape
    if outputs.ndim >= 2 and targets.shape == shape[:1] + shape[2:]:
        return 1
    if outputs.ndim >= 1 and targets.shape == shape[:-1]:
        return -1
    is_flat = outputs.ndim >= 3 and targets.ndim == 1
    return -1 if is_flat and targets.numel() * shape[-1] == outputs.numel() else None


def begins_with_a_convolution(model: nn.Module) -> bool | None:
    """Return whether the first module with weights is a convolution; None where there is none."""
    return next((is_convolution(module) for _, module in named_modules(model) if isinstance(module, WEIGHTED)), None)


def has_values(tensor: Tensor) -> bool:
    """Whether there is something in it that can be read."""
    return is_measurable(tensor) and tensor.numel() > 0


def is_whole(tensor: Tensor) -> bool:
    """Whether its type holds whole numbers only."""
    return not (tensor.is_floating_point() or tensor.is_complex())


def with_rows(outputs: Tensor, kind: Kind | None) -> Tensor:
    """Return outputs with axes of samples and of classes; a vector with one class index is one sample."""
    if outputs.ndim >= 2:
        return outputs
    return outputs.reshape(1, -1) if kind is Kind.INDICES else outputs.reshape(-1, 1)


class Sampling(NamedTuple):
    """Which samples are read: every `outer`-th index of axis 0, and every `inner`-th of those over the other axes.

    The strides have no divisor in common with the lengths, so that all columns of an image are met alike.
    """

    outer: int
    inner: int


def sampling_of(tensor: Tensor, axis: int) -> Sampling:
    """Return which samples of a tensor with any values are read, where `axis` is not among those of the samples."""
    length, entries = tensor.shape[axis], tensor.shape[0]
    each = tensor.numel() // (length * entries)
    most = max(LEAST_SAMPLES, MOST_VALUES // length)
    inner = stride(each, max(1, most // entries))
    return Sampling(stride(entries, max(1, most // len(range(0, each, inner)))), inner)


def rows_of(tensor: Tensor, axis: int, sampling: Sampling) -> Tensor:
    """Return the values of those samples, [samples, length of axis 1 or -1], real numbers without a history.

    Of complex numbers the magnitudes. Only what is read is copied, if at all.
    """
    outer, inner = sampling
    length = tensor.shape[axis]
    tensor = tensor.detach()
    tensor = tensor[::outer]  # Before axes are joined, which may copy.
    if axis == 1:
        values = tensor.flatten(2)[:, :, ::inner].movedim(1, -1) if tensor.ndim > 2 else tensor
    else:
        values = tensor.reshape(len(tensor), -1, length)[:, ::inner]
    return real(values.reshape(-1, length))


def labels_of(targets: Tensor, entries: int, sampling: Sampling) -> Tensor:
    """Return the targets of those samples, [samples], of which axis 0 of the outputs has so many `entries`."""
    return targets.detach().reshape(entries, -1)[:: sampling.outer, :: sampling.inner].reshape(-1)


def values_of(tensor: Tensor) -> Tensor:
    """Return the values of a tensor, or some of them, [values], real numbers without a history."""
    return real(tensor.detach().reshape(-1)[:: stride(tensor.numel(), MOST_VALUES)])


def real(tensor: Tensor) -> Tensor:
    """Return a tensor with an arithmetic of its own: of complex numbers the magnitudes."""
    if tensor.is_complex():
        return tensor.abs()
    short = tensor.is_floating_point() and tensor.element_size() == 1
    return tensor.float() if short else tensor
