"""The folders that this process writes into, each through one event file."""

from __future__ import annotations

import os
import threading
from multiprocessing.util import Finalize

from tb_netviz.events.event_file import EventFile
from tb_netviz.events.folder_lock import FolderLock, FolderTakenError
from tb_netviz.events.notices import warn


class Folder:
    """A folder with its lock and its event file, shared by all sinks that were opened for it.

    Where another process writes into the folder, a folder below it is taken, which TensorBoard shows as a run of its
    own.
    """

    def __init__(self, path: str, filename_suffix: str, capacity: int) -> None:
        self.users = 0
        self._open(path, filename_suffix, capacity)

    def _open(self, path: str, filename_suffix: str, capacity: int) -> None:
        self.path, self._lock = _take(path)
        try:
            self.file = EventFile(self.path, filename_suffix, capacity)
        except BaseException:
            self._lock.release()
            raise
        # Unlike atexit, this also runs at the end of a multiprocessing child.
        self._finalizer = Finalize(None, self.close, exitpriority=10)

    def renew(self, path: str, filename_suffix: str, capacity: int) -> None:
        """Go on in a new file, after the old one failed or was deleted."""
        self.close()
        self._open(path, filename_suffix, capacity)

    def close(self) -> None:
        """Close the file and let go of the folder; the end of the process does so too."""
        self._finalizer.cancel()
        self.file.close()
        self._lock.release()

    def abandon(self) -> None:
        """In a forked child: leave file and lock to the parent."""
        self._lock.abandon()


def _take(path: str) -> tuple[str, FolderLock]:
    try:
        return path, FolderLock(path)
    except FolderTakenError:
        own = os.path.join(path, f"writer-{os.getpid()}")  # noqa: PTH118  Strings, as torch's writers have.
        os.makedirs(own, exist_ok=True)  # noqa: PTH103  As above.
        warn(
            f"another process is writing into {path}. TensorBoard follows one live file a folder, so this process "
            f"writes into {own}, a run of its own. Give each process a log_dir of its own to choose the name.",
            stacklevel=7,
        )
        return _take(own)


# Folders are told apart by device and inode, so that links and relative paths do not matter.
_folders: dict[tuple[int, int], Folder] = {}
_guard = threading.Lock()


def lease(path: str, filename_suffix: str, capacity: int) -> Folder:
    """Return the folder at `path`, opened if it is not open yet; `give_back` it.

    Raises:
        OSError: If no file can be created there.
    """
    with _guard:
        status = os.stat(path)  # noqa: PTH116  Strings, as above.
        key = (status.st_dev, status.st_ino)
        folder = _folders.get(key)
        if folder is None:
            folder = _folders[key] = Folder(path, filename_suffix, capacity)
        elif not folder.file.alive:
            folder.renew(path, filename_suffix, capacity)
        folder.users += 1
        return folder


def give_back(folder: Folder) -> None:
    """End one use of the folder; the last one closes it."""
    with _guard:
        folder.users -= 1
        if folder.users == 0:
            for key in [key for key, held in _folders.items() if held is folder]:
                del _folders[key]
            folder.close()


def _leave_to_parent() -> None:
    global _guard  # noqa: PLW0603  The parent's may have been held at the fork.
    _guard = threading.Lock()
    for folder in _folders.values():
        folder.abandon()
    _folders.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)
