"""From outputs of modules to pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from tb_netviz.pytorch.transfers import Transfer

LARGEST_SIDE = 64
"""Rows and columns of a map at most; a larger one is averaged by area."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """Maps of one module on the host.

    Attributes:
        pictures: [samples, maps, height, width].
        ranges: The values that 0 and 255 stand for, NaN where no value is finite, and how many values of the map are
            NaN or infinite, [samples, maps, 3].
    """

    pictures: npt.NDArray[np.uint8]
    ranges: npt.NDArray[np.float32]

    @property
    def nonfinite(self) -> int:
        """How many values of all maps were NaN or infinite."""
        return int(self.ranges[..., 2].sum(dtype=np.float64))


class PendingSheet:
    """Maps of one module on their way to the host.

    Args:
        values: [samples, maps, height, width], of any real type.
    """

    def __init__(self, values: Tensor) -> None:
        self._parts = [Transfer(part) for part in quantise(reduce(values))]

    @property
    def ready(self) -> bool:
        """Whether `sheet` would not wait."""
        return all(part.ready for part in self._parts)

    def sheet(self) -> Sheet:
        """Return the maps, after waiting for them if need be."""
        pictures, ranges = self._parts
        return Sheet(pictures.array(), ranges.array())


def reduce(values: Tensor, side: int = LARGEST_SIDE) -> Tensor:
    """Return `values` as float32 [..., height, width] with sides of at most `side`, averaged by area."""
    values = values.detach()
    values = values.abs() if values.is_complex() else values
    values = values.float() if values.element_size() < 8 or not values.is_floating_point() else values
    height, width = values.shape[-2:]
    if height > side or width > side:
        smaller = functional.adaptive_avg_pool2d(
            values.reshape(-1, 1, height, width), (min(height, side), min(width, side))
        )
        values = smaller.reshape(*values.shape[:-2], *smaller.shape[-2:])
    return values.float()


def quantise(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return uint8 pictures over each map's own range, and the ranges with how many values of each are not finite.

    Args:
        values: Float32 [samples, maps, height, width].
    """
    finite = values.isfinite()
    low = values.where(finite, math.inf).amin((-2, -1))
    high = values.where(finite, -math.inf).amax((-2, -1))
    # Halved, so that no difference of two numbers overflows.
    base, spread = (low / 2)[..., None, None], (high / 2 - low / 2)[..., None, None]
    shares = (values / 2 - base) / spread.where(spread > 0, 1.0)
    pictures = (255 * shares.where(finite, 0.0)).round().to(torch.uint8)
    low, high = (bound.where(bound.isfinite(), math.nan) for bound in (low, high))
    return pictures, torch.stack([low, high, (~finite).sum((-2, -1)).float()], dim=-1)
