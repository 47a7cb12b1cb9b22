"""Lightning: a callback for its Trainer.

    from tb_netviz.pytorch.integrations.lightning import NetVizCallback

    trainer = lightning.Trainer(callbacks=[NetVizCallback()])

It works with `lightning.pytorch` and with `pytorch_lightning`.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from typing import Any

from torch import Tensor

from tb_netviz.pytorch._summary_writer import SummaryWriter
from tb_netviz.pytorch.integrations._session import Session
from tb_netviz.pytorch.writer import NetVizWriter

_PACKAGES = ("lightning.pytorch", "pytorch_lightning")


def _callback_class() -> Any:
    """Return Lightning's Callback, of the package that is imported already: the other would take seconds."""
    for name in sorted(_PACKAGES, key=lambda name: name not in sys.modules):
        if importlib.util.find_spec(name.partition(".")[0]) is not None:
            return importlib.import_module(name).Callback
    raise ImportError(
        "tb_netviz.pytorch.integrations.lightning needs Lightning: pip install 'tb-netviz-plugin[lightning]'"
    )


class NetVizCallback(_callback_class()):  # type: ignore[misc]  # Which class that is turns out on import.
    """Watches the LightningModule while the Trainer fits it.

    Records go into the file of the Trainer's TensorBoardLogger. Where there is none, or `log_dir` is given, they go
    into a file of their own, and what is logged with `self.log` does too. Steps are those under which Lightning logs:
    batches after which optimizers stepped, from 0. Losses and metrics are heard when Lightning logs them (see
    `log_every_n_steps`), after a validation and at the end of an epoch: in between, training waits for no value. With
    `fast_dev_run`, nothing is recorded.

    Args:
        log_dir: Folder of the run; by default that of the TensorBoardLogger, or else "runs/", date, time and host.
        options: As for `tb_netviz.pytorch.watch`: name, every, budget, include, exclude, train_loss and so on.
    """

    def __init__(self, log_dir: str | os.PathLike[str] | None = None, **options: Any) -> None:
        super().__init__()
        self._log_dir = log_dir
        self._options = options
        self._session: Session | None = None
        self._global_step = 0
        self._heard: dict[str, Tensor] = {}

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Attach: the sanity check is over, a checkpoint is restored, and the optimizers are there."""
        self.close()
        if trainer.fast_dev_run:
            return
        writer, owned = self._open(trainer)
        self._session = Session(
            writer, pl_module, trainer.optimizers, lambda: _step(trainer), owned=owned, **self._options
        )
        self._global_step = trainer.global_step

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """Hear what Lightning is about to log."""
        stepped = trainer.global_step != self._global_step
        self._global_step = trainer.global_step
        every = trainer.log_every_n_steps
        if stepped and every and (_step(trainer) + 1) % every == 0:
            self._hear(trainer, _step(trainer))

    def on_validation_end(self, trainer: Any, *_: Any) -> None:
        """Hear the validation's metrics."""
        self._hear(trainer, _step(trainer))

    def on_train_epoch_end(self, trainer: Any, *_: Any) -> None:
        """Hear the epoch's metrics, which Lightning logs under the last step of the epoch."""
        self._hear(trainer, _step(trainer) - 1)

    def on_train_end(self, *_: Any) -> None:
        """Detach while the model is still where it was trained."""
        self.close()

    def on_exception(self, *_: Any) -> None:
        """Detach, whatever ends the training."""
        self.close()

    def teardown(self, *_: Any, **__: Any) -> None:
        """Detach where the Trainer ends the training by itself, as its tuner does."""
        self.close()

    def close(self) -> None:
        """Detach and write what is held. Closing twice is harmless."""
        session, self._session = self._session, None
        self._heard = {}
        if session is not None:
            session.close()

    def _open(self, trainer: Any) -> tuple[Any, bool]:
        """Return the writer, and whether it is ours."""
        if self._log_dir is None and trainer.is_global_zero:
            for logger in trainer.loggers:
                writer = getattr(logger, "experiment", None)
                if isinstance(writer, SummaryWriter):
                    return writer, False
        return NetVizWriter(self._log_dir), True

    def _hear(self, trainer: Any, step: int) -> None:
        """Take the metrics that are new: Lightning keeps the last value of each, and hands it out again and again.

        All processes do, since at the end of an epoch they compute the metrics together.
        """
        if self._session is None:
            return
        for name, value in trainer.logged_metrics.items():
            heard = self._heard.get(name)
            if heard is None or heard.data_ptr() != value.data_ptr():
                self._heard[name] = value
                if trainer.is_global_zero:
                    self._session.log(name, float(value), step)


def _step(trainer: Any) -> int:
    # What Lightning's own callbacks log under; `global_step` counts the steps of every optimizer.
    return int(trainer.fit_loop.epoch_loop._batches_that_stepped)
