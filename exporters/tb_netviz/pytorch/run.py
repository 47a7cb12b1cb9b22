"""A run: one log folder, what is watched in it, and the scalars that its writer logs."""

from __future__ import annotations

import threading
import weakref
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from torch import nn

from tb_netviz.events import NullSink, Sink
from tb_netviz.live import Alarm, Lookout, OnFinding, Tap
from tb_netviz.pytorch._foreign import WriterSink
from tb_netviz.pytorch._summary_writer import SummaryWriter, make_np
from tb_netviz.pytorch.hooks import Guard
from tb_netviz.pytorch.losses import TRAIN_LOSS, Roles
from tb_netviz.pytorch.shards import kind_of
from tb_netviz.pytorch.structure import unwrap
from tb_netviz.recorder import MetricRecorder, StepAxes

if TYPE_CHECKING:
    from tb_netviz.pytorch.watch import Watch

RARELY = 8
"""Steps to each training loss that the user logs from which on it says too little of what happens in between."""


class Run:
    """What the watches of one writer share.

    Attributes:
        sink: Takes all events.
        alarm: Tells what is wrong.
        metrics: Takes the scalars for our own tab.
        roles: Tells what a scalar is.
        has_graph: Whether a graph was written.
        ended: Whether its writer was closed.
        watches: In the order in which they began; those that ended included, the first of which still knows its step.
    """

    def __init__(self, sink: Sink, *, has_graph: bool = False) -> None:
        tap = Tap(sink)
        self.sink: Sink = sink if isinstance(sink, NullSink) else tap
        self.alarm = Alarm()
        self._lookout = Lookout(tap, self.alarm)
        self.metrics = MetricRecorder(self.sink)
        self.roles = Roles()
        self._axes = StepAxes()
        # A model may be collected while the lock is held, and its watch then logs from the same thread.
        self._axes_lock = threading.RLock()
        self._ended_steps = 0
        self._losses = 0
        self.has_graph = has_graph
        self.ended = False
        self.watches: list[Watch] = []
        self._hearing = Guard("The scalars that are logged, in our own tab")
        self._names: dict[str, weakref.ref[nn.Module]] = {}

    @property
    def step(self) -> int:
        """Step of the first model watched; 0 where none is."""
        return self.watches[0].step if self.watches else 0

    def name(self, model: nn.Module, wanted: str | None) -> str:
        """Return a name that no other model of the run has.

        Raises:
            ValueError: If `wanted` is another model's.
        """
        root = unwrap(model)
        kind = kind_of(root)
        candidates = ["", kind, *(f"{kind} {number}" for number in range(2, len(self._names) + 3))]
        if wanted is not None:
            candidates = [wanted]
        for name in candidates:
            owner = self._names.get(name)
            if owner is None or owner() is root:
                self._names[name] = weakref.ref(root)
                return name
        raise ValueError(f"another model of this run is watched under the name {wanted!r}; give each its own")

    def watch_of(self, name: str | None) -> Watch | None:
        """Return the watch of the model of that name, by default of the first one; None where none is attached.

        Raises:
            ValueError: If no model of that name was watched.
        """
        for watch in self.watches:
            if watch.attached and (name is None or watch.name == name):
                return watch
        if name is not None and name not in self._names:
            names = ", ".join(map(repr, self._names)) or "none"
            raise ValueError(f"no model is watched under the name {name!r}; there is {names}")
        return None

    def look_out(self, name: str, model: nn.Module, action: OnFinding, share: float) -> None:
        """Check the run while the model trains.

        Args:
            name: Under which it is watched.
            model: The model; it is held weakly.
            action: What is to be done about a finding.
            share: Of the training time, which checking may take.
        """
        self.alarm.watch(name, weakref.ref(model), action)
        self._lookout.begin(share)

    def hear(self, tag: str, value: Any, step: int | None, wall_time: float | None) -> None:
        """Copy a scalar that the user logs."""
        self._hearing.run(self._copy, tag, value, step, wall_time)

    def _copy(self, tag: str, value: Any, step: int | None, wall_time: float | None) -> None:
        role = self.roles.of(tag)
        self._losses += role == TRAIN_LOSS
        with self._axes_lock:  # Else two threads could log one scalar in another order than that of its steps.
            now = self._now
            at = now if step is None else self._axes.place(tag, int(step), now) if self.watches else int(step)
            self.metrics.log(tag, role, at, float(make_np(value).squeeze()), wall_time)

    @property
    def _now(self) -> int:
        """Step of the model that is furthest of those watched now, or of all once none is; 0 without any."""
        attached = [watch for watch in self.watches if watch.attached]
        return max((watch.step for watch in attached or self.watches), default=0)

    def needs_loss(self) -> bool:
        """Return whether the step that ends needs the criterion's loss, since the user logs none, or rarely.

        Called once a step of each watch.
        """
        self._ended_steps += 1
        return self._losses * RARELY < self._ended_steps

    def rest(self) -> None:
        """Check the run no more once nothing is watched."""
        if not any(watch.attached for watch in self.watches):
            self._lookout.rest()

    def flush(self) -> None:
        """Write what is held."""
        for watch in self.watches:
            watch.flush()
        self._hearing.run(self.metrics.flush)

    def end(self) -> None:
        """Detach all watches and write what is held; the step that was reached is still known."""
        self.ended = True
        for watch in self.watches:
            watch.detach()
        self._hearing.run(self.metrics.close)
        self._lookout.end()
        self.sink.close()


class RunOwner(ABC):
    """A writer with a run of its own."""

    @abstractmethod
    def netviz_run(self) -> Run:
        """Return the run, open for records."""


_foreign: weakref.WeakKeyDictionary[SummaryWriter, Run] = weakref.WeakKeyDictionary()


def run_of(writer: SummaryWriter) -> Run:
    """Return the run of a writer; for one that knows nothing of us we keep it.

    Raises:
        TypeError: If `writer` is no SummaryWriter.
    """
    if isinstance(writer, RunOwner):
        return writer.netviz_run()
    if not isinstance(writer, SummaryWriter):
        raise TypeError(f"writer must be a NetVizWriter or a torch SummaryWriter, got {type(writer).__name__}")
    if writer not in _foreign:
        _foreign[writer] = Run(WriterSink(writer))
    return _foreign[writer]
