"""Where the loss comes from: the scalars that people log anyway, or the criterion."""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from tb_netviz.pytorch.hooks import Guard, Hook

TRAIN_LOSS, VAL_LOSS, LEARNING_RATE, OTHER = "train_loss", "val_loss", "learning_rate", ""
GRADIENT_NORM_BEFORE, CLIPPED, SKIPPED = "gradient_norm_before", "clipped", "skipped"

_TRAINING = {"train", "training", "tr"}
_VALIDATION = {"val", "valid", "validation", "test", "testing", "eval", "evaluation", "dev"}
# Words of a tag: "valLoss/epoch_1" has the words val, Loss, epoch, 1.
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


class Roles:
    """Tells by a scalar's tag what it is.

    Args:
        train_loss: Tag of the training loss, where it is not to be guessed.
        val_loss: Tag of the validation loss.
    """

    def __init__(self, train_loss: str | None = None, val_loss: str | None = None) -> None:
        self._train_loss = train_loss
        self._val_loss = val_loss

    def of(self, tag: str) -> str:
        """Return "train_loss", "val_loss" or ""."""
        if tag in (self._train_loss, self._val_loss):
            return TRAIN_LOSS if tag == self._train_loss else VAL_LOSS
        role = guess(tag)
        named = {TRAIN_LOSS: self._train_loss, VAL_LOSS: self._val_loss}.get(role)
        return OTHER if named is not None else role


def guess(tag: str) -> str:
    """Return the role that a tag such as "loss/train", "val_loss" or "Loss" suggests."""
    words = {word.lower() for word in _WORD.findall(tag)}
    if "loss" not in words:
        return OTHER
    if words & _VALIDATION:
        return VAL_LOSS
    return TRAIN_LOSS if words & _TRAINING or words == {"loss"} else OTHER


class CriterionLoss:
    """Averages what a criterion returns in training over the forward passes of a step."""

    def __init__(self, criterion: nn.Module, guard: Guard) -> None:
        self._listening = True
        self._total: Tensor | None = None
        self._count = 0
        self._handle: RemovableHandle = criterion.register_forward_hook(Hook(guard, self._heard))

    def detach(self) -> None:
        """Take the hook off."""
        self._handle.remove()
        self._total = None

    def listen(self, *, begin: bool) -> None:
        """Begin to listen, or stop: the loss of a step that is not observed need not be heard."""
        self._listening = begin
        self._total, self._count = None, 0

    def take(self) -> Tensor | None:
        """Return the mean since the last call, on its device; None where there was none."""
        total, count = self._total, self._count
        self._total, self._count = None, 0
        return None if total is None else total / count

    def _heard(self, _module: nn.Module, _arguments: object, output: object) -> None:
        if not self._listening or not isinstance(output, Tensor) or not output.requires_grad:
            return  # Evaluation, or nothing that could be a loss.
        if torch._C._functorch.is_functorch_wrapped_tensor(output):
            return  # Inside vmap or torch.func.grad, outside of which it has no value.
        loss = output.detach().mean(dtype=torch.promote_types(output.dtype, torch.float32))
        self._total = loss if self._total is None else self._total + loss
        self._count += 1
