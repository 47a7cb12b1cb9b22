"""A training loop as its user would write it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from tests.diagnosis.data import Batches, Part
from tests.diagnosis.scenario import Trial

Criterion = Callable[[Tensor, Tensor], Tensor]
VALIDATE_EVERY = 20


def fit(
    trial: Trial,
    model: nn.Module,
    batches: Batches,
    optimizer: Optimizer | None = None,
    criterion: Criterion | None = None,
    *,
    steps: int = 240,
    validation: Part | None = None,
    schedule: Any = None,
    clip: float | None = None,
    accumulate: int = 1,
    forget: bool = True,
    every: int | None = 1,
    before: Callable[[int], None] | None = None,
    backward: Callable[[int], None] | None = None,
    after: Callable[[int], None] | None = None,
) -> None:
    """Train `model` and log it.

    Args:
        trial: What is trained for.
        model: The network.
        batches: What it learns from.
        optimizer: By default Adam at 0.002.
        criterion: By default the cross-entropy. One that is no module is a function of the user's.
        steps: How many times the optimizer steps.
        validation: What the loss is also looked at.
        schedule: Of the learning rate.
        clip: Largest norm of all gradients together.
        accumulate: Batches to a step.
        forget: Whether gradients are set to zero after a step.
        every: Every how many steps one is observed; None leaves it to the budget.
        before: Called with the index of a step before its forward pass,
        backward: after its backward pass,
        after: and after the optimizer has stepped.
    """
    optimizer = optimizer or Adam(model.parameters(), lr=2e-3)
    criterion = criterion or nn.CrossEntropyLoss()
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion if isinstance(criterion, nn.Module) else None, every=every)
        for step in range(steps):
            _call(before, step)
            losses = [_accumulated(model, criterion, batches(step), accumulate) for _ in range(accumulate)]
            _call(backward, step)
            if clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            if forget:
                optimizer.zero_grad()
            if schedule is not None:
                schedule.step()
            writer.add_scalar("loss/train", torch.stack(losses).sum(), writer.step)
            _call(after, step)
            if validation is not None and step % VALIDATE_EVERY == VALIDATE_EVERY - 1:
                writer.add_scalar("loss/val", evaluate(model, criterion, validation), writer.step)


def evaluate(model: nn.Module, criterion: Criterion, part: Part) -> float:
    """Return the loss of `model` in evaluation mode."""
    model.eval()
    with torch.no_grad():
        loss = criterion(model(part.inputs), part.targets)
    model.train()
    return float(loss)


def _accumulated(model: nn.Module, criterion: Criterion, batch: tuple[Tensor, Tensor], count: int) -> Tensor:
    loss = criterion(model(batch[0]), batch[1]) / count
    loss.backward()
    return loss.detach()


def _call(function: Callable[[int], None] | None, step: int) -> None:
    if function is not None:
        function(step)
