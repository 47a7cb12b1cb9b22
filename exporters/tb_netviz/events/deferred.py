"""A sink that makes no file as long as nothing is written."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tensorboard.compat.proto.event_pb2 import Event

from tb_netviz.events.sink import Sink


class DeferredSink:
    """Opens its file with the first event.

    Args:
        log_dir: Folder of the run.
        opens: Opens the sink that takes the events.
    """

    def __init__(self, log_dir: str, opens: Callable[[], Sink]) -> None:
        self._log_dir = log_dir
        self._opens = opens
        self._sink: Sink | None = None
        self._closed = False
        self._late = 0
        self._lock = threading.Lock()

    @property
    def log_dir(self) -> str:
        """Folder of the run."""
        return self._log_dir if self._sink is None else self._sink.log_dir

    @property
    def path(self) -> str | None:
        """The event file, or None as long as there is none."""
        return None if self._sink is None else self._sink.path

    @property
    def dropped(self) -> int:
        """Events that were lost so far."""
        return self._late if self._sink is None else self._sink.dropped

    def write(self, event: Event) -> None:
        """Take an event, waiting for room."""
        sink = self._opened()
        if sink is not None:
            sink.write(event)

    def offer(self, event: Event) -> bool:
        """Take an event if there is room at once."""
        sink = self._opened()
        return sink is not None and sink.offer(event)

    def flush(self) -> None:
        """Wait until everything taken so far is with the operating system."""
        if self._sink is not None:
            self._sink.flush()

    def close(self) -> None:
        """Flush and end."""
        with self._lock:
            self._closed = True
        if self._sink is not None:
            self._sink.close()

    def _opened(self) -> Sink | None:
        with self._lock:
            if self._sink is None and self._closed:
                self._late += 1
            elif self._sink is None:
                self._sink = self._opens()
        return self._sink
