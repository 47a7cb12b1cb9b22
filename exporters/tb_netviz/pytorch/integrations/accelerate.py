"""Hugging Face Accelerate: a tracker for the Accelerator.

from tb_netviz.pytorch.integrations.accelerate import NetVizTracker

tracker = NetVizTracker("runs/digits")
accelerator = accelerate.Accelerator(log_with=tracker)
accelerator.init_trackers("digits")
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
tracker.watch(model, optimizer)
...  # accelerator.log({"loss": loss}, step=tracker.step)
accelerator.end_training()
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer

try:
    from accelerate.state import PartialState
    from accelerate.tracking import GeneralTracker
    from accelerate.utils import listify
except ModuleNotFoundError as error:
    raise ImportError(
        "tb_netviz.pytorch.integrations.accelerate needs Accelerate: pip install 'tb-netviz-plugin[accelerate]'"
    ) from error

from tb_netviz.pytorch.attach import watch
from tb_netviz.pytorch.watch import Watch
from tb_netviz.pytorch.writer import NetVizWriter


class NetVizTracker(GeneralTracker):  # type: ignore[misc]  # accelerate is untyped here.
    """All that Accelerate's TensorBoardTracker does, and `watch`.

    It takes the place of `log_with="tensorboard"`. The main process writes; the others take part in watching, until
    their own `finish`, of which Accelerate does not tell them.

    Args:
        run_name: Folder of the run, below `logging_dir`.
        logging_dir: Where runs are stored.
        options: As for NetVizWriter.
    """

    name = "netviz"
    requires_logging_directory = True
    main_process_only = False  # `start` and `finish` concern all; the rest minds it by itself.

    def __init__(
        self, run_name: str | os.PathLike[str], logging_dir: str | os.PathLike[str] = ".", **options: Any
    ) -> None:
        super().__init__()
        self._folder = Path(logging_dir, run_name)
        self._options = options
        self._writer: NetVizWriter | None = None

    @property
    def writer(self) -> NetVizWriter:
        """The writer. It is opened when it is first asked for."""
        if self._writer is None:
            self._writer = NetVizWriter(self._folder, **self._options)
        return self._writer

    @property
    def tracker(self) -> NetVizWriter:
        """What `accelerator.get_tracker("netviz", unwrap=True)` returns: the writer."""
        return self.writer

    @property
    def step(self) -> int:
        """Index of the optimizer step in progress, from 0: accumulated batches share one."""
        return self.writer.step

    def watch(
        self,
        model: nn.Module,
        optimizer: Optimizer | Iterable[Optimizer] | None = None,
        criterion: nn.Module | None = None,
        **options: Any,
    ) -> Watch:
        """Record gradients and weights of `model` while it trains. See `tb_netviz.pytorch.watch`.

        Call it on every process, with what `accelerator.prepare` returned or what it was given.
        """
        return watch(model, optimizer, criterion, writer=self.writer, **options)

    def start(self) -> None:
        """Open the writer; `accelerator.init_trackers` calls it."""
        _ = self.writer

    def store_init_configuration(self, values: Mapping[str, Any]) -> None:
        """Add hyperparameters, for TensorBoard's HPARAMS tab."""
        if PartialState().is_main_process:
            self.writer.add_hparams(dict(values), {}, run_name=".")

    def log(self, values: Mapping[str, Any], step: int | None = None, **options: Any) -> None:
        """Add numbers, texts and groups of numbers; without a step, under that of the optimizer step in progress."""
        if not PartialState().is_main_process:
            return
        for name, value in listify(dict(values)).items():
            if isinstance(value, str):
                self.writer.add_text(name, value, step, **options)
            elif isinstance(value, dict):
                self.writer.add_scalars(name, value, step, **options)
            else:
                self.writer.add_scalar(name, value, step, **options)

    def log_images(self, values: Mapping[str, Any], step: int | None = None, **options: Any) -> None:
        """Add batches of images."""
        if PartialState().is_main_process:
            for name, images in values.items():
                self.writer.add_images(name, images, step, **options)

    def finish(self) -> None:
        """Detach what is watched and close the file; `accelerator.end_training` calls it."""
        if self._writer is not None:
            self._writer.close()
