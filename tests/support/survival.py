"""Training that forgets its gradients, or doesn't, and what was recorded of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from tb_netviz.pytorch import NetVizWriter
from tests.support.clips import network
from tests.support.watching import read

STEPS = 5
KEPT, GONE = 1.0, 0.0
PLACES = BEFORE, BETWEEN, AFTER = ("before the forward pass", "before the backward pass", "after the step")

Forget = Callable[[Optimizer, nn.Module], None]


def zero_grad(set_to_none: bool = True) -> Forget:
    return lambda optimizer, _model: optimizer.zero_grad(set_to_none=set_to_none)


def sgd(model: nn.Module) -> Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.01)


def backward(model: Callable[..., Any]) -> None:
    model(torch.randn(16, 6)).square().mean().backward()


def train(
    folder: Path | None,
    forget: Forget | None = None,
    *,
    place: str = AFTER,
    parts: int = 1,
    clip: Callable[[nn.Module], object] = lambda _model: None,
    steps: int = STEPS,
    model: nn.Module | None = None,
    optimizer_of: Callable[[Any], Optimizer] = lambda parameters: torch.optim.SGD(parameters, lr=0.01),
    dtype: torch.dtype = torch.float32,
    create_graph: bool = False,
    every: int = 1,
) -> nn.Module:
    """Train, watched if there is a folder; `forget` is called once a step, at `place`, and `clip` before the step."""
    model = model or network()
    optimizer = optimizer_of(model.parameters())
    writer = NetVizWriter(folder) if folder else None
    if writer:
        writer.watch(model, optimizer, every=every)

    def at(where: str, part: int) -> None:
        if forget and where == place and part == 0:
            forget(optimizer, model)

    for _ in range(steps):
        for part in range(parts):
            at(BEFORE, part)
            loss = model(torch.randn(16, 6, dtype=dtype)).square().mean()
            at(BETWEEN, part)
            loss.backward(create_graph=create_graph)
        clip(model)
        optimizer.step()
        at(AFTER, 0)
    if writer:
        writer.close()
    return model


def kept(folder: Path, model: str = "", place: int | None = None) -> dict[int, float]:
    """Return by step what was recorded of a group, and compare it with TensorBoard's own scalars."""
    tag = "/".join(["netviz", *([model] if model else []), "kept_gradients", *([] if place is None else [str(place)])])
    recording = read(folder)
    records = recording.metrics.get(tag, [])
    assert {role for role, _, _ in records} <= {"kept_gradient"}
    assert [(step, value) for _, step, value in records] == recording.scalars.get(tag, [])
    return {step: value for _, step, value in records}


def all_of(outcome: float, steps: int = STEPS) -> dict[int, float]:
    """Return that of all steps but the last one, of which nothing is known."""
    return dict.fromkeys(range(steps - 1), outcome)


def of_none(model: nn.Module) -> bool:
    """Whether nothing hangs on any parameter, nor ever has."""
    return all(
        parameter._backward_hooks is None and parameter._post_accumulate_grad_hooks is None
        for parameter in model.parameters()
    )
