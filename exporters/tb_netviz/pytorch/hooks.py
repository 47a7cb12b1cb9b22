"""Callables that hang on the user's model and optimizer.

They never raise, and they don't travel: a copied or pickled model carries a callable of the standard library that does
nothing, so that it can be loaded where netviz is not installed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch.optim import Optimizer

from tb_netviz.events import warn
from tb_netviz.pytorch.compiled import can_leave_the_graph
from tb_netviz.pytorch.steps import StepCounter

_Inert = tuple[Callable[..., Any], tuple[Any, str]]


class _Hook:
    def __reduce__(self) -> _Inert:
        return getattr, (nullcontext(), "__exit__")  # Takes any arguments and returns None.


class ForwardMark(_Hook):
    """Forward pre-hook that tells a StepCounter of each pass. torch.compile traces it, hence its bareness."""

    def __init__(self, steps: StepCounter) -> None:
        self._steps = steps

    def __call__(self, module: torch.nn.Module, _args: object) -> None:
        """Note the pass."""
        if module.training:
            self._steps.forwarded = True
        else:
            self._steps.evaluated = True


class Guard:
    """Lets our code run inside the user's training without ever stopping it.

    The first exception is reported, and from then on nothing runs.

    Attributes:
        on: Whether hooks run.
        seconds: Time spent in them since it was last taken.
    """

    def __init__(self, subject: str) -> None:
        self.on = True
        self.seconds = 0.0
        self._subject = subject

    def run(self, function: Callable[..., None], *args: Any) -> None:
        """Call `function`, unless something has failed before."""
        if not self.on:
            return
        began = time.perf_counter()
        try:
            with torch.no_grad():
                function(*args)
        except Exception as error:
            self.on = False
            warn(f"{self._subject} is no longer recorded, because of {type(error).__name__}: {error}", stacklevel=4)
        self.seconds += time.perf_counter() - began

    def take_seconds(self) -> float:
        """Return the time spent since the last call."""
        seconds, self.seconds = self.seconds, 0.0
        return seconds


class Hook(_Hook):
    """A guarded hook. Inside a graph that torch.compile traces it is absent, unless it is an optimizer's.

    A compiled `optimizer.step` is left for it: torch's own optimizers break the graph there anyway, and nothing else
    would tell of the step.
    """

    def __init__(self, guard: Guard, function: Callable[..., None]) -> None:
        self._guard = guard
        self._function = function

    def __call__(self, *args: Any) -> None:
        """Call the function with what torch hands over."""
        if not torch.compiler.is_compiling():
            self._guard.run(self._function, *args)
        elif isinstance(args[0], Optimizer) and can_leave_the_graph():
            self._outside(*args)

    @torch.compiler.disable
    def _outside(self, *args: Any) -> None:
        self._guard.run(self._function, *args)
