"""What a watched model gets and gives in evaluations, beside what it gets and gives in training."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from tb_netviz.pytorch.activations.outputs import first_tensor, layout_of
from tb_netviz.pytorch.hooks import Gate, Guard, PassHook
from tb_netviz.pytorch.outputs.samples import (
    begins_with_a_convolution,
    has_values,
    is_whole,
    pairing_of,
    rows_of,
    sampling_of,
    with_rows,
)
from tb_netviz.pytorch.reductions.features import feature_sums, merged
from tb_netviz.pytorch.scripted import is_scripted
from tb_netviz.pytorch.structure import unwrap
from tb_netviz.pytorch.transfers import Transfer
from tb_netviz.recorder import window_start
from tb_netviz.statistics.bins import stride
from tb_netviz.statistics.evaluations import Side
from tb_netviz.statistics.outputs import Kind

MOST_FEATURES = 1024
"""Features that are measured at most, at a stride."""
_PASSES, _EVALUATIONS = 8, 2
"""Steps whose passes are measured, and passes of an evaluation, to each doubling of their number; and evaluations."""
_OF_A_STEP = 4
"""Passes of one step that are measured at most, where gradients are accumulated."""


class Evaluations:
    """Measures some passes in training, and some of some evaluations, and tells of both. Only sums are kept.

    Both are measured alike, so that they compare. What of the passes without gradients is an evaluation, others decide.

    Args:
        model: The model as it is called, held weakly.
        guard: Runs what measures.
        tell: Takes the step that follows an evaluation, what the evaluation was like, and training up to it.
    """

    def __init__(self, model: nn.Module, guard: Guard, tell: Callable[[int, Side, Side], object]) -> None:
        self._guard = guard
        self._tell = tell
        self._root = weakref.ref(root := unwrap(model))
        self._convolved = begins_with_a_convolution(model)
        self._learning, self._judging = Gate(), Gate()
        self._trained, self._evaluated = _Tally(), _Tally()
        self._inner = False  # Whether the pass was met in the model itself, within that of its wrapper.
        self._steps = self._in_step = self._passes = self._evaluations = 0
        self._on_their_way: list[_Sent] = []
        hook = PassHook(guard, self._learning, self._learned, self._judging, self._judged)
        self._handles: list[RemovableHandle] = [
            module.register_forward_hook(hook, with_kwargs=True) for module in {model, root} if not is_scripted(module)
        ]

    def end(self, step: int, *, evaluated: bool) -> None:
        """Take in the passes since the step before; `step` begins, or the last one is over.

        Args:
            step: Its number.
            evaluated: Whether there was an evaluation among them.
        """
        self._guard.run(self._end, step, evaluated)

    def forget(self) -> None:
        """Forget what belongs to no evaluation, and measure nothing until a step ends."""
        self._evaluated = _Tally()
        self._learning.open = self._judging.open = False

    def detach(self) -> None:
        """Take all hooks off, and tell of what is on its way."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._guard.run(self._land)

    def _end(self, step: int, evaluated: bool) -> None:
        tally, self._evaluated = self._evaluated, _Tally()
        if evaluated and tally.inputs is not None and self._trained.inputs is not None:
            self._on_their_way.append(_Sent(step, tally.sent(), self._trained.sent()))
        self._evaluations += evaluated or tally.inputs is not None
        self._steps += 1
        self._in_step = self._passes = 0
        self._learning.open = _is_due(self._steps, _PASSES)
        self._judging.open = _is_due(self._evaluations + 1, _EVALUATIONS)
        if all(sent.ready for sent in self._on_their_way):
            self._land()

    def _land(self) -> None:
        arriving, self._on_their_way = self._on_their_way, []
        for step, evaluated, trained in arriving:
            self._tell(step, evaluated.side(), trained.side())

    def _learned(self, module: nn.Module, arguments: Sequence[Any], keywords: Mapping[str, Any], made: object) -> None:
        if self._was_met(module) or not module.training or self._in_step == _OF_A_STEP:
            return
        self._in_step += 1
        self._trained.outputs = None  # Outputs change while a network learns: those of long ago tell nothing.
        self._take(self._trained, (arguments, keywords), made)

    def _judged(self, module: nn.Module, arguments: Sequence[Any], keywords: Mapping[str, Any], made: object) -> None:
        if self._was_met(module):
            return
        self._passes += 1
        if _is_due(self._passes, _PASSES):
            self._take(self._evaluated, (arguments, keywords), made)

    def _was_met(self, module: nn.Module) -> bool:
        """Whether a pass was met before, in what is wrapped, or is one that computes activations again."""
        inner, self._inner = self._inner, module is self._root()
        return (inner and not self._inner) or torch._C._current_graph_task_id() != -1

    def _take(self, tally: _Tally, given: object, made: object) -> None:
        inputs, outputs = first_tensor(given), first_tensor(made)
        if inputs is None or not has_values(inputs):
            return
        with torch._C.DisableTorchFunction():
            rows = with_rows(inputs, None)
            axis = layout_of(rows, convolved=self._convolved).axis
            kind = Kind.INDICES if is_whole(inputs) else Kind.NUMBERS
            tally.take_inputs(_sums(rows, axis), len(rows), kind)
            if outputs is not None and has_values(outputs):
                rows = with_rows(outputs, None)
                tally.take_outputs(_sums(rows, pairing_of(rows, None).axis))


