"""The end of a backward pass, heard from the parameters."""

from __future__ import annotations

from collections.abc import Callable

import torch

from tb_netviz.pytorch.hooks import Guard, is_capturing


class GradientMark:
    """Post-accumulate hook of parameters that calls a function once the backward pass is over.

    The callback queues another: that one runs after those by which distributed wrappers put the reduced gradients into
    their place. Of all the parameters of a pass only the first does more than look. Copied or pickled parameters leave
    such hooks behind.

    Args:
        guard: Runs the function.
        function: Is called at the end of each backward pass.
    """

    def __init__(self, guard: Guard, function: Callable[[], None]) -> None:
        self._guard = guard
        self._function = function
        self._queued = False

    def __call__(self, _parameter: torch.Tensor) -> None:
        """Note that a gradient was accumulated."""
        if not self._queued and not torch.compiler.is_compiling() and not is_capturing():
            self._guard.run(self._queue)

    def reset(self) -> None:
        """Forget a pass that was broken off."""
        self._queued = False

    def _queue(self) -> None:
        _queue_callback(self._nearly_over)
        self._queued = True

    def _nearly_over(self) -> None:
        self._guard.run(_queue_callback, self._over)

    def _over(self) -> None:
        self._queued = False
        self._guard.run(self._function)


def _queue_callback(function: Callable[[], None]) -> None:
    """Let `function` run when the backward pass in progress has computed all gradients."""
    torch.autograd.Variable._execution_engine.queue_callback(function)
