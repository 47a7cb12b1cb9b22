"""TFRecord framing: how records stand one after another in an event file.

A record is its length (uint64), the masked CRC32C of those eight bytes, the data and the masked CRC32C
of the data, all little-endian.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

import google_crc32c

_LENGTH = struct.Struct("<Q")
_CHECKSUM = struct.Struct("<I")
_HEADER_BYTES = _LENGTH.size + _CHECKSUM.size
_MASK_DELTA = 0xA282EAD8

NATIVE_CHECKSUMS: bool = google_crc32c.implementation == "c"
"""Whether CRC32C runs natively; in Python it takes about 85 ns a byte."""


class UnreadableRecordError(Exception):
    """An event file can't be read beyond `offset`; the records before it are whole.

    Attributes:
        path: The file.
        offset: Byte at which the unreadable record begins.
    """

    def __init__(self, path: str, offset: int, reason: str) -> None:
        super().__init__(f"{path}: the record at byte {offset} {reason}")
        self.path = path
        self.offset = offset


class TruncatedRecordError(UnreadableRecordError):
    """The file ends within a record: its writer was killed, or is still writing."""


class CorruptRecordError(UnreadableRecordError):
    """A checksum does not fit: the file was damaged."""


def frame(data: bytes) -> bytes:
    """Return `data` as a TFRecord."""
    length = _LENGTH.pack(len(data))
    return b"".join((length, _checksum(length), data, _checksum(data)))


def read_frames(path: str | os.PathLike[str]) -> Iterator[bytes]:
    """Yield the data of each whole record of the file at `path`.

    Raises:
        TruncatedRecordError: After the last whole record, if the file ends within the next one.
        CorruptRecordError: After the last sound record, if a checksum of the next one does not fit.
        OSError: If the file can't be read.
    """
    name = os.fspath(path)
    with open(name, "rb") as file:  # noqa: PTH123  Path.open would only wrap this.
        size = os.fstat(file.fileno()).st_size
        offset = 0
        while header := file.read(_HEADER_BYTES):
            if len(header) < _HEADER_BYTES:
                raise TruncatedRecordError(name, offset, f"has {len(header)} of {_HEADER_BYTES} header bytes")
            length = header[: _LENGTH.size]
            if header[_LENGTH.size :] != _checksum(length):
                raise CorruptRecordError(name, offset, "has a length that does not fit its checksum")
            (count,) = _LENGTH.unpack(length)
            end = offset + _HEADER_BYTES + count + _CHECKSUM.size
            if end > size:
                raise TruncatedRecordError(name, offset, f"ends {end - size} bytes beyond the file")
            data = file.read(count)
            if file.read(_CHECKSUM.size) != _checksum(data):
                raise CorruptRecordError(name, offset, "has data that do not fit their checksum")
            yield data
            offset = end


def _checksum(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    rotated = (crc >> 15) | (crc << 17)
    return _CHECKSUM.pack((rotated + _MASK_DELTA) & 0xFFFFFFFF)
