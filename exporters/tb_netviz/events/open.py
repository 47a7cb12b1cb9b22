"""From a log folder to a sink."""

from __future__ import annotations

import functools
import os
import re
import threading

from tensorboard.compat.proto.event_pb2 import Event

from tb_netviz.events import folder as folders
from tb_netviz.events.deferred import DeferredSink
from tb_netviz.events.event_file import CAPACITY
from tb_netviz.events.framing import NATIVE_CHECKSUMS
from tb_netviz.events.notices import warn
from tb_netviz.events.sink import NullSink, Sink

# pathlib makes "gs:/bucket" of "gs://bucket"; a drive has one letter.
_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


class RemoteLogDirError(ValueError):
    """The log folder is not on a local file system."""


class FileSink:
    """A sink into the event file of a folder. Sinks of the same folder share one file."""

    def __init__(self, log_dir: str, filename_suffix: str, capacity: int) -> None:
        self._folder = folders.lease(log_dir, filename_suffix, capacity)
        self._closed = False
        self._closing = threading.Lock()
        self._late = 0

    @property
    def log_dir(self) -> str:
        """Folder of the run."""
        return self._folder.path

    @property
    def path(self) -> str | None:
        """The event file."""
        return self._folder.file.path

    @property
    def dropped(self) -> int:
        """Events that were lost so far: of all sinks of the folder, and of this one after it was closed."""
        return self._folder.file.dropped + self._late

    def write(self, event: Event) -> None:
        """Take an event, waiting for room where the disk can't keep up."""
        self._put(event, wait=True)

    def offer(self, event: Event) -> bool:
        """Take an event if there is room at once."""
        return self._put(event, wait=False)

    def _put(self, event: Event, *, wait: bool) -> bool:
        if self._closed:
            self._late += 1
            return False
        return self._folder.file.put(event.SerializeToString(), wait=wait)

    def flush(self) -> None:
        """Wait until everything taken so far is with the operating system."""
        if not self._closed:
            self._folder.file.flush()

    def close(self) -> None:
        """Flush and end; the last sink of a folder closes its file."""
        self.flush()
        with self._closing:
            if not self._closed:
                self._closed = True
                folders.give_back(self._folder)


def open_sink(
    log_dir: str | os.PathLike[str], *, filename_suffix: str = "", capacity: int = CAPACITY, deferred: bool = False
) -> Sink:
    """Open an event file in `log_dir`, which is created if it is missing.

    Within a process all sinks of a folder share one file (`filename_suffix` and `capacity` are those of the first); a
    second process gets a sub-folder and a warning. Where no file can be written there is one warning and a NullSink.
    After `close`, opening again starts a new file.

    Args:
        log_dir: Folder of the run, on a local file system.
        filename_suffix: Text that ends the file's name.
        capacity: Bytes that may wait for the disk before `write` waits and `offer` refuses.
        deferred: Whether folder and file are made with the first event only.

    Raises:
        RemoteLogDirError: If `log_dir` names another scheme, such as "gs://bucket/run".
    """
    path = os.fspath(log_dir)
    if _REMOTE.match(path):
        raise RemoteLogDirError(
            f"log_dir is {path!r}, but netviz writes to local folders only. Write to a local folder and sync it, for "
            "example with gsutil rsync, aws s3 sync or rclone; TensorBoard itself reads remote folders."
        )
    if deferred:
        return DeferredSink(
            path, functools.partial(open_sink, path, filename_suffix=filename_suffix, capacity=capacity)
        )
    _mention_slow_checksums()
    try:
        os.makedirs(path, exist_ok=True)  # noqa: PTH103  Strings, as torch's writers have.
        return FileSink(path, filename_suffix, capacity)
    except (OSError, RuntimeError) as error:  # RuntimeError: no new thread while the interpreter shuts down.
        warn(f"nothing is recorded, because {path!r} can't be written ({error}). Training goes on.", stacklevel=2)
        return NullSink(path)


@functools.cache
def _mention_slow_checksums() -> None:
    if not NATIVE_CHECKSUMS:
        warn(
            "google-crc32c has no native code on this platform; checksums run in Python and cost about 85 ns a byte "
            "while training waits for the interpreter.",
            stacklevel=3,
        )
