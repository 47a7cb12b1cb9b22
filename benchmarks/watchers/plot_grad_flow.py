"""The plot of gradient flow that forum answers pass on: bars of the mean and the greatest |gradient| of each layer."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.utils.tensorboard import SummaryWriter

from benchmarks.interleave import Variant
from benchmarks.models import Task
from benchmarks.watchers.trial import Trial, Watcher, each_step


@contextmanager
def _every_backward(task: Callable[[], Task]) -> Iterator[Trial]:
    with tempfile.TemporaryDirectory() as folder, SummaryWriter(folder) as writer:
        trained = task()
        count = 0

        def step() -> None:
            nonlocal count
            trained.loss().backward()  # type: ignore[no-untyped-call]  # Untyped in torch.
            writer.add_figure("gradient flow", _bars(trained.model), count)
            trained.optimizer.step()
            trained.optimizer.zero_grad()
            count += 1

        yield each_step(Variant("bare", task().step), Variant("plotting", step, writer.flush))


def _bars(model: nn.Module) -> Any:
    """Return a matplotlib figure with a pair of bars for every weight that has a gradient."""
    figure = importlib.import_module("matplotlib.figure").Figure(figsize=(8, 4), layout="tight")
    magnitudes = {
        name: parameter.grad.abs()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None and "bias" not in name
    }
    places = range(len(magnitudes))
    axes = figure.add_subplot()
    axes.bar(places, [magnitude.max().item() for magnitude in magnitudes.values()], label="greatest")
    axes.bar(places, [magnitude.mean().item() for magnitude in magnitudes.values()], label="mean")
    axes.set_xticks(places, magnitudes, rotation="vertical", fontsize=5)
    axes.set_ylabel("|gradient|")
    axes.legend()
    return figure


PLOT_GRAD_FLOW = Watcher(
    "plot_grad_flow into `add_figure`",
    "plot_grad_flow, every backward",
    "matplotlib",
    _every_backward,
)
