"""What a training and its worker tell each other, and how that goes through a pipe.

A message is the length of its header (uint64, little-endian), the header as JSON, and the bytes of its arrays, whose
names, types and shapes the header lists. Every question gets one answer.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass, field
from enum import StrEnum
from typing import IO, Any

import numpy as np
import numpy.typing as npt

GREETING = b"\0tb_netviz.embedding.worker 1\0"
"""What a worker says first. What libraries print at their import may stand before it."""
_LENGTH = struct.Struct("<Q")


class Question(StrEnum):
    """What a worker is asked for."""

    POINTS = "points"
    """Take other points: labels, thumbnails, and how they are to be laid out. The answer says if t-SNE can be had, and
    which libraries are broken."""
    VECTORS = "vectors"
    """Take vectors of a step. The answer has their PCA, measures and signature."""
    PROJECTOR = "projector"
    """Give these vectors to TensorBoard's projector."""
    TSNE = "tsne"
    """Lay out the vectors that were taken last by t-SNE."""


@dataclass(frozen=True, slots=True)
class Message:
    """A question or an answer.

    Attributes:
        kind: Of the question; empty for an answer.
        values: Whatever JSON can carry.
        arrays: By name.
    """

    kind: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, npt.NDArray[Any]] = field(default_factory=dict)


def send(stream: IO[bytes], message: Message) -> None:
    """Write a message to an unbuffered stream.

    Raises:
        OSError: If nobody reads it any longer.
    """
    arrays = {name: np.ascontiguousarray(array) for name, array in message.arrays.items()}
    listed = [[name, array.dtype.str, array.shape] for name, array in arrays.items()]
    header = json.dumps([message.kind, message.values, listed]).encode()
    _write(stream, memoryview(_LENGTH.pack(len(header)) + header))
    for array in arrays.values():
        _write(stream, array.reshape(-1).view(np.uint8).data)


def receive(stream: IO[bytes]) -> Message:
    """Read a message from an unbuffered stream.

    Raises:
        EOFError: If the stream ends before or within it.
    """
    (length,) = _LENGTH.unpack(_read(stream, _LENGTH.size))
    kind, values, listed = json.loads(_read(stream, length))
    arrays = {}
    for name, dtype, shape in listed:
        content = _read(stream, math.prod(shape) * np.dtype(dtype).itemsize)
        arrays[name] = np.frombuffer(content, dtype).reshape(shape)
    return Message(kind, values, arrays)


def await_greeting(stream: IO[bytes]) -> None:
    """Read up to the end of the greeting.

    Raises:
        EOFError: If the stream ends before.
    """
    heard = b""
    while not heard.endswith(GREETING):
        heard = (heard + _read(stream, 1))[-len(GREETING) :]


def _write(stream: IO[bytes], content: memoryview) -> None:
    while content:
        written = stream.write(content)
        content = content[written:]


def _read(stream: IO[bytes], count: int) -> bytearray:
    content = bytearray(count)
    rest = memoryview(content)
    while rest:
        got = stream.readinto(rest)  # type: ignore[attr-defined]  # Of an unbuffered stream.
        if not got:
            raise EOFError
        rest = rest[got:]
    return content