class _Tally:
    """Sums of some passes, on their device; of passes with other features nothing is added."""

    def __init__(self) -> None:
        self.samples = 0
        self.kind = 0
        self.inputs: Tensor | None = None
        self.outputs: Tensor | None = None

    def take_inputs(self, sums: Tensor, samples: int, kind: Kind) -> None:
        if self.inputs is None or _fits(self.inputs, sums):
            self.inputs = sums if self.inputs is None else merged(self.inputs, sums)
            self.samples += samples
            self.kind = max(self.kind, kind)

    def take_outputs(self, sums: Tensor) -> None:
        if self.outputs is None or _fits(self.outputs, sums):
            self.outputs = sums if self.outputs is None else merged(self.outputs, sums)

    def sent(self) -> _SentTally:
        """Let a copy set out for the host; there are inputs."""
        assert self.inputs is not None
        outputs = None if self.outputs is None else Transfer(self.outputs)
        return _SentTally(self.samples, self.kind, Transfer(self.inputs), outputs)


class _SentTally(NamedTuple):
    """A tally on its way to the host."""

    samples: int
    kind: int
    inputs: Transfer
    outputs: Transfer | None

    @property
    def ready(self) -> bool:
        return self.inputs.ready and (self.outputs is None or self.outputs.ready)

    def side(self) -> Side:
        outputs = None if self.outputs is None else self.outputs.array().astype("float64")
        return Side(self.samples, self.kind, self.inputs.array().astype("float64"), outputs)


class _Sent(NamedTuple):
    """An evaluation on its way to the host, with training up to it."""

    step: int
    evaluated: _SentTally
    trained: _SentTally

    @property
    def ready(self) -> bool:
        return self.evaluated.ready and self.trained.ready


def _sums(tensor: Tensor, axis: int) -> Tensor:
    """Return FEATURE_SUMS of a tensor with its features along axis 1 or -1."""
    every = stride(tensor.shape[axis], MOST_FEATURES)
    tensor = tensor[:, ::every] if axis == 1 else tensor[..., ::every]
    return feature_sums(rows_of(tensor, axis, sampling_of(tensor, axis)))


def _fits(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.device == other.device


def _is_due(number: int, per_octave: int) -> bool:
    """Whether one of many is measured: the first ones, and then so many to each doubling of their number."""
    return window_start(number, per_octave) == number
