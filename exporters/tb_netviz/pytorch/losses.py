"""Where the loss comes from: the scalars that people log anyway, the criterion, or what the user says."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from tb_netviz.pytorch.hooks import Guard

TRAIN_LOSS, VAL_LOSS, LEARNING_RATE, OTHER = "train_loss", "val_loss", "learning_rate", ""
GRADIENT_NORM_BEFORE, CLIPPED, SKIPPED = "gradient_norm_before", "clipped", "skipped"
KEPT_GRADIENT, GONE_GRADIENT = "kept_gradient", "gone_gradient"
EVALUATED_IN_TRAINING, TRAINED_IN_EVALUATION = "evaluated_in_training_mode", "trained_in_evaluation_mode"

_TRAINING = {"train", "training", "tr"}
_VALIDATION = {"val", "valid", "validation", "test", "testing", "eval", "evaluation", "dev"}
_NEUTRAL = {
    *("total", "overall", "mean", "avg", "average", "running", "epoch", "batch", "step", "iter", "iteration"),
    *("ssl", "contrastive", "pretrain", "pretraining"),
}
"""What is said of a training loss beside that it is one; a part of it, such as `loss/kl`, has a name of its own."""
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
    return TRAIN_LOSS if words & _TRAINING or words <= {"loss", *_NEUTRAL} else OTHER


class StepLoss:
    """Averages the loss over the forward passes of a step: what the user says it is, else what the criterion returns.

    Args:
        guard: Runs what hears it.

    Attributes:
        guard: The same.
    """

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self._heard = _Mean()
        self._said = _Mean()

    def hear(self, output: object) -> None:
        """Take what a criterion returned."""
        if not isinstance(output, Tensor) or not output.requires_grad:
            return  # Evaluation, or nothing that could be a loss.
        self._heard.add(output)

    def say(self, loss: Tensor | float | None) -> None:
        """Take what the user says."""
        if loss is not None:
            self._said.add(loss if isinstance(loss, Tensor) else torch.tensor(float(loss), dtype=torch.float64))

    def take(self) -> Tensor | None:
        """Return the mean since the last call, on its device; None where there was none."""
        heard, said = self._heard.take(), self._said.take()
        return heard if said is None else said


class _Mean:
    """The mean of tensors, on their device."""

    def __init__(self) -> None:
        self._total: Tensor | None = None
        self._count = 0

    def add(self, loss: Tensor) -> None:
        if torch._C._functorch.is_functorch_wrapped_tensor(loss):
            return  # Inside vmap or torch.func.grad, outside of which it has no value.
        mean = loss.detach().mean(dtype=torch.promote_types(loss.dtype, torch.float32))
        self._total = mean if self._total is None else self._total + mean
        self._count += 1

    def take(self) -> Tensor | None:
        total, count = self._total, self._count
        self._total, self._count = None, 0
        return None if total is None else total / count
