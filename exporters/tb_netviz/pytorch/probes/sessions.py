"""The training that a probe runs beside: which step it is at, and what is to be told of the cost."""

from __future__ import annotations

import weakref
from typing import Protocol

from torch import nn
from torch.optim import Optimizer

from tb_netviz.pytorch.membership import Membership
from tb_netviz.pytorch.steps import StepCounter
from tb_netviz.pytorch.watch import Watch

BUDGET = 0.02
"""Share of the training time for all that is recorded, where no watch has one."""
PATIENCE = 32
"""Steps after which a cost is told at an observed one, where there was no other."""


class Session(Protocol):
    """The training of one model."""

    @property
    def budget(self) -> float:
        """Share of the training time for all that is recorded."""

    @property
    def over(self) -> bool:
        """Whether the model is no longer watched."""

    @property
    def resting(self) -> bool:
        """Whether nothing is to be recorded now."""

    def step_of(self, optimizer: Optimizer) -> int | None:
        """Return the step that ends now that `optimizer` has stepped; None if it steps another model."""

    def spend(self, seconds: float) -> None:
        """Tell what a probe took."""


class WatchedTraining:
    """That of a model that is watched.

    What a probe takes is told as a part of what recording takes. It is told at a step that the statistics don't
    observe, so that it isn't taken for the price of an observation, by which they choose how often they observe.

    Args:
        watch: The watch.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._owed = 0.0
        self._waited = 0

    @property
    def budget(self) -> float:
        """Share of the training time for all that is recorded."""
        return self._watch._recorder._told_schedule.budget or BUDGET

    @property
    def over(self) -> bool:
        """Whether the watch was detached."""
        return not self._watch.attached

    @property
    def resting(self) -> bool:
        """Whether the watch is paused."""
        return self._watch._paused

    def step_of(self, optimizer: Optimizer) -> int | None:
        """Return the step that ends now that `optimizer` has stepped; None if it steps another model."""
        if not self._watch._members.concerns(optimizer):
            return None
        step = self._watch.step
        self._settle(step)
        return step

    def spend(self, seconds: float) -> None:
        """Tell what a probe took."""
        self._owed += seconds

    def _settle(self, step: int) -> None:
        if not self._owed:
            return
        self._waited += 1
        if self._waited > PATIENCE or not self._watch._recorder.observes(step):
            self._watch._guard.seconds += self._owed
            self._owed, self._waited = 0.0, 0


class BareTraining:
    """That of a model that nothing else of ours watches.

    Args:
        model: The model, held weakly.
    """

    budget = BUDGET
    resting = False

    def __init__(self, model: nn.Module) -> None:
        self._model = weakref.ref(model)
        self._members = Membership(model)
        self._steps = StepCounter()

    @property
    def over(self) -> bool:
        """Whether the model is gone."""
        return self._model() is None

    def step_of(self, optimizer: Optimizer) -> int | None:
        """Return the step that ends now that `optimizer` has stepped; None if it steps another model."""
        if not self._members.concerns(optimizer):
            return None
        step = self._steps.begin(optimizer)
        self._steps.done(optimizer)
        return step

    def spend(self, seconds: float) -> None:
        """Nobody is told."""
