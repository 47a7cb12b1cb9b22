"""Lightning's `grad_norm` in `on_before_optimizer_step`, logged with `log_dict`, within a real Trainer.

The training without it is a Trainer too. Each runs in a thread of its own, and goes on by one batch when it is
its turn.
"""

from __future__ import annotations

import importlib
import logging
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from benchmarks.interleave import Variant
from benchmarks.models import Task
from benchmarks.watchers.trial import Trial, Watcher, amortised, each_step

# The Trainer's default of `log_every_n_steps`. The norms are computed at every step all the same.
INTERVAL = 50
NEVER = 1_000_000_000


class _Batches:
    """A loader that gives the same batch whenever `give` is called, and meanwhile keeps who asked waiting."""

    def __init__(self, batch: torch.Tensor) -> None:
        self._batch = batch
        self._asked, self._given = threading.Semaphore(0), threading.Semaphore(0)
        self._closed = False

    def __len__(self) -> int:
        return NEVER  # Where the length is known, Lightning does not fetch a batch ahead.

    def __iter__(self) -> Iterator[torch.Tensor]:
        while True:
            self._asked.release()
            self._given.acquire()
            if self._closed:
                return
            yield self._batch

    def give(self) -> None:
        """Give one batch, and wait until the next one is asked for."""
        self._given.release()
        self._asked.acquire()

    def wait(self) -> None:
        """Wait until the first batch is asked for."""
        self._asked.acquire()

    def close(self) -> None:
        """End the loader for who is waiting."""
        self._closed = True
        self._given.release()

    def abandon(self) -> None:
        """Let go who waits in `give` or `wait`: nothing will be asked for any more."""
        self._asked.release()


class _Fit(threading.Thread):
    """A call of `Trainer.fit`."""

    def __init__(self, trainer: Any, module: Any, batches: _Batches) -> None:
        super().__init__()
        self._trainer, self._module, self._batches = trainer, module, batches
        self._error: Exception | None = None

    def run(self) -> None:
        """Train until the batches end; keep an exception for `step`."""
        torch.set_num_threads(1)
        try:
            self._trainer.fit(self._module, self._batches)
        except Exception as error:  # Raised in `step`, in the thread that measures.
            self._error = error
        finally:
            self._batches.abandon()

    def step(self) -> None:
        """Train for one batch."""
        self._batches.give()
        if self._error is not None:
            raise self._error


@contextmanager
def _fitting(task: Callable[[], Task], *, norms: bool, log_every_n_steps: int = INTERVAL) -> Iterator[Variant]:
    lightning = importlib.import_module("lightning.pytorch")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    trained = task()
    batches = _Batches(trained.inputs)
    with tempfile.TemporaryDirectory() as folder:
        trainer = lightning.Trainer(
            accelerator="cpu",
            default_root_dir=folder,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            log_every_n_steps=log_every_n_steps,
            max_epochs=1,
        )
        fit = _Fit(trainer, _module(trained, norms=norms), batches)
        fit.start()
        batches.wait()
        try:
            yield Variant("fitting", fit.step)
        finally:
            batches.close()
            fit.join()


def _module(trained: Task, *, norms: bool) -> Any:
    """Return the LightningModule that trains as `trained`, and logs its loss and perhaps the norms of its gradients."""
    lightning = importlib.import_module("lightning.pytorch")
    grad_norm = importlib.import_module("lightning.pytorch.utilities").grad_norm

    class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]  # Imported late.
        def __init__(self) -> None:
            super().__init__()
            self.model = trained.model

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return trained.optimizer

        def training_step(self, batch: torch.Tensor) -> torch.Tensor:
            loss: torch.Tensor = trained.criterion(self.model(batch), trained.targets)
            self.log("train_loss", loss)
            return loss

        def on_before_optimizer_step(self, _optimizer: torch.optim.Optimizer) -> None:
            if norms:
                self.log_dict(grad_norm(self.model, norm_type=2))

    return Module()


@contextmanager
def _every_step(task: Callable[[], Task]) -> Iterator[Trial]:
    with ExitStack() as stack:
        bare = stack.enter_context(_fitting(task, norms=False))
        recording = stack.enter_context(_fitting(task, norms=True, log_every_n_steps=1))
        yield each_step(bare, recording)


@contextmanager
def _default(task: Callable[[], Task]) -> Iterator[Trial]:
    with ExitStack() as stack:
        bare = stack.enter_context(_fitting(task, norms=False))
        idle = stack.enter_context(_fitting(task, norms=True, log_every_n_steps=NEVER))
        recording = stack.enter_context(_fitting(task, norms=True, log_every_n_steps=1))
        yield amortised(bare, idle, recording, interval=INTERVAL)


LIGHTNING = Watcher(
    "Lightning's `grad_norm`, logged",
    f"Lightning's `grad_norm`, logged 1 step in {INTERVAL}",
    "lightning",
    _every_step,
    _default,
)
