"""Cockpit's quantities: the cheapest configuration, and that of its first example (without the plot)."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from benchmarks.interleave import Variant
from benchmarks.models import Task
from benchmarks.watchers.trial import Trial, Watcher, each_step


def _tracked(trained: Task, configuration: str) -> Variant:
    """Train with the quantities of `configuration`, tracked at every step."""
    quantities = importlib.import_module("cockpit.utils.configuration").configuration(configuration)
    extend = importlib.import_module("backpack").extend
    model, criterion = extend(trained.model), extend(nn.CrossEntropyLoss())
    cockpit = importlib.import_module("cockpit").Cockpit(model.parameters(), quantities=quantities)
    individual = nn.CrossEntropyLoss(reduction="none")
    count = 0

    def step() -> None:
        nonlocal count
        trained.optimizer.zero_grad()
        outputs = model(trained.inputs)
        loss: torch.Tensor = criterion(outputs, trained.targets)
        info = {
            "batch_size": len(trained.inputs),
            "individual_losses": individual(outputs, trained.targets).detach(),
            "loss": loss,
            "optimizer": trained.optimizer,
        }
        with cockpit(count, info=info):
            loss.backward(create_graph=cockpit.create_graph(count))  # type: ignore[no-untyped-call]  # Untyped.
        trained.optimizer.step()
        count += 1

    return Variant(configuration, step)


@contextmanager
def _economy(task: Callable[[], Task]) -> Iterator[Trial]:
    yield each_step(Variant("bare", task().step), _tracked(task(), "economy"))


@contextmanager
def _full(task: Callable[[], Task]) -> Iterator[Trial]:
    yield each_step(Variant("bare", task().step), _tracked(task(), "full"))


COCKPIT = Watcher('Cockpit, "economy"', 'Cockpit, "full", every step', "cockpit", _economy, _full)
