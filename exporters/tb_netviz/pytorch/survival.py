"""Whether the gradients that a step has used are still there when the next backward pass adds to them.

Nothing is estimated: at each pass until the next step of the same optimizer it is looked, just before the pass adds to
it, whether a parameter holds what it held at the end of the step, or at the end of the pass before.
"""

from __future__ import annotations

import itertools
import weakref
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tb_netviz.pytorch.backward import GradientMark
from tb_netviz.pytorch.hooks import Guard, is_capturing
from tb_netviz.pytorch.roster import Roster
from tb_netviz.pytorch.shards import is_sharded
from tb_netviz.pytorch.structure import Home
from tb_netviz.pytorch.transfers import Transfer

PASSES = 64
"""Backward passes between two steps that are looked at: of an optimizer that has more of them nothing is said."""

ALWAYS_FOLLOWED = 8
"""Steps at the beginning that are followed. Later those whose count is a power of two, and all once one was kept."""

_Mark = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Survived:
    """What became of the gradients of a group.

    Attributes:
        step: The step that had used them.
        place: Place of the group among those of all optimizers.
        kept: Whether the next ones were added to them.
    """

    step: int
    place: int
    kept: bool


class Survival:
    """Follows the gradients of the first and last parameter of each group from a step of an optimizer to its next one.

    Args:
        guard: Runs what hangs on the parameters.
        roster: Knows where parameters live.
    """

    def __init__(self, guard: Guard, roster: Roster) -> None:
        self._guard = guard
        self._roster = roster
        self._mark = GradientMark(guard, self._pass_is_over)
        self._followed: list[_Leftover] = []
        self._over: deque[_Leftover] = deque()
        self._steps: weakref.WeakKeyDictionary[Optimizer, int] = weakref.WeakKeyDictionary()
        self._were_kept = False

    def follow(self, step: int, optimizer: Optimizer, places: range, parameters: Mapping[int, nn.Parameter]) -> None:
        """Follow what the step of an optimizer, which is over, has left.

        Args:
            step: Its index.
            optimizer: The optimizer.
            places: Of its groups, as many as are followed.
            parameters: Those that it may be followed in, by row.
        """
        if not self._is_due(optimizer) or torch._C._current_graph_task_id() != -1:
            return  # Inside a backward pass is no time to change what hangs on parameters.
        self._mark.reset()
        rows = {id(parameter): row for row, parameter in parameters.items()}
        for place, group in zip(places, optimizer.param_groups, strict=False):
            ours = [parameter for parameter in group["params"] if id(parameter) in rows and _can_be_followed(parameter)]
            for parameter in ours[:1] + ours[1:][-1:]:
                (home,) = self._roster.homes([rows[id(parameter)]])
                self._followed.append(_Leftover(step, place, optimizer, parameter, home, self._guard, self._mark))

    def conclude(self, optimizer: Optimizer) -> None:
        """Follow no longer what `optimizer` has left, whose next step begins, nor what one has left that is gone."""
        over = [leftover for leftover in self._followed if leftover.optimizer() in (optimizer, None)]
        for leftover in over:
            leftover.compare()
            leftover.leave()
        self._followed = [leftover for leftover in self._followed if leftover not in over]
        self._over += [leftover for leftover in over if leftover.optimizer() is optimizer]

    def outcomes(self, *, wait: bool = False) -> Iterator[Survived]:
        """Yield what has become known since the last call, in the order of the steps.

        Args:
            wait: Whether to wait for what is on its way from a device.
        """
        for (step, place), group in itertools.groupby(list(self._over), lambda one: (one.step, one.place)):
            leftovers = list(group)
            if not wait and not all(leftover.ready for leftover in leftovers):
                return
            for _ in leftovers:
                self._over.popleft()
            kept = _together([leftover.kept for leftover in leftovers])
            if kept is not None:
                self._were_kept |= kept
                yield Survived(step, place, kept)

    @property
    def idle(self) -> bool:
        """Whether nothing is followed, and nothing is on its way."""
        return not self._followed and not self._over

    def free(self) -> None:
        """Follow nothing, and forget what was. The parameters are left as they were."""
        for leftover in self._followed:
            leftover.leave()
        self._followed = []
        self._over.clear()

    def _is_due(self, optimizer: Optimizer) -> bool:
        steps = self._steps[optimizer] = self._steps.get(optimizer, 0) + 1
        return self._were_kept or steps <= ALWAYS_FOLLOWED or steps.bit_count() == 1

    def _pass_is_over(self) -> None:
        for leftover in self._followed:
            leftover.end_pass()


