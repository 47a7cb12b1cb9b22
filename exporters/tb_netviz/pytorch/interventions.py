"""What is done to gradients: clipped, left out of steps by a loss scaler, and set to zero too early or not at all."""

from __future__ import annotations

import itertools
import sys
import weakref
from collections import deque
from collections.abc import Iterable, Mapping

from torch import nn
from torch.optim import Optimizer

from tb_netviz.pytorch.clipping import Clipping, Comparison
from tb_netviz.pytorch.hooks import Guard
from tb_netviz.pytorch.measurement import Measurement
from tb_netviz.pytorch.membership import Membership
from tb_netviz.pytorch.roster import Roster
from tb_netviz.pytorch.scaler import Scaling
from tb_netviz.pytorch.standard import LEARNING_RATES, Dashboards
from tb_netviz.pytorch.structure import Home
from tb_netviz.pytorch.survival import Survival
from tb_netviz.pytorch.transfers import Transfer


class Interventions:
    """Tells what was done to the gradients of a watched model, and which steps were left out. Its parts fail alone.

    Args:
        guard: Runs the observer of the model.
        dashboards: Takes what is found.
        members: Knows the optimizers.
        roster: Knows where parameters live.
    """

    def __init__(self, guard: Guard, dashboards: Dashboards, members: Membership, roster: Roster) -> None:
        self._of_clipping = guard.part("The gradients before clipping")
        self._of_scaling = guard.part("The steps that a loss scaler leaves out")
        self._of_survival = guard.part("The gradients that a step leaves")
        self._dashboards = dashboards
        self._members = members
        self._clipping = Clipping(self._of_clipping)
        self._survival = Survival(self._of_survival, roster)
        self._scaling = Scaling()
        self._heard: weakref.WeakKeyDictionary[Optimizer, tuple[int, int]] = weakref.WeakKeyDictionary()
        self._told: deque[tuple[int, Transfer]] = deque()
        self._were_gone: set[int] = set()

    def listen(self, homes: Iterable[Home]) -> None:
        """Listen to the backward passes of a step that will be observed."""
        self._of_clipping.run(self._clipping.listen, homes)

    def mute(self) -> None:
        """Listen to none."""
        self._of_clipping.run(self._clipping.mute)

    def free(self) -> None:
        """Listen to none, follow nothing, and forget what was heard."""
        self._clipping.free()
        self._survival.free()

    def left_out(self, optimizer: Optimizer, *, first: bool) -> int:
        """Return how many steps of `optimizer` a loss scaler has left out just before the one that begins.

        They are fewer than the backward passes in between, where those were heard.

        Args:
            optimizer: The optimizer.
            first: Whether it is the first step of all. What a scaler did before is no concern of this run.
        """
        found: list[int] = []
        self._of_scaling.run(self._count_left_out, optimizer, first, found)
        return sum(found)

    def _count_left_out(self, optimizer: Optimizer, first: bool, found: list[int]) -> None:
        if self._scaling.begin(optimizer):
            found.append(self._scaling.left_out(optimizer, most=self._at_most(optimizer, first=first)))

    def _at_most(self, optimizer: Optimizer, *, first: bool) -> int:
        now = self._clipping.passes, self._clipping.silences
        passes, silences = self._heard.get(optimizer, (0, 0) if first else now)
        known = optimizer in self._heard
        self._heard[optimizer] = now
        if known and (now[1] != silences or now[0] == passes):
            return sys.maxsize  # Not all passes were heard.
        return max(0, now[0] - passes - 1)

    def skip(self, steps: Iterable[int]) -> None:
        """Write that `steps` were left out."""
        for step in steps:
            self._of_scaling.run(self._dashboards.skipped, step)

    def hear(self, step: int, optimizer: Optimizer) -> None:
        """Hear after `step` whether a loss scaler told `optimizer` itself to leave it out."""
        found_inf = getattr(optimizer, "found_inf", None)
        if found_inf is not None:
            self._told.append((step, Transfer(found_inf)))
        while self._told and self._told[0][1].ready:
            self._tell()

    def land(self) -> None:
        """Wait for what is not known yet."""
        while self._told:
            self._tell()
        self._of_survival.run(self._tell_of_survival, True)

    def follow(self, step: int, optimizer: Optimizer, parameters: Mapping[int, nn.Parameter]) -> None:
        """Follow after `step` what becomes of the gradients that `optimizer` has used, of `parameters` by row."""
        self._of_survival.run(self._follow, step, optimizer, parameters)

    def conclude(self, optimizer: Optimizer) -> None:
        """Write what became of the gradients of its last step, where that was observed, as the next one begins."""
        if self._survival.idle:
            return
        if not self._of_survival.run(self._survival.conclude, optimizer):
            self._survival.free()
        self._of_survival.run(self._tell_of_survival, False)

    def compare(self, comparison: Comparison, parameters: Mapping[int, nn.Parameter], optimizer: Optimizer) -> None:
        """Look at gradients as `optimizer` gets them, by row."""
        self._of_clipping.run(self._compare, comparison, parameters, optimizer)

    def scale(self, optimizer: Optimizer) -> float | Transfer:
        """Return the loss scale in the backward passes of the step in progress, 1 without one."""
        found: list[float | Transfer] = []
        self._of_scaling.run(lambda: found.append(self._scaling.scale(optimizer)))
        return found[0] if found else 1.0

    def show(self, step: int, comparison: Comparison, measurement: Measurement) -> None:
        """Write what became of the gradients of an observed step."""
        self._of_clipping.run(self._show, step, comparison, measurement)

    def _tell(self) -> None:
        step, found_inf = self._told.popleft()
        if found_inf.number() != 0:
            self.skip([step])

    def _follow(self, step: int, optimizer: Optimizer, parameters: Mapping[int, nn.Parameter]) -> None:
        self._survival.follow(step, optimizer, self._places(optimizer), parameters)

    def _places(self, optimizer: Optimizer) -> range:
        """Return the places of its groups among those of all optimizers, as many as something is written of."""
        others = itertools.takewhile(lambda other: other is not optimizer, self._members.optimizers)
        first = sum(len(other.param_groups) for other in others)
        return range(first, min(first + len(optimizer.param_groups), LEARNING_RATES))

    def _tell_of_survival(self, wait: bool) -> None:
        groups = sum(len(optimizer.param_groups) for optimizer in self._members.optimizers)
        for outcome in self._survival.outcomes(wait=wait):
            self._dashboards.survived(outcome, groups)

    def _compare(self, comparison: Comparison, parameters: Mapping[int, nn.Parameter], optimizer: Optimizer) -> None:
        self._clipping.take(comparison, parameters, self._scaling.scale(optimizer))
        rows = {id(parameter): row for row, parameter in parameters.items()}
        for place, group in zip(self._places(optimizer), optimizer.param_groups, strict=False):
            comparison.places.update((rows[id(one)], place) for one in group["params"] if id(one) in rows)

    def _show(self, step: int, comparison: Comparison, measurement: Measurement) -> None:
        norms, peaks = measurement.column("grad_norm"), measurement.column("grad_abs_max")
        outcome = self._clipping.end(comparison, norms, peaks)
        if outcome is not None:
            self._dashboards.clipped(step, outcome)
        self._show_gone(step, comparison)

    def _show_gone(self, step: int, comparison: Comparison) -> None:
        """Write of which optimizer groups all gradients were gone before the step; of others only once theirs were."""
        if not comparison.gone and not self._were_gone:
            return
        had = {row: place for row, place in comparison.places.items() if row not in comparison.zero}
        left = {place for row, place in had.items() if row in comparison.notes and row not in comparison.gone}
        stepped = left | {place for row, place in had.items() if row in comparison.gone}
        self._were_gone |= stepped - left
        groups = sum(len(optimizer.param_groups) for optimizer in self._members.optimizers)
        for place in sorted(stepped & self._were_gone):
            self._dashboards.gone(step, place, groups, gone=place not in left)
