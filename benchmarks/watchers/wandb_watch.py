"""`wandb.watch`, offline. Its own processes, which write the files, are not counted.

The training without it logs its loss to the same run, as the quick start does: what is compared is `watch`.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.interleave import Variant
from benchmarks.models import Task
from benchmarks.watchers.trial import Trial, Watcher, amortised, each_step

# The default of `log_freq`; the default of `log` is "gradients".
INTERVAL = 1000
NEVER = 1_000_000_000


@contextmanager
def offline() -> Iterator[Any]:
    """Open a wandb run that stays on this machine, in a folder that goes afterwards."""
    wandb = importlib.import_module("wandb")
    with tempfile.TemporaryDirectory() as folder:
        settings = wandb.Settings(silent=True, console="off")
        with wandb.init(mode="offline", dir=folder, settings=settings) as run:
            yield run


def logging(name: str, trained: Task, run: Any) -> Variant:
    """Train and log the loss of every step to `run`."""
    return Variant(name, lambda: run.log({"loss": trained.step().item()}))


def _watched(task: Callable[[], Task], run: Any, **options: Any) -> Variant:
    trained = task()
    run.watch(trained.model, **options)
    return logging("watched", trained, run)


@contextmanager
def _every_step(task: Callable[[], Task]) -> Iterator[Trial]:
    with offline() as run:
        yield each_step(logging("bare", task(), run), _watched(task, run, log="all", log_freq=1))


@contextmanager
def _default(task: Callable[[], Task]) -> Iterator[Trial]:
    with offline() as run:
        idle, recording = _watched(task, run, log_freq=NEVER), _watched(task, run, log_freq=1)
        yield amortised(logging("bare", task(), run), idle, recording, interval=INTERVAL)


WANDB = Watcher(
    '`wandb.watch(log="all")`, offline',
    f"`wandb.watch`, offline: gradients, 1 step in {INTERVAL:,}",
    "wandb",
    _every_step,
    _default,
)
