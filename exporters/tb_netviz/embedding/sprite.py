"""Thumbnails of all points in one picture, as TensorBoard's projector takes them."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

LARGEST_SIDE = 8192
"""Rows and columns of a picture that the projector takes."""
_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}  # As PNG numbers grey, RGB and RGBA.

UInt8 = npt.NDArray[np.uint8]


def reduce(thumbnails: UInt8, largest_side: int = LARGEST_SIDE) -> UInt8:
    """Return thumbnails [points, height, width, channels] so small that all of them fit into one picture."""
    count, height, width, channels = thumbnails.shape
    columns = _columns(count)
    rows_of_one, columns_of_one = -(-columns * height // largest_side), -(-columns * width // largest_side)
    if rows_of_one == columns_of_one == 1:
        return thumbnails
    height, width = height // rows_of_one, width // columns_of_one
    blocks = thumbnails[:, : height * rows_of_one, : width * columns_of_one].reshape(
        count, height, rows_of_one, width, columns_of_one, channels
    )
    smaller: UInt8 = np.rint(blocks.mean((2, 4), dtype=np.float32)).astype(np.uint8)
    return smaller


def sprite(thumbnails: UInt8) -> bytes:
    """Return a PNG of thumbnails [points, height, width, 1, 3 or 4 channels], row by row in a square of cells.

    The projector finds a point's row by the number of rows, not of columns, so that there must be as many.
    """
    count, height, width, channels = thumbnails.shape
    columns = _columns(count)
    header = struct.pack(">IIBBBBB", columns * width, columns * height, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", header),
            _chunk(b"IDAT", b"".join(_compressed(thumbnails, columns))),
            _chunk(b"IEND", b""),
        ]
    )


def _columns(count: int) -> int:
    return math.isqrt(count - 1) + 1


def _compressed(thumbnails: UInt8, columns: int) -> Iterator[bytes]:
    """Yield the picture's lines, a row of thumbnails at a time."""
    _, height, width, channels = thumbnails.shape
    compressor = zlib.compressobj()
    for first in range(0, columns * columns, columns):
        cells = np.zeros((columns, height, width, channels), np.uint8)
        given = thumbnails[first : first + columns]
        cells[: len(given)] = given
        lines = cells.transpose(1, 0, 2, 3).reshape(height, columns * width * channels)
        # Each line begins with the number of its filter: none.
        yield compressor.compress(np.pad(lines, ((0, 0), (1, 0))).tobytes())
    yield compressor.flush()


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
