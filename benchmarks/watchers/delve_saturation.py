"""delve's saturation of layers, written as CSV. Its hooks add to covariances in every forward pass, by default too."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.interleave import Variant
from benchmarks.models import Task
from benchmarks.watchers.trial import Trial, Watcher, amortised, each_step

# Saturation is asked for once an epoch; in delve's demo that is 50,000 images in batches of 1,024.
INTERVAL = 49


def _tracked(trained: Task, folder: str) -> Any:
    tracker = importlib.import_module("delve").SaturationTracker
    return tracker(str(Path(folder) / "saturation"), save_to="csv", modules=trained.model, device="cpu")


@contextmanager
def _saturations(task: Callable[[], Task]) -> Iterator[Variant]:
    with tempfile.TemporaryDirectory() as folder:
        trained = task()
        tracker = _tracked(trained, folder)
        yield Variant("saturations", lambda: (trained.step(), tracker.add_saturations()))


@contextmanager
def _covariances(task: Callable[[], Task]) -> Iterator[Variant]:
    with tempfile.TemporaryDirectory() as folder:
        trained = task()
        _tracked(trained, folder)
        yield Variant("covariances", trained.step)


@contextmanager
def _every_step(task: Callable[[], Task]) -> Iterator[Trial]:
    with _saturations(task) as recording:
        yield each_step(Variant("bare", task().step), recording)


@contextmanager
def _default(task: Callable[[], Task]) -> Iterator[Trial]:
    with _covariances(task) as idle, _saturations(task) as recording:
        yield amortised(Variant("bare", task().step), idle, recording, interval=INTERVAL)


DELVE = Watcher(
    "delve, saturation after every step",
    f"delve, saturation once an epoch of {INTERVAL} steps",
    "delve",
    _every_step,
    _default,
)
