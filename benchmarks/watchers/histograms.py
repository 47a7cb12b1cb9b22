"""Torch's own `SummaryWriter.add_histogram` of every parameter and every gradient."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch.utils.tensorboard import SummaryWriter

from benchmarks.interleave import Variant
from benchmarks.models import Task
from benchmarks.watchers.trial import Trial, Watcher, each_step


@contextmanager
def _every_step(task: Callable[[], Task]) -> Iterator[Trial]:
    with tempfile.TemporaryDirectory() as folder, SummaryWriter(folder) as writer:
        trained = task()
        count = 0

        def step() -> None:
            nonlocal count
            trained.loss().backward()  # type: ignore[no-untyped-call]  # Untyped in torch.
            trained.optimizer.step()
            for name, parameter in trained.model.named_parameters():
                writer.add_histogram(name, parameter, count)
                writer.add_histogram(f"{name}.grad", parameter.grad, count)
            trained.optimizer.zero_grad()
            count += 1

        yield each_step(Variant("bare", task().step), Variant("add_histogram", step, writer.flush))


HISTOGRAMS = Watcher(
    "`add_histogram` of all parameters and gradients", "`add_histogram`, every call", "tensorboard", _every_step
)
