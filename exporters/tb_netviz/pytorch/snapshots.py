"""Copies of gradients and weights that are held between two moments and freed at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class LastGradients:
    """The gradients of one step, for the inner product with those of the next.

    While the gradients of a step are kept, those of the step before are still there to be compared with.
    """

    def __init__(self) -> None:
        self._steps: dict[int, dict[int, Tensor]] = {}

    def keep(self, step: int, rows: Sequence[int], gradients: Sequence[Tensor | None]) -> None:
        """Copy the dense ones among the gradients of some rows at `step`."""
        kept = self._steps.setdefault(step, {})
        for row, gradient in zip(rows, gradients, strict=True):
            if gradient is not None and gradient.layout is torch.strided:
                kept[row] = gradient.detach().clone()

    def before(self, step: int) -> dict[int, Tensor]:
        """Return what was kept at the step before `step`, by row."""
        return self._steps.get(step - 1, {})

    def end(self, step: int) -> None:
        """Free what no step after `step` can be compared with."""
        for older in [other for other in self._steps if other < step]:
            del self._steps[older]

    def free(self) -> None:
        """Let go of everything."""
        self._steps = {}


def copies(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return copies that share no memory and ask for no gradient."""
    return [tensor.detach().clone() for tensor in tensors]
