"""A training loop as its user would write it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from tb_netviz.pytorch import NetVizWriter
from tests.diagnosis.data import Batches, Part
from tests.diagnosis.scenario import Trial

Criterion = Callable[[Tensor, Tensor], Tensor]
VALIDATE_EVERY = 20


@dataclass(frozen=True, slots=True)
class History:
    """Losses of a training: of all steps, and those of evaluations by step."""

    train: list[float]
    validation: dict[int, float]

    @property
    def end(self) -> float:
        """Mean training loss of the last tenth."""
        last = self.train[-max(1, len(self.train) // 10) :]
        return sum(last) / len(last)


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
) -> History:
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

    Returns:
        The losses.
    """
    history = History([], {})
    optimizer = optimizer or Adam(model.parameters(), lr=2e-3)
    criterion = criterion or nn.CrossEntropyLoss()
    with trial.writer() as writer:
        module = criterion if isinstance(criterion, nn.Module) else None
        writer.watch(model, optimizer, module, every=every, on_finding="ignore")
        for step in range(steps):
            _call(before, step)
            losses = [_learn(model, criterion, batches(step), accumulate, writer) for _ in range(accumulate)]
            _call(backward, step)
            if clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            if forget:
                optimizer.zero_grad()
            if schedule is not None:
                schedule.step()
            history.train.append(float(torch.stack(losses).sum()))
            writer.add_scalar("loss/train", history.train[-1], writer.step)
            _call(after, step)
            if validation is not None and step % VALIDATE_EVERY == VALIDATE_EVERY - 1:
                history.validation[step] = evaluate(model, criterion, validation)
                writer.add_scalar("loss/val", history.validation[step], writer.step)
    return history


def control(
    model: nn.Module,
    batches: Batches,
    optimizer: Optimizer,
    criterion: Criterion | None = None,
    *,
    steps: int = 240,
    clip: float | None = None,
) -> float:
    """Train an unwatched network as it should be, to compare with; return its mean loss in the last tenth."""
    criterion = criterion or nn.CrossEntropyLoss()
    losses = []
    for step in range(steps):
        optimizer.zero_grad()
        losses.append(_learn(model, criterion, batches(step)))
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
    return float(torch.stack(losses[-steps // 10 :]).mean())


def evaluate(model: nn.Module, criterion: Criterion, part: Part) -> float:
    """Return the loss of `model` in evaluation mode."""
    model.eval()
    with torch.no_grad():
        loss = criterion(model(part.inputs), part.targets)
    model.train()
    return float(loss)


def _learn(
    model: nn.Module,
    criterion: Criterion,
    batch: tuple[Tensor, Tensor],
    accumulate: int = 1,
    writer: NetVizWriter | None = None,
) -> Tensor:
    """Pass a batch forward and backward; a criterion that is no module can't be watched, so the user tells of it."""
    inputs, targets = batch
    made = model(inputs)
    loss = criterion(made, targets) / accumulate
    if writer is not None and not isinstance(criterion, nn.Module):
        writer.observe(outputs=made, targets=targets, loss=loss)
    loss.backward()
    return loss.detach()


def _call(function: Callable[[int], None] | None, step: int) -> None:
    if function is not None:
        function(step)
