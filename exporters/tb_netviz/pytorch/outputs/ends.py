"""The two ends of a watched model: what goes in, and what comes out beside the targets."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from tb_netviz.pytorch.activations.outputs import first_tensor, layout_of
from tb_netviz.pytorch.hooks import Gate, GatedHook, Guard, is_capturing
from tb_netviz.pytorch.losses import StepLoss
from tb_netviz.pytorch.outputs.arguments import Arguments
from tb_netviz.pytorch.outputs.naming import name_of_loss
from tb_netviz.pytorch.outputs.samples import (
    begins_with_a_convolution,
    has_values,
    is_whole,
    labels_of,
    pairing_of,
    rows_of,
    sampling_of,
    values_of,
    with_rows,
)
from tb_netviz.pytorch.outputs.tally import OutputTally
from tb_netviz.pytorch.reductions.outputs import input_sums, label_sums, output_sums, target_sums
from tb_netviz.pytorch.scripted import is_scripted
from tb_netviz.pytorch.structure import unwrap
from tb_netviz.statistics.outputs import INPUTS, OUTPUTS, TARGETS, Kind
from tb_netviz_plugin.schema.description import MAX_CLASSES

_IGNORED = -100
"""The class index that torch's losses leave out, unless they are told otherwise."""


class Ends:
    """Measures inputs, outputs and targets, and hears the loss, in training, at observed steps. Only sums are kept.

    Outputs and targets are what the criterion gets first in each forward pass of the model, or what `observe` is given.

    Args:
        model: The model as it is called, held weakly.
        criterion: The loss module, where there is one that can be hooked.
        guard: Runs what measures outputs, targets and inputs.
        loss: Hears the loss.

    Attributes:
        criterion: Type of the loss; empty where, or as long as, it is unknown.
    """

    def __init__(self, model: nn.Module, criterion: nn.Module | None, guard: Guard, loss: StepLoss) -> None:
        self.criterion = "" if criterion is None else type(criterion).__name__
        self._guard = guard
        self._loss = loss
        self._root = weakref.ref(unwrap(model))
        self._convolved = begins_with_a_convolution(model)
        self._arguments = None if criterion is None else Arguments(criterion)
        self._ignored = _ignored_by(criterion)
        self._tally = OutputTally()
        self._fresh = True  # Until outputs were seen in a forward pass.
        self._gate = Gate()
        self._gate.open = True
        self._handles: list[RemovableHandle] = []
        if not is_scripted(model):
            entered = GatedHook(self._gate, guard, self._entered)
            self._handles.append(model.register_forward_pre_hook(entered, with_kwargs=True))
        if criterion is not None:
            heard, judged = GatedHook(self._gate, loss.guard, self._heard), GatedHook(self._gate, guard, self._judged)
            self._handles.append(criterion.register_forward_hook(heard))
            self._handles.append(criterion.register_forward_hook(judged, with_kwargs=True))

    def listen(self) -> None:
        """Measure what comes from now on."""
        self._gate.open = True

    def mute(self) -> None:
        """Measure nothing from now on: what a step that is not observed sees need not be known."""
        self._gate.open = False

    def take(self) -> tuple[OutputTally, Tensor | None]:
        """Return what was measured since the last call, and the mean loss, on its device, if there was one."""
        tally, self._tally = self._tally, OutputTally()
        self._fresh = True
        return tally, self._loss.take()

    def detach(self) -> None:
        """Take all hooks off."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self.mute()

    def observe(self, outputs: object, targets: object, loss: object) -> None:
        """Take what a functional loss was computed from, and what it gave; None where something isn't known.

        Raises:
            TypeError: If something holds no tensor, or the loss is no number.
        """
        if not self._gate.open or is_capturing():
            return
        found = _tensor("outputs", outputs), _tensor("targets", targets)
        _check_loss(loss)
        if not self._trains() or not _learns(outputs, loss):
            return
        self._loss.guard.run(self._say, loss)
        self._guard.run(self._measure, *found, _IGNORED)

    def _say(self, loss: Tensor | float | None) -> None:
        self._loss.say(loss)
        self.criterion = self.criterion or name_of_loss(loss)

    def _heard(self, _criterion: nn.Module, _arguments: object, output: object) -> None:
        self._loss.hear(output)

    def _judged(
        self, _criterion: nn.Module, arguments: Sequence[Any], keywords: Mapping[str, Any], loss: object
    ) -> None:
        if self._arguments is not None and self._trains() and isinstance(loss, Tensor) and loss.requires_grad:
            self._measure(*self._arguments.ends(arguments, keywords), self._ignored)

    def _entered(self, _model: nn.Module, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> None:
        if not self._trains():
            return
        self._fresh = True
        tensor = first_tensor((arguments, keywords))
        if tensor is not None and has_values(tensor):
            with torch._C.DisableTorchFunction():
                self._take_inputs(tensor)

    def _take_inputs(self, inputs: Tensor) -> None:
        inputs = with_rows(inputs, None)
        axis = layout_of(inputs, convolved=self._convolved).axis
        rows = rows_of(inputs, axis, sampling_of(inputs, axis))
        self._tally.add(INPUTS, input_sums(rows, Kind.INDICES if is_whole(inputs) else Kind.NUMBERS))

    def _measure(self, outputs: Tensor | None, targets: Tensor | None, ignored: int) -> None:
        """Take the first outputs and targets of a forward pass."""
        if not self._fresh:
            return
        with torch._C.DisableTorchFunction():
            outputs = outputs if outputs is not None and has_values(outputs) else None
            targets = targets if targets is not None and has_values(targets) else None
            self._fresh = outputs is None and targets is None
            if outputs is not None:
                self._take_outputs(outputs, targets, ignored)
            elif targets is not None:
                self._tally.add(TARGETS, target_sums(values_of(targets), Kind.OTHER))

    def _take_outputs(self, outputs: Tensor, targets: Tensor | None, ignored: int) -> None:
        axis, kind = pairing_of(outputs, targets)
        outputs = with_rows(outputs, kind)
        sampling = sampling_of(outputs, axis)
        rows = rows_of(outputs, axis, sampling)
        self._tally.add(OUTPUTS, output_sums(rows))
        if targets is None or kind is None:
            return
        if kind is not Kind.INDICES or targets.device != outputs.device:
            self._tally.add(TARGETS, target_sums(values_of(targets), kind))
            return
        labels = labels_of(targets, len(outputs), sampling)
        sums, classes = label_sums(rows, labels, ignored, with_classes=rows.shape[1] <= MAX_CLASSES)
        self._tally.add(TARGETS, sums)
        if classes is not None:
            self._tally.add_classes(classes)

    def _trains(self) -> bool:
        """Whether this is a first pass in training, and not one that recomputes or evaluates."""
        root = self._root()
        return root is not None and root.training and torch._C._current_graph_task_id() == -1


def _ignored_by(criterion: nn.Module | None) -> int:
    ignored = getattr(criterion, "ignore_index", _IGNORED)
    return ignored if isinstance(ignored, int) else _IGNORED


def _learns(outputs: object, loss: object) -> bool:
    """Whether something is given that gradients flow from, or would: no evaluation under `no_grad`."""
    given = (first_tensor(outputs), loss)
    return torch.is_grad_enabled() or any(isinstance(part, Tensor) and part.requires_grad for part in given)


def _tensor(name: str, given: object) -> Tensor | None:
    found = first_tensor(given)
    if given is not None and found is None:
        raise TypeError(f"{name} must be a tensor or hold one, got {_kind(given)}")
    return found


def _check_loss(loss: object) -> None:
    if loss is not None and not isinstance(loss, Tensor | int | float):
        raise TypeError(f"loss must be a tensor or a number, got {_kind(loss)}")


def _kind(given: object) -> str:
    return f"{type(given).__name__}: {given!r:.80}"