class _Leftover:
    """A gradient that a step has left; the tensor hook that looks at it before each pass adds to it.

    It is told from others without being referred to, which would forbid torch to swap it, and keep its memory. Copied
    or pickled parameters leave such hooks behind.

    Args:
        step: Index of the step.
        place: Place of the group.
        optimizer: Whose step it was.
        parameter: Whose gradient it is.
        home: Where that lives.
        guard: Runs the hook.
        pass_ends: Hears the end of the pass in progress.

    Attributes:
        step: The same.
        place: The same.
        optimizer: A weak reference to it.
    """

    __torch_unserializable__ = True
    """Says to torch that nothing is lost where a parameter is sent to another process without it."""

    def __init__(
        self,
        step: int,
        place: int,
        optimizer: Optimizer,
        parameter: nn.Parameter,
        home: Home,
        guard: Guard,
        pass_ends: GradientMark,
    ) -> None:
        self.step = step
        self.place = place
        self.optimizer = weakref.ref(optimizer)
        self._home = home
        self._guard = guard
        self._pass_ends = pass_ends
        self._mark = _mark_of(parameter.grad)
        self._changed = False
        self._lost = False
        self._in_pass = False
        self._passes = 0
        self._peaks: list[Transfer] = []
        self._written: list[Transfer] = []
        self._handle = parameter.register_hook(self)  # type: ignore[no-untyped-call]  # In torch.

    def __call__(self, _gradient: Tensor) -> None:
        """Look, before the gradient of this pass is added to it."""
        over = self._changed or self._lost or self._written
        if not over and not torch.compiler.is_compiling() and not is_capturing():
            self._guard.run(self._look)

    def end_pass(self) -> None:
        """Note it as a pass has left it, if that has come by."""
        if self._in_pass:
            mark = _mark_of(self._gradient())
            self._passes += mark != self._mark  # torch.autograd.grad comes by, too, and adds nothing.
            self._mark, self._in_pass = mark, False

    def compare(self) -> None:
        """Look whether it is what is used now: another tensor may have been put in its place after the last pass."""
        if not self._passes or self._mark is None:
            return
        gradient = self._gradient()
        mark = _mark_of(gradient)
        self._changed |= gradient is None or (mark is not None and mark[:2] != self._mark[:2])

    def leave(self) -> None:
        """Look no longer. The parameter is left as it was, and nothing of ours is called."""
        self._handle.remove()
        parameter = self._home.parameter()
        if parameter is not None and parameter._backward_hooks is not None and not parameter._backward_hooks:
            parameter._backward_hooks = None

    @property
    def ready(self) -> bool:
        """Whether `kept` would not wait."""
        return self._changed or all(peak.ready for peak in (*self._peaks, *self._written))

    @property
    def kept(self) -> bool | None:
        """Whether every pass was added to it; None where that is not known."""
        if self._changed or any(peak.number() == 0 for peak in self._written):
            return False
        if self._lost or self._written or not self._passes:
            return None
        return all(peak.number() != 0 for peak in self._peaks)

    def _look(self) -> None:
        self._lost = self._in_pass or len(self._peaks) == PASSES  # The last one was broken off, or they are many.
        if self._lost:
            return
        gradient = self._gradient()
        mark = _mark_of(gradient)
        if gradient is None or mark is None or self._mark is None or mark[:2] != self._mark[:2]:
            self._changed = True
            return
        if mark != self._mark:  # Something wrote to it: zeros, or a part of what it was, as clipping does.
            self._written.append(Transfer(_peak(gradient)))
            return
        self._peaks.append(Transfer(_peak(gradient)))  # Who writes zeros through `.data` leaves no mark.
        self._in_pass = True
        self._pass_ends(gradient)

    def _gradient(self) -> Tensor | None:
        parameter = self._home.parameter()
        return None if parameter is None else parameter.grad


def _together(kept: Sequence[bool | None]) -> bool | None:
    """Return whether gradients of a group are kept, some of which may be forgotten: known where one is, or none."""
    return True if True in kept else None if None in kept else False


def _can_be_followed(parameter: nn.Parameter) -> bool:
    if not parameter.requires_grad or not parameter.is_leaf or is_sharded(parameter):
        return False
    gradient = parameter.grad
    if gradient is None or _mark_of(gradient) is None:
        return False
    return gradient.untyped_storage().nbytes() == gradient.nbytes  # Parts of a tensor share their version.


def _mark_of(gradient: Tensor | None) -> _Mark | None:
    """Return what changes when a gradient is replaced or written to; None without a dense one."""
    if gradient is None or gradient.layout is not torch.strided or hasattr(gradient, "to_local"):
        return None
    if gradient.is_inference() or not gradient.numel():
        return None
    return id(gradient), gradient.data_ptr(), gradient._version


def _peak(gradient: Tensor) -> Tensor:
    """Return the largest magnitude, on the device; NaN where there is one."""
    elements = torch.view_as_real(gradient.resolve_conj()) if gradient.is_complex() else gradient
    low, high = elements.aminmax()
    return torch.maximum(high, -low)
