"""The framing of event files: neither TensorBoard's own code, which is slow, nor ours, which is tested."""

from __future__ import annotations

import struct
from typing import BinaryIO

import google_crc32c


class RecordFile:
    """Writes records like TensorBoard's RecordWriter, whose checksums take 85 ns a byte.

    Args:
        file: Takes the records.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, data: bytes) -> None:
        """Write one record: its length, the length's checksum, itself, and its checksum."""
        length = struct.pack("<Q", len(data))
        self._file.write(length + _masked(length) + data + _masked(data))


def _masked(data: bytes) -> bytes:
    checksum = google_crc32c.value(data)
    return struct.pack("<I", (((checksum >> 15) | (checksum << 17)) + 0xA282EAD8) & 0xFFFFFFFF)
