"""Which rows of weights may be alike, and which are, found on their device without waiting for it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tb_netviz.statistics.twins import PROJECTIONS, TOLERANCE, Pairs, directions

_AT_ONCE = 1 << 22
"""Elements that are worked on at a time."""
_TINY = 1e-30


class Block(NamedTuple):
    """Numbers of each unit that are compared together, relative to their norm.

    Attributes:
        odd: Tensors [units, ...] that have the other sign where a unit is opposite.
        even: Tensors [units] that don't.
    """

    odd: tuple[Tensor, ...]
    even: tuple[Tensor, ...] = ()


def features(blocks: Sequence[Block]) -> Tensor:
    """Return what `likely_twins` compares, [units, PROJECTIONS + any]; not finite where a weight is not."""
    like = _first(blocks)
    along = _beside(like, directions(sum(_length(tensor) for block in blocks for tensor in block.odd)))
    odd, even = torch.zeros((len(like), PROJECTIONS), device=like.device), []
    with torch.autocast(like.device.type, enabled=False):
        for block in blocks:
            projected, squares, along = _projected(block.odd, along, like)
            vectors = [tensor.float() for tensor in block.even]
            norms = (squares + sum(vector.square() for vector in vectors)).sqrt().clamp_min(_TINY)
            odd += projected / norms[:, None]
            even += [norms.log(), *(vector / norms for vector in vectors)]
    return torch.cat([odd, torch.stack(even, dim=1)], dim=1)


def _projected(tensors: Sequence[Tensor], along: Tensor, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return projections, sums of squares, and the directions that are left."""
    projected = torch.zeros((len(like), PROJECTIONS), device=like.device)
    squares = torch.zeros(len(like), device=like.device)
    for tensor in tensors:
        taken = _length(tensor)
        for part in _slices(len(tensor), taken):
            rows = _rows(tensor[part])
            projected[part] += rows @ along[:taken]
            squares[part] += torch.linalg.vector_norm(rows, dim=1).square()
        along = along[taken:]
    return projected, squares, along


def agreement(blocks: Sequence[Block], pairs: Pairs) -> Tensor:
    """Return of each pair whether all numbers of the two units agree, [pairs].

    Those of each block have to within TOLERANCE, relative to the norm of the longer one.
    """
    like = _first(blocks)
    one, other, signs = (_beside(like, array) for array in (*pairs[:2], pairs.signs.astype(np.float32)))
    longest = sum(_length(tensor) for block in blocks for tensors in block for tensor in tensors)
    return torch.cat(
        [
            torch.stack([_agree(block, one[part], other[part], signs[part]) for block in blocks]).all(dim=0)
            for part in _slices(len(pairs.signs), longest)
        ]
    )


def _agree(block: Block, one: Tensor, other: Tensor, signs: Tensor) -> Tensor:
    tensors = (*block.odd, *block.even)
    left = torch.cat([_rows(tensor[one]) for tensor in tensors], dim=1)
    right = torch.cat([_rows(tensor[other]) for tensor in tensors], dim=1)
    right[:, : sum(_length(tensor) for tensor in block.odd)] *= signs[:, None]
    # Squares of small numbers would be zero, and the rows equal.
    scale = torch.maximum(_largest(left), _largest(right)).clamp_min(torch.finfo(torch.float32).tiny)[:, None]
    left, right = left / scale, right / scale
    norms = torch.maximum(left.square().sum(1), right.square().sum(1))
    return (left - right).square().sum(1) <= TOLERANCE**2 * norms


def _first(blocks: Sequence[Block]) -> Tensor:
    return next(tensor for block in blocks for tensors in block for tensor in tensors)


def _length(tensor: Tensor) -> int:
    """Return how many elements of a tensor each unit has."""
    return tensor.numel() // len(tensor)


def _rows(tensor: Tensor) -> Tensor:
    return tensor.reshape(len(tensor), tensor.numel() // max(1, len(tensor))).float()


def _largest(rows: Tensor) -> Tensor:
    return torch.linalg.vector_norm(rows, math.inf, dim=1) if rows.shape[1] else rows.sum(1)


def _beside(tensor: Tensor, array: npt.NDArray[Any]) -> Tensor:
    """Return `array` on the device of `tensor`, where it arrives before it is needed."""
    host = torch.from_numpy(array)
    return host.pin_memory().to(tensor.device, non_blocking=True) if tensor.is_cuda else host.to(tensor.device)


def _slices(rows: int, length: int) -> Iterator[slice]:
    """Yield slices of rows that hold no more than a certain number of elements together."""
    step = max(1, _AT_ONCE // max(1, length))
    return (slice(first, first + step) for first in range(0, rows, step))
