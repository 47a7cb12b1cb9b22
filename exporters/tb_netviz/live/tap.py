"""A sink that keeps what passes through it for the lookout, too."""

from __future__ import annotations

import threading
from collections import deque

from tensorboard.compat.proto.event_pb2 import Event

from tb_netviz.events import Sink

MANY_WAITING = 32
"""Events from which on they are to be taken away: each may hold a megabyte."""
MOST_WAITING = 4096
"""Events that wait at most, where nobody takes them away."""


class Tap:
    """Hands events on to a sink, and keeps those of ours until they are taken away, once somebody listens.

    Args:
        sink: Takes all events.

    Attributes:
        listening: Whether somebody wants them.
        waiting: The events of ours that were not taken away yet, the oldest first.
        filled: Is set when there are many of them.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.listening = False
        self.waiting: deque[Event] = deque()
        self.filled = threading.Event()

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
        if taken and self.listening and len(self.waiting) < MOST_WAITING:
            self.waiting.append(event)
            if len(self.waiting) >= MANY_WAITING:
                self.filled.set()
        return taken

    def deafen(self) -> None:
        """Keep nothing from now on, and let go of what waits."""
        self.listening = False
        self.waiting.clear()

    def flush(self) -> None:
        """Flush the sink."""
        self._sink.flush()

    def close(self) -> None:
        """Close the sink."""
        self._sink.close()
