"""Frames: a JSON header and arrays, in one body. The layout is in docs/http-api.md."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

ALIGNMENT = 8
"""Arrays start at multiples of this many bytes, so that a browser can view them in place."""

_TYPES = {"<f8": "float64", "<f4": "float32", "<u4": "uint32", "|u1": "uint8"}


def encode(header: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Return a frame.

    Args:
        header: JSON of our own; "arrays" is added to it.
        arrays: Arrays by name, of float64, float32, uint32 or uint8.

    Raises:
        KeyError: If an array has another type.
    """
    entries, parts, offset = [], [], 0
    for name, array in arrays.items():
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        entries.append({"name": name, "dtype": _TYPES[little.dtype.str], "shape": array.shape, "offset": offset})
        content = _padded(little.tobytes(), b"\0")
        parts.append(content)
        offset += len(content)
    text = json.dumps({**header, "arrays": entries}, allow_nan=False, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 4) % ALIGNMENT)
    return b"".join([struct.pack("<I", len(text)), text, *parts])


def _padded(content: bytes, filler: bytes) -> bytes:
    return content + filler * (-len(content) % ALIGNMENT)
