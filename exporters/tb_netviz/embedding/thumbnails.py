"""Small pictures of the points."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
import numpy.typing as npt

LARGEST_SIDE = 32
"""Rows and columns of a thumbnail at most; a larger picture is averaged by area."""
SMALLEST_SIDE = 8
ON_PAGE = 2048
"""Thumbnails that one tag holds."""
_CHANNELS = (1, 3, 4)

UInt8 = npt.NDArray[np.uint8]


class NoRoomError(Exception):
    """The thumbnails don't fit into the bytes that they may take; the message says so."""


def pictures(given: Any, points: int) -> npt.NDArray[Any]:
    """Return pictures as [points, height, width, 1, 3 or 4], of the type that they were given in.

    Args:
        given: [points, height, width], [points, height, width, channels] or [points, channels, height, width].
        points: How many there must be.

    Raises:
        ValueError: If they have another shape.
    """
    array = np.asarray(given)
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim == 4 and array.shape[3] not in _CHANNELS:
        array = array.transpose(0, 2, 3, 1)
    if array.ndim != 4 or len(array) != points or array.shape[3] not in _CHANNELS or not array.size:
        raise ValueError(
            f"thumbnails must be [points, height, width], [points, height, width, channels] or [points, channels, "
            f"height, width] with {points} points and 1, 3 or 4 channels, got {np.shape(given)}"
        )
    return array


def digest(array: npt.NDArray[Any]) -> str:
    """Tell these pictures from others."""
    content = hashlib.blake2b(repr((array.shape, array.dtype.str)).encode(), digest_size=8)
    content.update(np.ascontiguousarray(array).view(np.uint8).data)
    return content.hexdigest()


def thumbnails(array: npt.NDArray[Any], most_bytes: int) -> UInt8:
    """Return pictures as thumbnails, [points, height, width, channels].

    Fractions from 0 to 1 and whole numbers from 0 to 255 are shown as they are; what goes beyond is drawn over the
    range of all pictures together. What is not finite is drawn as the lowest.

    Args:
        array: [points, height, width, channels].
        most_bytes: That they may take in all.

    Raises:
        NoRoomError: If even the smallest of use take more.
    """
    count, height, width, channels = array.shape
    side = min(LARGEST_SIDE, max(height, width))
    while math.prod((count, *_shape(height, width, side), channels)) > most_bytes:
        side -= 1
        if side < SMALLEST_SIDE:
            raise NoRoomError(
                f"{count:,} of {SMALLEST_SIDE}×{SMALLEST_SIDE} take more than the {most_bytes:,} bytes left"
            )
    smaller = _shape(height, width, side)
    rows, columns = (_overlaps(old, new) for old, new in zip((height, width), smaller, strict=True))
    low, high = _range(array)
    pages = []
    for first in range(0, count, ON_PAGE):  # So that only a page of them is ever there as float32.
        page = np.nan_to_num(array[first : first + ON_PAGE].astype(np.float32), nan=low, posinf=high, neginf=low)
        if smaller != (height, width):
            page = np.einsum("rh,nhwc,sw->nrsc", rows, page, columns, optimize=True)
        pages.append(np.rint(255 * np.clip((page - low) / (high - low), 0, 1)).astype(np.uint8))
    return np.concatenate(pages)


def _shape(height: int, width: int, side: int) -> tuple[int, int]:
    scale = min(1.0, side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _overlaps(old: int, new: int) -> npt.NDArray[np.float32]:
    """Return how much of each of `new` cells lies in each of `old` ones, [new, old]; the rows add up to 1."""
    edges = np.arange(new + 1) * old / new
    cells = np.arange(old)
    inside = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    shares: npt.NDArray[np.float32] = (np.clip(inside, 0, 1) * new / old).astype(np.float32)
    return shares


def _range(array: npt.NDArray[Any]) -> tuple[float, float]:
    """Return the values that are drawn as 0 and as 255."""
    if array.dtype == np.bool_:
        return 0.0, 1.0
    usual = 1.0 if array.dtype.kind == "f" else 255.0
    finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, usual)
    if low >= 0 and high <= usual:
        return 0.0, usual
    return low, high if high > low else low + 1
