"""A file of records that never holds half of one for long."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from itertools import accumulate

from tb_netviz.events.framing import frame

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


class IncompleteAppendError(OSError):
    """Only the first `written` of the records reached the file; it was cut back to the last whole one."""

    def __init__(self, cause: OSError, written: int) -> None:
        super().__init__(cause.errno, cause.strerror)
        self.written = written


class RecordFile:
    """A new file of TFRecords. Every write goes to the operating system at once, so that it survives `kill -9`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = os.open(path, _FLAGS, 0o666)
        self._end = 0

    def append(self, records: Sequence[bytes]) -> None:
        """Write records, all in one go.

        Raises:
            IncompleteAppendError: If the operating system would not take them all.
        """
        frames = [frame(record) for record in records]
        remaining = memoryview(b"".join(frames))
        taken = 0
        try:
            while remaining:
                count = os.write(self._descriptor, remaining)
                taken += count
                remaining = remaining[count:]
        except OSError as error:
            whole = [end for end in accumulate(map(len, frames)) if end <= taken]
            self._cut(whole[-1] if whole else 0)
            raise IncompleteAppendError(error, len(whole)) from error
        self._end += taken

    def _cut(self, length: int) -> None:
        self._end += length
        with contextlib.suppress(OSError):  # Readers stop at half a record just as well.
            os.ftruncate(self._descriptor, self._end)
            os.lseek(self._descriptor, self._end, os.SEEK_SET)

    def exists(self) -> bool:
        """Whether the file still stands under its path."""
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self._descriptor))  # noqa: PTH116  Beside fstat.
        except OSError:
            return False

    def close(self) -> None:
        """Close the file.

        Raises:
            OSError: If the operating system reports a late failure.
        """
        os.close(self._descriptor)
