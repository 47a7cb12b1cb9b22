"""An event file with a thread of its own, so that training waits for no disk."""

from __future__ import annotations

import itertools
import os
import socket
import threading
import time

from tensorboard.compat.proto.event_pb2 import Event, SourceMetadata

from tb_netviz.events.notices import warn
from tb_netviz.events.record_file import IncompleteAppendError, RecordFile

GATHER_SECONDS = 0.2
"""How long records are gathered before they are written together."""
CAPACITY = 64 * 1024 * 1024
"""Bytes that may wait for the disk."""

_serial = itertools.count()


class EventFile:
    """A new event file in a folder that exists.

    Records are handed to a daemon thread, which frames them and passes them to the operating system within
    GATHER_SECONDS. If writing fails, there is one warning, the file is cut back to its last whole record, and later
    records are dropped and counted. In a forked child they are dropped too: the file stays the parent's.

    Raises:
        OSError: If the file can't be created.
    """

    def __init__(self, folder: str, filename_suffix: str = "", capacity: int = CAPACITY) -> None:
        # TensorBoard reads the files of a folder in the order of their names, and never goes back to an earlier one.
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(_serial):06d}"
        self.path = os.path.join(folder, name + filename_suffix)  # noqa: PTH118  Strings, as torch's writers have.
        self.dropped = 0
        self._capacity = capacity
        self._process = os.getpid()
        self._mentioned = False
        self._file = RecordFile(self.path)
        self._file.append([_version_event().SerializeToString()])

        # All below is guarded by the condition, which is notified of every change that someone waits for.
        self._changed = threading.Condition()
        self._waiting: list[bytes] = []
        self._bytes = 0  # Of records that are waiting or being written.
        self._accepted = 0
        self._settled = 0  # Of the accepted ones, those that were written or lost.
        self._urgent = False  # Someone waits: write at once.
        self._closing = False
        self._failed = False

        self._thread = threading.Thread(target=self._run, name="netviz-event-file", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether records still reach a file that stands under `path`."""
        return not self._closing and not self._failed and self._file.exists()

    def put(self, record: bytes, *, wait: bool) -> bool:
        """Hand over a record; returns whether it was accepted, and counts it as dropped otherwise.

        Args:
            record: A serialized event.
            wait: Whether to wait for room, or to refuse the record when there is none.
        """
        if self._strayed:
            self._mention_parent()
            self.dropped += 1
            return False
        with self._changed:
            while wait and not self._has_room(record) and not self._ended:
                self._hurry()
                self._changed.wait()
            if self._ended or not self._has_room(record):
                self.dropped += 1
                return False
            self._waiting.append(record)
            self._bytes += len(record)
            self._accepted += 1
            if len(self._waiting) == 1:
                self._changed.notify_all()
            elif self._bytes > self._capacity // 2:
                self._hurry()
        return True

    def flush(self) -> None:
        """Wait until every record accepted so far is with the operating system, or lost."""
        if self._strayed:
            return
        with self._changed:
            due = self._accepted
            self._hurry()
            self._changed.wait_for(lambda: self._settled >= due or self._failed)

    def close(self) -> None:
        """Write what is waiting and close the file."""
        if self._strayed:
            return
        with self._changed:
            first = not self._closing
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        if first:
            self._close_file()

    @property
    def _ended(self) -> bool:
        return self._closing or self._failed

    def _has_room(self, record: bytes) -> bool:
        return self._bytes == 0 or self._bytes + len(record) <= self._capacity

    def _hurry(self) -> None:
        self._urgent = True
        self._changed.notify_all()

    @property
    def _strayed(self) -> bool:
        """Whether this is a forked child, which has neither the thread nor a right to the file."""
        return os.getpid() != self._process

    def _mention_parent(self) -> None:
        if not self._mentioned:
            self._mentioned = True
            warn(
                f"{self.path} belongs to process {self._process}, from which this one was forked; nothing is recorded "
                "here. To record in this process, create a writer in it.",
                stacklevel=5,
            )

    def _run(self) -> None:
        batch: list[bytes] = []
        try:
            while batch := self._next_batch():
                self._file.append(batch)
                self._settle(batch)
        except IncompleteAppendError as error:
            self._fail(error, len(batch) - error.written)
        except Exception as error:  # A thread that dies in silence would leave flush() waiting for ever.
            self._fail(error, len(batch))

    def _next_batch(self) -> list[bytes]:
        """Wait for records; an empty list means that the file is closing."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            self._changed.wait_for(lambda: self._urgent or self._closing, timeout=GATHER_SECONDS)
            self._urgent = False
            batch, self._waiting = self._waiting, []
            return batch

    def _settle(self, batch: list[bytes]) -> None:
        with self._changed:
            self._bytes -= sum(map(len, batch))
            self._settled += len(batch)
            self._changed.notify_all()

    def _fail(self, error: Exception, lost: int) -> None:
        with self._changed:
            self._failed = True
            self.dropped += lost + len(self._waiting)
            self._waiting = []
            self._changed.notify_all()
        warn(f"could not write {self.path} ({error}); the record of this run ends here. Training goes on.")

    def _close_file(self) -> None:
        try:
            self._file.close()
        except OSError as error:
            warn(f"closing {self.path} failed ({error}); its last records may be lost.")


def _version_event() -> Event:
    return Event(
        wall_time=time.time(), file_version="brain.Event:2", source_metadata=SourceMetadata(writer="tb_netviz.events")
    )
