"""Windows of the scalars that a user logs, so that loss and learning rate stand beside our records."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event

from tb_netviz.events import Sink
from tb_netviz.recorder.windows import Float32, Span
from tb_netviz_plugin.schema.codec import tensor_value
from tb_netviz_plugin.schema.tags import Family, tag

NORMS = ("gradient_norm_before",)
"""Roles whose values are norms: they fold as their root mean square, like those of our records."""


class MetricWindow:
    """The values of one metric in a window of steps.

    Args:
        step: The first.
        squares: Whether its mean is the root mean square.
    """

    def __init__(self, step: int, *, squares: bool = False) -> None:
        self.span = Span(step)
        self.wall_time = 0.0
        self._squares = squares
        self._sum = 0.0
        self._low = math.inf
        self._high = -math.inf
        self._nonfinite = 0

    def add(self, step: int, value: float, wall_time: float) -> None:
        """Fold in a value."""
        self.span.add(step)
        self.wall_time = wall_time
        if math.isfinite(value):
            self._sum += value * value if self._squares else value
            self._low = min(self._low, value)
            self._high = max(self._high, value)
        else:
            self._nonfinite += 1

    def record(self) -> Float32:
        """Return METRIC_COLUMNS; mean, min and max are NaN where no value was finite."""
        finite = self.span.observations - self._nonfinite
        mean = self._sum / finite if finite else math.nan
        if self._squares:
            mean = math.sqrt(mean)
        values = (mean, self._low, self._high) if finite else (math.nan,) * 3
        with np.errstate(over="ignore"):
            return np.array([self.span.steps, self.span.observations, *values, self._nonfinite]).astype(np.float32)


class MetricRecorder:
    """Records scalars under (name, role), one event a window. Safe to use from any thread.

    A window is written as soon as the next value, at the pace of the last two, would fall into another one: a loss that
    is logged once an epoch is seen at once. A value that comes earlier all the same gets a record of its own.

    Args:
        sink: Takes the events.
        clock: Gives the wall time of values that come without one.
    """

    def __init__(self, sink: Sink, *, clock: Callable[[], float] = time.time) -> None:
        self._sink = sink
        self._clock = clock
        self._windows: dict[tuple[str, str], MetricWindow] = {}
        self._tags: dict[tuple[str, str], str] = {}
        # A model may be collected while the lock is held, and its watch then flushes from the same thread.
        self._lock = threading.RLock()

    def log(
        self, name: str, role: str, step: int, value: float, wall_time: float | None = None, *, rare: bool = False
    ) -> None:
        """Record a value. A step below the last one begins a new window.

        Args:
            name: What the user calls it, such as "loss/train".
            role: "train_loss", "val_loss", "learning_rate" or another of docs/wire-format.md, or "".
            step: Index of the optimizer step.
            value: The value; NaN and infinities are counted.
            wall_time: Seconds since the epoch, by default now.
            rare: Whether it stands for an event that is to be seen at once.
        """
        step = int(step)
        with self._lock:
            window = self._windows.get((name, role))
            pace = step - window.span.last if window else 1
            if window is None or not window.span.continues(step):
                self._write(name, role, window)
                window = self._windows[name, role] = MetricWindow(step, squares=role in NORMS)
            window.add(step, float(value), self._clock() if wall_time is None else float(wall_time))
            if rare or not window.span.continues(step + pace):
                self._write(name, role, window)

    def flush(self) -> None:
        """Write all open windows; a later value of the same step replaces the record by one that holds both."""
        with self._lock:
            for (name, role), window in list(self._windows.items()):
                self._write(name, role, window)

    def close(self) -> None:
        """Write all open windows."""
        self.flush()

    def _write(self, name: str, role: str, window: MetricWindow | None) -> None:
        if window is None or window.span.written or not window.span.observations:
            return
        key = (name, role)
        metric_tag = self._tags.get(key) or self._tags.setdefault(key, tag(Family.METRIC, name, role))
        event = Event(wall_time=window.wall_time, step=window.span.last)
        event.summary.value.append(tensor_value(metric_tag, Family.METRIC, window.record(), name, role))
        self._sink.offer(event)
        window.span.end()
