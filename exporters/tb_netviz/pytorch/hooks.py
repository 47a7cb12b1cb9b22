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


class Passes:
    """Which forward passes there were since it was last cleared.

    Attributes:
        learned: With gradients, in training mode,
        learned_in_evaluation: and in evaluation mode.
        judged: Without gradients, in evaluation mode,
        judged_in_training: and in training mode.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget them."""
        self.learned = self.learned_in_evaluation = self.judged = self.judged_in_training = False


class ForwardMark(_Hook):
    """Forward pre-hook that tells of each pass. torch.compile traces it, hence its bareness."""

    def __init__(self, steps: StepCounter, passes: Passes) -> None:
        self._steps = steps
        self._passes = passes

    def __call__(self, module: torch.nn.Module, _args: object) -> None:
        """Note the pass."""
        learns = torch.is_grad_enabled()
        if module.training:
            self._steps.forwarded = True
            if learns:
                self._passes.learned = True
            else:
                self._passes.judged_in_training = True
        else:
            self._steps.evaluated = True
            if learns:
                self._passes.learned_in_evaluation = True
            else:
                self._passes.judged = True


def is_capturing() -> bool:
    """Whether what runs is being captured, for a CUDA graph or by torch.jit.trace.

    A copy to the host would break it, and anything else would be run again with it.
    """
    if torch._C._get_tracing_state() is not None:
        return True
    initialized = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]  # In torch.
    return bool(initialized and torch.cuda.is_current_stream_capturing())


class Guard:
    """Lets our code run inside the user's training without ever stopping it.

    The first exception is reported, and from then on nothing that it guards runs; the other parts of what it belongs to
    go on.

    Args:
        subject: What is lost with it, for the report.
        whole: The guard that this one is a part of; with it off nothing runs here, either.
        tells: Whether failures are reported. Of the processes of a run the first one reports.

    Attributes:
        on: Whether it still runs something.
        seconds: Time spent in it and its parts since it was last taken.
        losses: What went off, and why, since the list was last cleared; its parts included.
        last_loss: What went off last, in words.
    """

    def __init__(self, subject: str, whole: Guard | None = None, *, tells: bool = True) -> None:
        self.on = True
        self.seconds = 0.0
        self.losses: list[tuple[str, str]] = []
        self.last_loss = ""
        self._subject = subject
        self._whole = whole
        self._tells = tells
        self._running = False

    def part(self, subject: str) -> Guard:
        """Return a guard for a part of what this one guards."""
        return Guard(subject, self)

    def run(self, function: Callable[..., object], *args: Any) -> bool:
        """Call `function`, unless something has failed before; return whether it went well."""
        whole = self._whole or self
        if not (self.on and whole.on):
            return False
        if whole._running:
            return self._try(function, args)
        began = time.perf_counter()
        whole._running = True
        with_gradients = torch.is_grad_enabled()
        torch._C._set_grad_enabled(False)  # no_grad() takes ten times as long, at every step of a small network.
        try:
            return self._try(function, args)
        finally:  # An interrupt from the keyboard passes through.
            torch._C._set_grad_enabled(with_gradients)
            whole._running = False
            whole.seconds += time.perf_counter() - began

    def _try(self, function: Callable[..., object], args: tuple[Any, ...]) -> bool:
        try:
            function(*args)
        except Exception as error:
            self.on = False
            reason = f"{type(error).__name__}: {error}"
            whole = self._whole or self
            whole.losses.append((self._subject, reason))
            whole.last_loss = f"{self._subject}: {reason}"
            of = f" of {_lower(whole._subject)}" if self._whole else ""
            if whole._tells:
                warn(f"{self._subject}{of}: no longer recorded, because of {reason}", stacklevel=5)
            return False
        return True

    def take_seconds(self) -> float:
        """Return the time spent since the last call."""
        seconds, self.seconds = self.seconds, 0.0
        return seconds


def _lower(words: str) -> str:
    return words[:1].lower() + words[1:]


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
            self._run(*args)
        elif isinstance(args[0], Optimizer) and can_leave_the_graph():
            self._outside(*args)

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # torch leaves it untyped.
    def _outside(self, *args: Any) -> None:
        self._run(*args)

    def _run(self, *args: Any) -> None:
        if not is_capturing():
            self._guard.run(self._function, *args)


class Gate:
    """Says whether hooks that cost something are to do it.

    Attributes:
        open: Whether they are.
    """

    def __init__(self) -> None:
        self.open = False


class GatedHook(_Hook):
    """A guarded hook that does nothing but look at a gate while that is closed; absent inside a compiled graph."""

    def __init__(self, gate: Gate, guard: Guard, function: Callable[..., None]) -> None:
        self._gate = gate
        self._guard = guard
        self._function = function

    def __call__(self, *args: Any) -> None:
        """Call the function with what torch hands over."""
        if not torch.compiler.is_compiling() and self._gate.open and not is_capturing():
            self._guard.run(self._function, *args)


class PassHook(_Hook):
    """A guarded forward hook that tells passes with gradients from those without; absent inside a compiled graph.

    Args:
        guard: Runs what is called.
        learning: Says whether passes with gradients count,
        learned: and takes them.
        judging: Says whether passes without gradients count,
        judged: and takes them.
    """

    def __init__(
        self, guard: Guard, learning: Gate, learned: Callable[..., None], judging: Gate, judged: Callable[..., None]
    ) -> None:
        self._guard = guard
        self._with_gradients = learning, learned
        self._without = judging, judged

    def __call__(self, *args: Any) -> None:
        """Call the function with what torch hands over."""
        if torch.compiler.is_compiling():
            return
        gate, function = self._with_gradients if torch.is_grad_enabled() else self._without
        if gate.open and not is_capturing():
            self._guard.run(function, *args)
