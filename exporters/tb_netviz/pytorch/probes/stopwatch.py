"""How long something takes, here and on the accelerators that work it off later."""

from __future__ import annotations

import time
from collections.abc import Iterable

import torch


class Stopwatch:
    """Runs from its creation to `stop`.

    Args:
        devices: Where the work is done.
    """

    def __init__(self, devices: Iterable[torch.device]) -> None:
        self._streams = [torch.cuda.current_stream(device) for device in set(devices) if device.type == "cuda"]
        self._events = [(_event(stream), _unrecorded()) for stream in self._streams]
        self._began = time.perf_counter()
        self._seconds = 0.0

    def stop(self) -> None:
        """Stop."""
        self._seconds = time.perf_counter() - self._began
        for stream, (_, end) in zip(self._streams, self._events, strict=True):
            end.record(stream)

    @property
    def ready(self) -> bool:
        """Whether the devices are through with it."""
        return all(end.query() for _, end in self._events)  # type: ignore[no-untyped-call]  # In torch.

    @property
    def seconds(self) -> float:
        """The longest that it took anywhere, after waiting for the devices if need be."""
        for _, end in self._events:
            end.synchronize()
        elapsed = [float(begin.elapsed_time(end)) / 1000 for begin, end in self._events]
        return max([self._seconds, *elapsed])


def _event(stream: torch.cuda.Stream) -> torch.cuda.Event:
    event = _unrecorded()
    event.record(stream)
    return event


def _unrecorded() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # In torch.
