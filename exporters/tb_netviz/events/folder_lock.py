"""One live writer a folder: TensorBoard's Python loader goes silent on the older of two live files."""

from __future__ import annotations

import contextlib
import os
import sys

NAME = ".netviz.lock"

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError from error
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class FolderTakenError(Exception):
    """Another process writes into the folder."""


class FolderLock:
    """Holds a folder until `release` or the death of the process.

    Where files can't be locked, as on some network file systems, it holds nothing and says nothing.

    Raises:
        FolderTakenError: If another process holds the folder.
    """

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, NAME)  # noqa: PTH118  Strings, as the rest of the package has.
        self._descriptor: int | None = None
        # A holder deletes the file before it lets go, so what we lock may stand there no longer.
        while not self._standing():
            self.abandon()
            try:
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
                _lock(self._descriptor)
            except BlockingIOError as error:
                self.abandon()
                raise FolderTakenError(folder) from error
            except OSError:
                self.abandon()
                return

    def _standing(self) -> bool:
        if self._descriptor is None:
            return False
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._descriptor))  # noqa: PTH116  Beside fstat.
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Let another process have the folder."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._path)  # noqa: PTH108  As above.
        self.abandon()

    def abandon(self) -> None:
        """Forget the lock; it goes when the last process that inherited it has done so."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
