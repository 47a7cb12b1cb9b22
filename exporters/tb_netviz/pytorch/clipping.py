"""What happens to gradients between the backward pass and the optimizer's step: clipping by norm or value, and loss.

Who does not clip pays for a look at every gradient of an observed step and not for measuring it: what works in place
leaves its mark in the version of a tensor.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from tb_netviz.pytorch.backward import GradientMark
from tb_netviz.pytorch.hooks import Guard
from tb_netviz.pytorch.measurement import Part
from tb_netviz.pytorch.structure import Home
from tb_netviz.pytorch.transfers import Transfer
from tb_netviz.statistics.partials import SUMS

ALWAYS_MEASURED = 8
"""Observed steps at the beginning whose gradients are compared by value, since writing through `.data` leaves no mark.

Later those are whose count is a power of two, and all of them once something was seen to change gradients.
"""
USUAL = 4
"""Steps whose numbers of backward passes tell when the last one may have come: what comes before is not measured."""
TOLERANCE = 1e-3
"""Share by which the norm of all gradients falls at least: sums of many million elements agree to a tenth of that."""
ROUNDINGS = 2
"""Units in the last place by which a largest element falls at least: a loss scale is removed within two."""

_SQUARES = SUMS.index("squares")

_Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Clipped:
    """What became of the gradients of one step.

    Attributes:
        norm_before: Norm of all gradients together after the last backward pass, without the loss scale.
        clipped: Whether they were made smaller before the optimizer got them.
    """

    norm_before: float
    clipped: bool


@dataclass
class Comparison:
    """The gradients of one step, beside what was noted of them before.

    Attributes:
        notes: By row; None where nothing was noted.
        gone: Rows of parameters that had a gradient after the backward pass, of which nothing is left.
        zero: Rows of parameters whose gradient was zero by itself.
        places: By row, the place of its group among those of all optimizers.
    """

    notes: dict[int, _Note | None] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)
    zero: set[int] = field(default_factory=set)
    places: dict[int, int] = field(default_factory=dict)


class Clipping:
    """Compares what a backward pass left with what the optimizer gets.

    Args:
        guard: Runs what hangs on the parameters.

    Attributes:
        passes: Backward passes that were heard.
        silences: How often listening was interrupted.
    """

    def __init__(self, guard: Guard) -> None:
        self.passes = 0
        self.silences = 0
        self._since = 0  # Passes since gradients were last taken.
        self._usual = deque([1], maxlen=USUAL)
        self._mark = GradientMark(guard, self._note)
        self._handles: dict[int, RemovableHandle] = {}  # By the id of the parameter.
        self._homes: list[Home] = []
        self._notes: dict[int, _Note] = {}
        self._compared = 0
        self._in_use = False

    def listen(self, homes: Iterable[Home]) -> None:
        """Listen to the coming backward passes, which belong to a step that will be observed.

        Args:
            homes: Where the parameters live whose gradients count.
        """
        self._mark.reset()
        homes = list(homes)
        wanted = [parameter for parameter in _residents(homes) if _takes_hooks(parameter)]
        if [id(parameter) for parameter in wanted] == list(self._handles):
            return
        self.mute()
        self._homes = homes
        self._handles = {id(parameter): _hook(parameter, self._mark) for parameter in wanted}

    def mute(self) -> None:
        """Listen no longer. The parameters are left as they were, and nothing of ours is called."""
        for handle in self._handles.values():
            handle.remove()
        for parameter in _residents(self._homes):
            if id(parameter) in self._handles and not parameter._post_accumulate_grad_hooks:
                parameter._post_accumulate_grad_hooks = None  # type: ignore[assignment]  # As it was.
        self.silences += bool(self._handles)
        self._handles, self._homes = {}, []

    def free(self) -> None:
        """Listen no longer, and forget what was heard."""
        self.mute()
        self._notes, self._since = {}, 0

    def take(self, comparison: Comparison, parameters: Mapping[int, nn.Parameter], scale: float | Transfer) -> None:
        """Look at the gradients of some parameters as their optimizer gets them.

        Args:
            comparison: That of the step in progress.
            parameters: The parameters by row.
            scale: Loss scale that was on their gradients after the backward pass.
        """
        if self._since:
            self._usual.append(self._since)
            self._since = 0
        for row, parameter in parameters.items():
            if parameter.grad is None:
                if self._notes.pop(id(parameter), None) is not None:
                    comparison.gone.add(row)
                continue
            note = comparison.notes[row] = self._notes.pop(id(parameter), None)
            if note is not None:
                note.scale = scale
                self._in_use |= note.mark != _mark_of(parameter.grad)

    def end(self, comparison: Comparison, norms: _Array, peaks: _Array) -> Clipped | None:
        """Say what became of the gradients of a step, and add those to `gone` that were set to zero.

        Args:
            comparison: That of the step.
            norms: Of the gradients that the optimizer got, by row.
            peaks: Their largest magnitudes, by row.

        Returns:
            None where that is not known, and while nothing was seen to change gradients.
        """
        notes = [note for note in comparison.notes.values() if note is not None]
        if not notes or len(notes) < len(comparison.notes):
            return None
        self._compared += 1
        rows = np.array(list(comparison.notes))
        sizes, after = [note.size() for note in notes], np.stack([norms[rows], peaks[rows]])
        if None in sizes or not np.isfinite(after).all():
            return None
        before, precisions = np.array(sizes).T, np.array([note.precision for note in notes])
        left = ~((before[1] > 0) & (after[1] == 0))
        comparison.gone.update(rows[~left].tolist())
        comparison.zero.update(rows[before[1] == 0].tolist())
        outcome, changed = _compare(before[:, left], after[:, left], precisions[left])
        self._in_use |= changed or not left.all()
        return outcome if self._in_use and left.any() else None

    def _note(self) -> None:
        """Note every gradient as a backward pass leaves it."""
        self.passes += 1
        self._since += 1
        held = [
            (parameter, gradient)
            for parameter in _residents(self._homes)
            if id(parameter) in self._handles and (gradient := _whole(parameter.grad)) is not None
        ]
        self._notes = {id(parameter): _Note(gradient) for parameter, gradient in held}
        due = self._in_use or self._compared < ALWAYS_MEASURED or self._compared.bit_count() == 1
        if due and self._since >= min(self._usual):
            _measure(list(self._notes.values()), [gradient for _, gradient in held])


def _compare(before: _Array, after: _Array, precisions: _Array) -> tuple[Clipped, bool]:
    """Compare norms and largest magnitudes [2, gradients], and say whether they differ in either direction.

    Every way of clipping makes the largest element of some gradient smaller, if only that one; the norm tells it where
    elements have few digits.
    """
    (norms_before, peaks_before), (norms_after, peaks_after) = before, after
    norm_before, norm_after = math.hypot(*norms_before), math.hypot(*norms_after)
    fell = (peaks_after < peaks_before * (1 - ROUNDINGS * precisions)).any()
    clipped = bool(fell) or norm_after < norm_before * (1 - TOLERANCE)
    return Clipped(norm_before, clipped), clipped or norm_after > norm_before * (1 + TOLERANCE)


_PRECISION = {torch.float32: torch.finfo(torch.float32).eps}  # That of nearly all; looking it up takes a microsecond.


class _Note:
    """A gradient as a backward pass left it.

    Attributes:
        mark: Changes when the gradient is replaced or written to.
        precision: Distance from one to the next number of its type.
        sizes: Where it was measured, with others of its device.
        place: Its place among them.
        scale: Loss scale that was on it.
    """

    __slots__ = ("mark", "place", "precision", "scale", "sizes")

    def __init__(self, gradient: Tensor) -> None:
        self.mark = _mark_of(gradient)
        self.precision = _PRECISION.get(gradient.dtype) or torch.finfo(gradient.dtype).eps
        self.sizes: _Sizes | None = None
        self.place = 0
        self.scale: float | Transfer = 1.0

    def size(self) -> tuple[float, float] | None:
        """Return norm and largest magnitude without the loss scale, or None where they were not measured."""
        if self.sizes is None:
            return None
        scale = self.scale if isinstance(self.scale, float) else self.scale.number()
        norm, peak = self.sizes.array[:, self.place] / scale
        return norm, peak


class _Sizes:
    """Norms and largest magnitudes of gradients on one device; from an accelerator they are on their way at once."""

    def __init__(self, device: torch.device, gradients: Sequence[Tensor]) -> None:
        self._part = Part(device, len(gradients))
        self._part.take_gradients(range(len(gradients)), gradients, [None] * len(gradients))
        self._part.send()

    @cached_property
    def array(self) -> _Array:
        """Norms and largest magnitudes, [2, gradients]."""
        sums, largest = self._part.arrays()
        return np.stack([np.sqrt(sums[:, _SQUARES]), largest])


def _measure(notes: Sequence[_Note], gradients: Sequence[Tensor]) -> None:
    """Measure the gradients of `notes`."""
    for device in {gradient.device for gradient in gradients}:
        places = [place for place, gradient in enumerate(gradients) if gradient.device == device]
        sizes = _Sizes(device, [gradients[place] for place in places])
        for index, place in enumerate(places):
            notes[place].sizes, notes[place].place = sizes, index


def _mark_of(gradient: Tensor) -> tuple[int, int]:
    whole = gradient.layout is torch.strided
    return gradient.data_ptr() if whole else id(gradient), gradient._version


def _whole(gradient: Tensor | None) -> Tensor | None:
    """Return a gradient, unless it is a shard of one: what belongs together is not here then."""
    return None if hasattr(gradient, "to_local") else gradient


def _residents(homes: Iterable[Home]) -> list[nn.Parameter]:
    return [parameter for home in homes if (parameter := home.parameter()) is not None]


def _hook(parameter: nn.Parameter, mark: GradientMark) -> RemovableHandle:
    handle: RemovableHandle = parameter.register_post_accumulate_grad_hook(mark)  # type: ignore[no-untyped-call]  # In torch.
    return handle


def _takes_hooks(parameter: nn.Parameter) -> bool:
    return (
        not hasattr(parameter, "to_local")
        and parameter.requires_grad
        and parameter.is_leaf
        and not nn.parameter.is_lazy(parameter)
    )
