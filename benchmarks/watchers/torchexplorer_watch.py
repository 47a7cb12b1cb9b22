"""torchexplorer, with the backend that is its default: a table in a wandb run, here offline.

The layout of the network's graph is computed once, by graphviz, before anything is counted.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.interleave import Variant
from benchmarks.models import Task
from benchmarks.watchers.trial import Trial, Watcher, amortised, each_step
from benchmarks.watchers.wandb_watch import NEVER, logging, offline

# The default of `log_freq`.
INTERVAL = 500


def _watched(task: Callable[[], Task], run: Any, log_freq: int) -> Variant:
    trained = task()
    importlib.import_module("torchexplorer").watch(trained.model, log_freq=log_freq)
    return logging("watched", trained, run)


@contextmanager
def _every_step(task: Callable[[], Task]) -> Iterator[Trial]:
    with offline() as run:
        yield each_step(logging("bare", task(), run), _watched(task, run, 1))


@contextmanager
def _default(task: Callable[[], Task]) -> Iterator[Trial]:
    with offline() as run:
        idle, recording = _watched(task, run, NEVER), _watched(task, run, 1)
        yield amortised(logging("bare", task(), run), idle, recording, interval=INTERVAL)


TORCHEXPLORER = Watcher("torchexplorer", f"torchexplorer, 1 step in {INTERVAL}", "torchexplorer", _every_step, _default)
