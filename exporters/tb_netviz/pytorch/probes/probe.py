"""A probe: inputs that are run through a model at some steps of its training."""

from __future__ import annotations

import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic

from torch import nn

from tb_netviz.events import warn
from tb_netviz.pytorch.hooks import Guard
from tb_netviz.pytorch.probes.look import SPREAD, Look, Seen
from tb_netviz.pytorch.shards import leads
from tb_netviz.recorder.probing import ProbeSchedule
from tb_netviz_plugin.schema.description import Omission

if TYPE_CHECKING:
    from tb_netviz.pytorch.probes.rounds import Rounds


@dataclass(frozen=True, slots=True)
class Kind:
    """What a kind of probes is called.

    Attributes:
        one: A probe of it, "the …".
        many: What is recorded of all.
        subject: Of what it says that it leaves out.
    """

    one: str
    many: str
    subject: str


class Probe(ABC, Generic[Seen]):
    """Runs inputs through a model after some of its optimizer's steps, and records what comes of it.

    The training is the same with it as without, bit for bit. Only the first process of a distributed run does it. What
    fails is reported once, and ends it; the training goes on.

    Args:
        model: The model, held weakly.
        rounds: Those of its training, which it joins.
        schedule: When to run the inputs.
        identity: Names of the model and of the probe.

    Attributes:
        kind: What it is called.
        schedule: The same.
        identity: The same.
    """

    kind: Kind

    def __init__(self, model: nn.Module, rounds: Rounds, schedule: ProbeSchedule, identity: tuple[str, str]) -> None:
        self._model = weakref.ref(model)
        self._rounds = rounds
        self.schedule = schedule
        self.identity = identity
        self._guard = Guard(f"The {self.kind.one} {self.name!r}", tells=leads())
        self._telling = Guard(f"What is left out of the {self.kind.one} {self.name!r}", tells=leads())
        self._under_way: tuple[int, Look[Seen]] | None = None
        self._paused = False
        self._attached = True
        rounds.add(self)

    @property
    def name(self) -> str:
        """Tells several probes of a model apart."""
        return self.identity[1]

    @property
    def attached(self) -> bool:
        """Whether it still runs."""
        return self._attached

    def pause(self) -> None:
        """Run nothing until `resume`; what is under way is recorded."""
        self._paused = True

    def resume(self) -> None:
        """Go on."""
        self._paused = False

    def detach(self) -> None:
        """Run it no more, and record what is held. Detaching twice is harmless."""
        if self._attached:
            self._take_off()
            self._guard.run(self._land)
        else:
            self._rounds.remove(self)  # Its hook may still be there, if it ended within a step.

    def refuse(self) -> None:
        """Never run it, since the model is spread over processes, and say so, here and in the tab."""
        self._take_off()
        reason = f"{SPREAD}; {self.kind.many} of such models are not recorded"
        if leads():
            self._telling.run(self._omit, 0, [Omission(self.kind.subject, reason)])
            warn(f"{reason}.", stacklevel=3)

    def due(self, step: int) -> bool:
        """Whether it wants to run at the end of `step`."""
        return not self._paused and self._under_way is None and self.schedule.due(step) and self._model() is not None

    def look(self, sharers: Sequence[Probe[Any]]) -> Look[Seen]:
        """Return a look at the inputs, for this probe and those that share it."""
        model = self._model()
        assert model is not None  # As it is due.
        return self._look(model, sharers)

    def take(self, step: int, look: Callable[[], Look[Seen]]) -> None:
        """Have what is seen in a look recorded as soon as it is here."""
        self._try(step, self._begin, step, look)
        self.collect(step)

    def collect(self, step: int) -> None:
        """Record what is under way, if that would not wait."""
        if self._under_way is not None:
            self._try(step, self._land_if_ready)

    def take_seconds_elsewhere(self) -> float:
        """Return the processor time that it took in other threads since the last call."""
        return 0.0

    def shares_with(self, other: Probe[Any]) -> bool:
        """Whether one look is enough for both."""
        return other is self

    @abstractmethod
    def _look(self, model: nn.Module, sharers: Sequence[Probe[Any]]) -> Look[Seen]:
        """Return a look at the inputs, for this probe and those that share it."""

    @abstractmethod
    def _write(self, step: int, seen: Seen) -> None:
        """Write what was seen."""

    @abstractmethod
    def _omit(self, step: int, omissions: Sequence[Omission]) -> None:
        """Say in the tab what is left out."""

    def _try(self, step: int, function: Callable[..., None], *arguments: Any) -> None:
        if not self._guard.run(function, *arguments):
            reason = f"no longer recorded, because of {self._guard.last_loss}"
            self._stop(step, Omission(self.kind.subject, reason))

    def _begin(self, step: int, look: Callable[[], Look[Seen]]) -> None:
        begun = look()
        _ = begun.seen
        self.schedule.ran(step)
        self._under_way = step, begun

    def _land_if_ready(self) -> None:
        if self._under_way is not None and self._under_way[1].ready:
            self._land()

    def _land(self) -> None:
        """Write what is under way, after waiting for it if need be."""
        under_way, self._under_way = self._under_way, None
        if under_way is None:
            return
        step, look = under_way
        seconds, began = look.seconds, time.perf_counter()
        self._write(step, look.seen)
        self.schedule.cost(seconds + time.perf_counter() - began)

    def _stop(self, step: int, *omissions: Omission) -> None:
        """Run it no more, and say why, here and in the tab."""
        self._take_off()
        if not leads():
            return
        self._telling.run(self._omit, step, omissions)
        if self._guard.on:
            warn(f"the {self.kind.one} {self.name!r}: {omissions[0].reason}. Training goes on.", stacklevel=2)

    def _take_off(self) -> None:
        self._attached = False
        self._rounds.remove(self)
