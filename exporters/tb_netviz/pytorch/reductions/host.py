"""Reductions of tensors in the host's memory: in one pass over float32, with torch's own operations over the rest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tb_netviz.pytorch.reductions import general
from tb_netviz.pytorch.reductions.tensors import sample
from tb_netviz.statistics import native
from tb_netviz.statistics.bins import magnitude_counts, stride
from tb_netviz.statistics.partials import GRADIENT_SUMS, PAIR_SUMS, UPDATE_SUMS, WEIGHT_SUMS, Array
from tb_netviz_plugin.schema import bins

_PLAIN = (Tensor, torch.nn.Parameter)
_PAIR = len(GRADIENT_SUMS)
_UPDATE = len(WEIGHT_SUMS)


def gradient_sums(gradients: Sequence[Tensor], lasts: Sequence[Tensor | None]) -> tuple[Array, Array]:
    """Reduce gradients, each beside that of the step before where there is one.

    Args:
        gradients: Of any shape, layout and type.
        lasts: Dense and of the same shape and type as the gradients, or None.

    Returns:
        GRADIENT_SUMS and PAIR_SUMS, float64 [len(gradients), 10], and the largest magnitudes, [len(gradients)].
    """
    sums = np.zeros((len(gradients), _PAIR + len(PAIR_SUMS)))
    largest = np.zeros(len(gradients))
    sums[:, :2] = 1.0  # Asked for, and present.
    sums[:, _PAIR] = [last is not None for last in lasts]
    plain, others = _divide(gradients, lasts)
    if plain:
        results = native.gradients([_job(gradients[place], lasts[place]) for place in plain])
        sums[plain, 2:_PAIR], largest[plain], sums[plain, _PAIR + 1 :] = results[:, :5], results[:, 5], results[:, 6:]
        largest[sums[:, _PAIR - 1] > 0] = 0.0  # Not a NaN, which would spoil a maximum over shards.
    if others:
        sums[others, 2:_PAIR], largest[others] = general.gradient_sums([gradients[place] for place in others])
        _pair(sums, [place for place in others if lasts[place] is not None], gradients, lasts)
    return sums, largest


def _pair(sums: Array, places: Sequence[int], gradients: Sequence[Tensor], lasts: Sequence[Tensor | None]) -> None:
    then = [last for place in places if (last := lasts[place]) is not None]
    if not then:
        return
    squares = general.norm_squares(then)
    magnitudes = np.sqrt(sums[places, 2]) * np.sqrt(squares)
    sums[places, _PAIR + 1] = general.products([gradients[place] for place in places], then, magnitudes)
    sums[places, _PAIR + 2] = squares


def weight_sums(tensors: Sequence[Tensor], before: Sequence[Tensor] | None) -> Array:
    """Reduce parameters, and how far they have moved from the copies in `before`, which are used up.

    Returns:
        WEIGHT_SUMS and UPDATE_SUMS, float64 [len(tensors), 4].
    """
    sums = np.zeros((len(tensors), _UPDATE + len(UPDATE_SUMS)))
    sums[:, 0] = 1.0
    sums[:, _UPDATE] = before is not None
    olds: Sequence[Tensor | None] = [None] * len(tensors) if before is None else before
    plain, others = _divide(tensors, olds)
    if plain:
        results = native.weights([_job(tensors[place], olds[place]) for place in plain])
        sums[plain, 1], sums[plain, _UPDATE + 1] = results.T
    if others:
        rest = [tensors[place] for place in others]
        sums[others, 1] = general.norm_squares(rest)
        if before is not None:
            sums[others, _UPDATE + 1] = general.distance_squares(rest, [before[place] for place in others])
    return sums


def copies(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return copies that share no memory and ask for no gradient; tensors may lie anywhere."""
    plain, _ = _divide(tensors, [None] * len(tensors))
    contiguous = {place for place in plain if tensors[place].is_contiguous()}
    results = [
        torch.empty_like(tensor, requires_grad=False) if place in contiguous else tensor.detach().clone()
        for place, tensor in enumerate(tensors)
    ]
    if contiguous:
        native.copy([_job(tensors[place], results[place]) for place in contiguous])
    return results


def norms(tensors: Sequence[Tensor]) -> Array:
    """Return the Euclidean norm of each tensor, float64 [len(tensors)]."""
    return np.sqrt(weight_sums(tensors, None)[:, 1])


def gradient_bins(gradients: Sequence[Tensor]) -> npt.NDArray[np.uint16]:
    """Count at most `bins.SAMPLES` elements of each gradient, at its stride, uint16 [len(gradients), bins.COUNT].

    Elements that a sparse gradient does not store are counted as the zeros that they are.
    """
    counts = np.zeros((len(gradients), bins.COUNT), dtype=np.uint16)
    plain, others = _divide(gradients, [None] * len(gradients))
    if plain:
        sizes = [(gradients[place].data_ptr(), gradients[place].numel()) for place in plain]
        counts[plain] = native.bins([(address, stride(elements), elements) for address, elements in sizes])
    for place in others:
        counts[place] = sample_bins(gradients[place].shape.numel(), on_host(sample(gradients[place], bins.SAMPLES)))
    return counts


def sample_bins(elements: int, values: npt.NDArray[np.float32] | npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Count the sampled `values` of a gradient of so many elements; those that it does not store are zeros."""
    if not elements:
        return np.zeros(bins.COUNT, dtype=np.int64)
    counts = magnitude_counts(values)
    counts[bins.ZERO] += len(range(0, elements, stride(elements))) - values.size
    return counts


def on_host(tensor: Tensor) -> npt.NDArray[np.float32] | npt.NDArray[np.float64]:
    """Return `tensor` as an array of float32 or, where it is wider, of float64."""
    kind = torch.float64 if tensor.dtype == torch.float64 else torch.float32
    array: npt.NDArray[np.float32] | npt.NDArray[np.float64] = tensor.to("cpu", kind).resolve_neg().numpy()
    return array


def _divide(tensors: Sequence[Tensor], others: Sequence[Tensor | None]) -> tuple[list[int], list[int]]:
    """Return the places of those that the native reductions can read, and the places of the rest."""
    places = range(len(tensors))
    if not native.available():
        return [], list(places)
    plain = [_is_plain(tensor) and _is_alike(tensor, other) for tensor, other in zip(tensors, others, strict=True)]
    return [place for place in places if plain[place]], [place for place in places if not plain[place]]


def _is_plain(tensor: Tensor) -> bool:
    """Whether the elements lie side by side in memory, as they are; their order is of no matter."""
    return (
        tensor.dtype is torch.float32
        and type(tensor) in _PLAIN
        and tensor.layout is torch.strided
        and tensor.is_cpu
        and not tensor.is_neg()
        and tensor.data_ptr() != 0  # As where its memory was given back, or it is known to be zero.
        and (tensor.is_contiguous() or bool(torch.ops.aten.is_non_overlapping_and_dense(tensor)))
    )


def _is_alike(tensor: Tensor, other: Tensor | None) -> bool:
    return other is None or (_is_plain(other) and tensor.shape == other.shape and tensor.stride() == other.stride())


def _job(tensor: Tensor, other: Tensor | None) -> native.Job:
    return tensor.data_ptr(), 0 if other is None else other.data_ptr(), tensor.numel()
