"""torch's GradScaler: its factor on the gradients, and the steps that it leaves out.

Where it found an infinity it does not call the optimizer's `step`, so that no hook hears of it. How often it did so
follows from its scale, which each such step makes smaller by the same factor. Only optimizers that remove the scale
themselves are called all the same, and told.
"""

from __future__ import annotations

import math
import sys
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

import numpy as np
from torch.amp import GradScaler
from torch.optim import Optimizer

from tb_netviz.pytorch.transfers import Transfer

_CALLERS = ("step", "_maybe_opt_step")
_DEPTH = 32
"""Frames between a hook and the scaler that are looked through, whatever wraps the optimizer's step."""
_SLACK = 1e-3
"""By which a count of the steps left out may miss a whole number, for the rounding of scales."""


class Scaling:
    """The loss scalers by which optimizers step, found where they call. Optimizers and scalers are held weakly."""

    def __init__(self) -> None:
        self._uses: weakref.WeakKeyDictionary[Optimizer, _Use] = weakref.WeakKeyDictionary()

    def begin(self, optimizer: Optimizer) -> bool:
        """Hear that `optimizer` steps, within a call of its `step`; return whether a scaler may leave out its steps."""
        use = self._uses.get(optimizer)
        if use is None:
            use = self._uses[optimizer] = _Use()
        return use.find() is not None and not hasattr(optimizer, "found_inf")

    def left_out(self, optimizer: Optimizer, *, most: int) -> int:
        """Return how many steps of `optimizer` its scaler has left out just before the one that begins.

        Args:
            optimizer: The optimizer.
            most: How many it can be: a scaler may have been in use before, and its scale may be set by hand.
        """
        use = self._uses[optimizer]
        scaler = use.scaler
        count = 0 if scaler is None else use.left_out(scaler, fresh=not optimizer.state)
        return count if count <= most else 0

    def scale(self, optimizer: Optimizer) -> float | Transfer:
        """Return the loss scale of the step in progress, 1 without one; from another device it is on its way."""
        use = self._uses.get(optimizer)
        scaler = None if use is None else use.scaler
        scale = None if scaler is None else scaler._get_scale_async()
        if scale is None:
            return 1.0
        return scale.item() if scale.is_cpu else Transfer(scale)


class _Use:
    """How an optimizer is used by a scaler."""

    def __init__(self) -> None:
        self._steps = 0
        self._scaler: weakref.ref[GradScaler] | None = None
        self._key = 0
        self._last: _State | None = None

    @property
    def scaler(self) -> GradScaler | None:
        """The scaler that has a hand in the step in progress."""
        scaler = None if self._scaler is None else self._scaler()
        return None if scaler is None or self._key not in scaler._per_optimizer_states else scaler

    def find(self) -> GradScaler | None:
        """Return the scaler by which the step in progress is called; an unknown one is looked for ever less often."""
        self._steps += 1
        if self.scaler is None and self._steps.bit_count() == 1:
            frame = _calling_frame(sys._getframe(1))
            if frame is not None:
                self._scaler = weakref.ref(frame.f_locals["self"])
                self._key = id(frame.f_locals["optimizer"])
        return self.scaler

    def left_out(self, scaler: GradScaler, *, fresh: bool) -> int:
        """Return how many steps `scaler` left out since the last one, for a `fresh` optimizer since its own first."""
        now = _State(scaler.get_scale(), scaler._get_growth_tracker(), scaler._per_optimizer_states)
        last, self._last = self._last, now
        if last is None:
            first = _State(scaler._init_scale, scaler._init_growth_tracker, {})
            return first.backoffs_until(now, scaler) if fresh else 0
        if last.optimizers is now.optimizers:
            return 0
        return last.updated(now, scaler).backoffs_until(now, scaler)


@dataclass(frozen=True, slots=True)
class _State:
    """What a scaler goes by at a step.

    Attributes:
        scale: The scale.
        tracker: How many steps in a row went well.
        optimizers: What it knows of the optimizers that step, until it is updated.
    """

    scale: float
    tracker: int
    optimizers: Mapping[int, Mapping[str, Any]]

    def updated(self, now: _State, scaler: GradScaler) -> _State:
        """Return the state after the update that ended the step, of which `now` is a later one."""
        if self.tracker + 1 < scaler.get_growth_interval():
            well = _State(self.scale, self.tracker + 1, {})
        else:
            with np.errstate(over="ignore"):
                grown = float(np.float32(self.scale) * np.float32(scaler.get_growth_factor()))
            well = _State(grown if math.isfinite(grown) else self.scale, 0, {})
        # Another optimizer may have met an infinity in the same step. Looking is for when there was one at all.
        if well.same(now) or not self._found_infinity():
            return well
        return _State(self.scale * scaler.get_backoff_factor(), 0, {})

    def backoffs_until(self, now: _State, scaler: GradScaler) -> int:
        """Return how many infinities in a row take `scaler` from this state to `now`, 0 if there is no such number."""
        untouched = now.tracker == self.tracker > 0  # So the user has set the scale.
        if self.same(now) or untouched or min(now.scale, self.scale) <= 0:
            return 0
        times = math.log(now.scale / self.scale) / math.log(scaler.get_backoff_factor())
        return max(0, round(times)) if abs(times - round(times)) < _SLACK else 0

    def same(self, other: _State) -> bool:
        """Whether scale and tracker are equal."""
        return (self.scale, self.tracker) == (other.scale, other.tracker)

    def _found_infinity(self) -> bool:
        return any(
            float(found) for known in self.optimizers.values() for found in known["found_inf_per_device"].values()
        )


def _calling_frame(frame: FrameType | None) -> FrameType | None:
    """Return the frame of the scaler's method that led to `frame`, if there is one."""
    for _ in range(_DEPTH):
        if frame is None:
            return None
        if frame.f_code.co_name in _CALLERS:
            owner = frame.f_locals.get("self")
            if isinstance(owner, GradScaler) and owner.is_enabled():
                return frame
        frame = frame.f_back
    return None
