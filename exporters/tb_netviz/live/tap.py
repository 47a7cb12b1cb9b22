"""A sink that keeps what passes through it for the lookout, too."""

from __future__ import annotations

from collections import deque

from tensorboard.compat.proto.event_pb2 import Event

from tb_netviz.events import Sink

MOST_WAITING = 4096
"""Events that wait for the lookout at most; the oldest are let go."""


class Tap:
    """Hands events on to a sink, and keeps those of ours until they are looked at.

    Args:
        sink: Takes all events.

    Attributes:
        waiting: The events of ours that were not looked at yet, the oldest first.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.waiting: deque[Event] = deque(maxlen=MOST_WAITING)

    @property
    def log_dir(self) -> str:
        """Folder of the run."""
        return self._sink.log_dir

    @property
    def path(self) -> str | None:
        """The event file, or None where there is none."""
        return self._sink.path

    @property
    def dropped(self) -> int:
        """Events that were lost so far."""
        return self._sink.dropped

    def write(self, event: Event) -> None:
        """Hand on what the user asked for."""
        self._sink.write(event)

    def offer(self, event: Event) -> bool:
        """Hand on an event of ours, and keep it."""
        taken = self._sink.offer(event)
        if taken:
            self.waiting.append(event)
        return taken

    def flush(self) -> None:
        """Flush the sink."""
        self._sink.flush()

    def close(self) -> None:
        """Close the sink."""
        self._sink.close()
