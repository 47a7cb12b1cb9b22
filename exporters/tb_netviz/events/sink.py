"""Where events go: the protocol, and the sinks that need no file."""

from __future__ import annotations

from typing import Protocol

from tensorboard.compat.proto.event_pb2 import Event


class Sink(Protocol):
    """Takes events in the order in which they are to stand in the file. Safe to use from any thread."""

    @property
    def log_dir(self) -> str:
        """Folder of the run."""

    @property
    def path(self) -> str | None:
        """The event file, or None where there is none."""

    @property
    def dropped(self) -> int:
        """Events that were lost so far."""

    def write(self, event: Event) -> None:
        """Take an event that the user asked for; waits for room where the disk can't keep up."""

    def offer(self, event: Event) -> bool:
        """Take an event of ours if there is room at once. Returns whether; a refused event counts as dropped."""

    def flush(self) -> None:
        """Wait until everything taken so far is with the operating system."""

    def close(self) -> None:
        """Flush and end; what comes later is dropped. Closing twice is harmless."""


class NullSink:
    """Takes nothing: the folder can't be written, and training goes on without a record."""

    path = None

    def __init__(self, log_dir: str) -> None:
        self.log_dir = log_dir
        self.dropped = 0

    def write(self, event: Event) -> None:
        """Drop the event."""
        self.offer(event)

    def offer(self, event: Event) -> bool:  # noqa: ARG002  Nothing to do with it.
        """Drop the event."""
        self.dropped += 1
        return False

    def flush(self) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Nothing is held."""


class MemorySink:
    """Keeps copies of the events in `events`.

    Attributes:
        events: What was taken, in order.
        full: While true, `offer` refuses, as a file's sink does when its disk can't keep up.
    """

    path = None

    def __init__(self, log_dir: str = "memory") -> None:
        self.log_dir = log_dir
        self.dropped = 0
        self.events: list[Event] = []
        self.full = False
        self._closed = False

    def write(self, event: Event) -> None:
        """Keep a copy."""
        self._take(event, has_room=True)

    def offer(self, event: Event) -> bool:
        """Keep a copy, unless `full`."""
        return self._take(event, has_room=not self.full)

    def _take(self, event: Event, *, has_room: bool) -> bool:
        taken = has_room and not self._closed
        if taken:
            self.events.append(Event.FromString(event.SerializeToString()))
        else:
            self.dropped += 1
        return taken

    def flush(self) -> None:
        """Events are in memory at once."""

    def close(self) -> None:
        """Take no more."""
        self._closed = True
