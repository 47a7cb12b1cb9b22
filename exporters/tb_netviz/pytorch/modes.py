"""Whether a model is in evaluation mode when it is evaluated, and in training mode when it is trained.

Only modules that do something else in the other mode make a difference: dropout, and normalisations with running
statistics.
"""

from __future__ import annotations

import weakref
from typing import Any

from torch import nn

from tb_netviz.pytorch.details import dropout_of
from tb_netviz.pytorch.hooks import ForwardMark, Guard, Passes
from tb_netviz.pytorch.standard import Dashboards
from tb_netviz.pytorch.steps import StepCounter

_RARELY = 2
"""Steps to each evaluation: passes without gradients at more of them are something else, such as those of a generator,
of a policy that acts, or of activations that are computed again."""


class Modes:
    """Tells of evaluations in training mode, and of training in evaluation mode.

    Args:
        guard: Runs it.
        model: The model, without wrappers; held weakly.
        steps: Tells which step is in progress.
        dashboards: Takes what is found.

    Attributes:
        mark: Hangs on the model, and sees its forward passes.
    """

    def __init__(self, guard: Guard, model: nn.Module, steps: StepCounter, dashboards: Dashboards) -> None:
        self.mark = ForwardMark(steps, passes := Passes())
        self._guard = guard
        self._model = weakref.ref(model)
        self._passes = passes
        self._dashboards = dashboards
        self._steps = 0
        self._evaluations = 0
        self._evaluated = False
        self._was: bool | None = None
        self._last = self._told = -1

    def end(self, step: int) -> bool:
        """Take in the passes since the step before, and return whether there was an evaluation among them.

        Args:
            step: The one that begins, or the last one, which is over.
        """
        self._evaluated = False
        self._guard.run(self._take, step)
        self._passes.clear()
        return self._evaluated

    def forget(self) -> None:
        """Forget passes that belong to no step."""
        self._passes.clear()

    def _take(self, step: int) -> None:
        passes = self._passes
        self._steps += 1
        if passes.judged or passes.judged_in_training:
            self._evaluations += 1
            self._evaluated = self._evaluations * _RARELY <= self._steps
            if self._evaluated:
                in_training = passes.judged_in_training and not passes.judged
                self._dashboards.evaluated(step, in_training=in_training and self._differs(training=True))
        if passes.learned or passes.learned_in_evaluation:
            in_evaluation = passes.learned_in_evaluation and not passes.learned
            self._tell_training(step, in_evaluation and self._differs(training=False))

    def _tell_training(self, step: int, in_evaluation: bool) -> None:
        changed = in_evaluation != self._was
        if changed and self._was is not None and self._last != self._told:
            self._dashboards.trained(self._last, in_evaluation=self._was)  # So far it was as before.
        if changed or self._steps & (self._steps - 1) == 0:
            self._dashboards.trained(step, in_evaluation=in_evaluation)
            self._told = step
        self._was, self._last = in_evaluation, step

    def _differs(self, *, training: bool) -> bool:
        """Whether some module does something else in the other mode, and all such modules are in that mode now."""
        model = self._model()
        modes = [] if model is None else [module.training for module in model.modules() if _is_modal(module)]
        return bool(modes) and all(mode is training for mode in modes)


def _is_modal(module: Any) -> bool:
    """Whether a module of torch does something else in evaluation."""
    if isinstance(module, nn.modules.batchnorm._NormBase):
        return bool(module.track_running_stats)
    return dropout_of(module) > 0
