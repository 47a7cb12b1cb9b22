"""Goes round the probes of a training at each of its steps."""

from __future__ import annotations

import time
from functools import cache, partial
from typing import Any

from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.hooks import RemovableHandle

from tb_netviz.pytorch.hooks import Guard, Hook
from tb_netviz.pytorch.probes.probe import Probe
from tb_netviz.pytorch.probes.sessions import Session
from tb_netviz.pytorch.shards import leads
from tb_netviz.recorder.probing import TimeBudget

_over: list[RemovableHandle] = []
"""Hooks of rounds that ended within a step, which do nothing any longer."""


class _Turn(Hook):
    """Has rounds made at each step, until it is ended: torch, which goes through the hooks then, can't miss one."""

    def end(self) -> None:
        """Do nothing any longer, and let go of what was to be done."""
        self._function = _nothing


def _nothing(*_: object) -> None:
    """Take the place of what is over."""


class Rounds:
    """The probes of one training. They share what they may cost; such as can do so share a pass.

    Args:
        session: The training.

    Attributes:
        time: What they may cost.
        probes: Those that still run.
    """

    def __init__(self, session: Session) -> None:
        self.time = TimeBudget(session.budget)
        self.probes: list[Probe[Any]] = []
        self._session = session
        self._guard = Guard("The steps at which probes are due", tells=leads())
        self._turn = _Turn(self._guard, self._stepped)
        self._handle: RemovableHandle | None = None
        self._within_step = False
        self._ended: float | None = None  # When we were through with the last optimizer step.

    @property
    def over(self) -> bool:
        """Whether nothing is looked at any longer."""
        return self._session.over or (self._handle is not None and not self.probes)

    def add(self, probe: Probe[Any]) -> None:
        """Go to this one, too."""
        self.probes.append(probe)
        if self._handle is None:
            _sweep()
            self._handle = register_optimizer_step_post_hook(self._turn)

    def remove(self, probe: Probe[Any]) -> None:
        """Go to it no more. Where that is the last one, the hook is taken out, within a step a while later."""
        if probe in self.probes:
            self.probes.remove(probe)
            if not self.probes and self._handle is not None:
                self._turn.end()
                _over.append(self._handle)
        if not self._within_step:
            _sweep()

    def _stepped(self, optimizer: Optimizer, _arguments: object, _keywords: object) -> None:
        self._within_step = True
        try:
            self._make(optimizer)
        finally:
            self._within_step = False

    def _make(self, optimizer: Optimizer) -> None:
        probes = tuple(self.probes)
        if self._session.over or not leads():
            for probe in probes:
                probe.detach()
            return
        step = self._session.step_of(optimizer)
        if step is None:
            return
        began = time.perf_counter()
        if self._ended is not None:
            self.time.trained(began - self._ended)
        self._go_round(step)
        self._ended = time.perf_counter()
        self._session.spend(self._ended - began + sum(probe.take_seconds_elsewhere() for probe in probes))

    def _go_round(self, step: int) -> None:
        for probe in tuple(self.probes):
            probe.collect(step)
        due = {} if self._session.resting else {probe.schedule: probe for probe in self.probes if probe.due(step)}
        chosen = [due[schedule] for schedule in self.time.afforded(due)]
        while chosen:
            sharers = [probe for probe in chosen if probe.shares_with(chosen[0])]
            look = cache(partial(chosen[0].look, sharers))  # By the first that takes it, which answers for it.
            for probe in sharers:
                probe.take(step, look)
            chosen = [probe for probe in chosen if probe not in sharers]


def _sweep() -> None:
    """Take out the hooks of rounds that are over. No optimizer of this thread is stepping."""
    while _over:
        _over.pop().remove()
