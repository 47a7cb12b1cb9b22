"""Looks at a run now and then while it trains, in a thread of its own, for a small share of the time."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.plugins.text import metadata as text_metadata

from tb_netviz.events import warn
from tb_netviz.live.alarm import Alarm, LiveFinding
from tb_netviz.live.archive import Archive
from tb_netviz.live.tap import Tap
from tb_netviz_plugin.analysis.network import Network
from tb_netviz_plugin.diagnosis import Finding, Severity, check

SHORTEST_WAIT = 5.0
"""Seconds from one look to the next, at least."""
FEWEST_RECORDS = 8
"""Records before which nothing is said."""
LONGEST_LAST_LOOK = 3.0
"""Seconds that a last look may take by what the one before it took; else it is left out."""
AT_ONCE = frozenset({"nonfinite"})
"""Rules that are told at first sight; of the others a second look has to find the same."""


class Lookout:
    """Checks what a tap keeps, and raises the alarm.

    Args:
        tap: Keeps the events.
        alarm: Is told of each finding once.
    """

    def __init__(self, tap: Tap, alarm: Alarm) -> None:
        self._tap = tap
        self._alarm = alarm
        self._archive = Archive()
        self._seen: set[str] = set()  # At the last look.
        self._told: set[str] = set()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._share = math.inf
        self._took = self._spent = 0.0  # Seconds of the last look, and of its thread at its end.
        self._on = True

    def begin(self, share: float) -> None:
        """Look from now on; more than once is harmless.

        Args:
            share: Of the time that passes, which looking may take; the smallest one holds.
        """
        self._share = min(self._share, share)
        if self._alarm.wanted and self._on and (self._thread is None or self._ended.is_set()):
            self.end()
            self._tap.listening = True
            self._ended = threading.Event()
            self._thread = threading.Thread(target=self._run, args=(self._ended,), name="netviz lookout", daemon=True)
            self._thread.start()

    def rest(self) -> None:
        """Look for a last time, in its own thread and time, and begin no other look."""
        self._ended.set()
        self._tap.filled.set()

    def end(self) -> None:
        """Rest, and wait for that."""
        self.rest()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=LONGEST_LAST_LOOK)

    def _run(self, ended: threading.Event) -> None:
        due, self._spent = time.monotonic() + SHORTEST_WAIT, 0.0
        while self._on and not ended.is_set():
            self._tap.filled.wait(max(0.0, due - time.monotonic()))
            self._tap.filled.clear()
            if time.monotonic() < due or ended.is_set():
                self._guarded(self._take)
            else:
                self._guarded(self._look)
                due = time.monotonic() + max(SHORTEST_WAIT, self._took / self._share)
        if self._took <= LONGEST_LAST_LOOK:
            self._guarded(lambda: self._look(last=True))

    def _guarded(self, look: Callable[[], None]) -> None:
        """Look; the first failure is told, and ends the looking. Training has nothing to do with it."""
        if not self._on:
            return
        try:
            look()
        except Exception as error:
            self._on = False
            self._tap.deafen()
            self._archive = Archive()
            warn(
                f"the run is no longer checked while it trains, because of {type(error).__name__}: {error}",
                stacklevel=3,
            )

    def _take(self) -> None:
        while self._tap.waiting:
            self._archive.take(self._tap.waiting.popleft())

    def _look(self, *, last: bool = False) -> None:
        self._take()
        if self._archive.records >= FEWEST_RECORDS:
            self._judge(last=last)
        spent = time.thread_time()  # Since the look before, with all that was taken in the meantime.
        self._took, self._spent = spent - self._spent, spent

    def _judge(self, *, last: bool) -> None:
        run = self._archive.run()
        bad = {one.id: one for one in check(run).findings if _worst(one) >= Severity.WARNING}
        for key, finding in bad.items():
            if key not in self._told and (last or key in self._seen or finding.rule in AT_ONCE):
                self._told.add(key)
                self._tell(_live(finding, run.network))
        self._seen = set(bad)

    def _tell(self, finding: LiveFinding) -> None:
        try:
            self._tap.offer(_text(finding))
        except OSError:
            if not self._ended.is_set():
                raise
            # The last look took so long that the file is closed by now. The terminal is told all the same.
        self._alarm.tell(finding)


def _worst(finding: Finding) -> Severity:
    return max(one.severity for one in (finding, *finding.consequences))


def _live(finding: Finding, network: Network) -> LiveFinding:
    layers = [network.layers[layer] for layer in finding.layers]
    return LiveFinding(
        rule=finding.rule,
        severity=finding.severity.id,
        layers=tuple(layer.name for layer in layers),
        model=layers[0].model if layers else "",
        first_step=int(finding.first_step),
        last_step=int(finding.last_step),
        message=finding.message,
        remedies=tuple(f"{one.text} {one.code}".rstrip() for one in finding.remedies),
    )


def _text(finding: LiveFinding) -> Event:
    """Return the finding for TensorBoard's Text dashboard."""
    lines = [f"**{finding.severity}** from step {finding.first_step:,}: {finding.message}", ""]
    lines += [f"- {remedy}" for remedy in finding.remedies]
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    tensor = TensorProto(dtype=DT_STRING, string_val=["\n".join(lines).encode()], tensor_shape=shape)
    about = text_metadata.create_summary_metadata(f"netviz/{finding.rule}", "")
    value = Summary.Value(tag=f"netviz/{finding.rule}/text_summary", metadata=about, tensor=tensor)
    return Event(wall_time=time.time(), step=finding.last_step, summary=Summary(value=[value]))
