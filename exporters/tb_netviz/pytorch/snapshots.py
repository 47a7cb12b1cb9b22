"""Copies of gradients and weights that are held between two moments and freed at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tb_netviz.pytorch.reductions import host

SHARE_OF_FREE_MEMORY = 0.25
"""Of a GPU's memory that copies of gradients may take; where they would take more, no angle is recorded."""


@dataclass(frozen=True)
class _Kept:
    """The gradient of a row at a step: a copy, or the tensor itself while nobody writes into it.

    Attributes:
        gradient: The tensor that autograd filled.
        version: How often it had been written into when it was kept.
        copy: A copy of it.
    """

    gradient: Tensor
    version: int
    copy: Tensor | None = None

    def untouched(self, now: Tensor | None) -> bool:
        """Whether the tensor is as it was, given the gradient of the next step."""
        replaced = now is None or now.data_ptr() != self.gradient.data_ptr()
        return replaced and self.gradient._version == self.version


@dataclass
class LastGradients:
    """The gradients of one step, for the inner product with those of the next.

    Where training drops its gradients after each step, as `zero_grad` does by default, keeping one costs nothing:
    autograd fills another tensor for the next. Whether it is so is seen at the first pair of steps, for which copies
    are made; a gradient that is written into later on is copied from then on. On an accelerator, where graphs reuse
    memory, it always is. While the gradients of a step are kept, those of the step before are still there to be
    compared with.
    """

    _steps: dict[int, dict[int, _Kept]] = field(default_factory=dict)
    _trusted: set[int] = field(default_factory=set)
    _distrusted: set[int] = field(default_factory=set)

    def keep(self, step: int, rows: Sequence[int], gradients: Sequence[Tensor | None]) -> None:
        """Keep the dense ones among the gradients of some rows at `step`."""
        if not _have_room([gradient for gradient in gradients if gradient is not None and gradient.is_cuda]):
            return
        kept = self._steps.setdefault(step, {})
        for row, gradient in zip(rows, gradients, strict=True):
            if gradient is not None and gradient.layout is torch.strided:
                trusted = row in self._trusted and gradient.is_cpu
                gradient = gradient.detach()  # noqa: PLW2901  Without what else the user hangs on it.
                kept[row] = _Kept(gradient, gradient._version, None if trusted else gradient.clone())

    def before(self, step: int, gradients: Mapping[int, Tensor | None]) -> dict[int, Tensor]:
        """Return what is known of the step before `step`, by row.

        Args:
            step: The step in progress.
            gradients: Its gradients, by row.
        """
        known = {}
        earlier = self._steps.get(step - 1, {})
        for row in earlier.keys() & gradients.keys():
            kept = earlier.pop(row)  # Used once, so that it is freed as soon as it was.
            if not kept.untouched(gradients[row]):
                self._distrusted.add(row)
                self._trusted.discard(row)
            elif row not in self._distrusted:
                self._trusted.add(row)
            if kept.copy is not None:
                known[row] = kept.copy
            elif row in self._trusted:
                known[row] = kept.gradient
        return known

    def end(self, step: int) -> None:
        """Free what no step after `step` can be compared with."""
        for older in [other for other in self._steps if other < step]:
            del self._steps[older]

    def free(self) -> None:
        """Let go of everything."""
        self._steps = {}


def _have_room(gradients: Sequence[Tensor]) -> bool:
    """Whether copies of gradients on a GPU are sure to leave training the memory that it needs.

    They outlive the next forward and backward pass. Running out of memory there would be the user's error message.
    """
    for device in {gradient.device for gradient in gradients}:
        needed = sum(gradient.numel() * gradient.element_size() for gradient in gradients if gradient.device == device)
        free, _ = torch.cuda.mem_get_info(device)
        spare = free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        if needed > SHARE_OF_FREE_MEMORY * spare:
            return False
    return True


def copies(rows: Sequence[int], tensors: Sequence[Tensor]) -> dict[int, Tensor]:
    """Return copies that share no memory and ask for no gradient, by row."""
    return dict(zip(rows, host.copies(tensors), strict=True))
