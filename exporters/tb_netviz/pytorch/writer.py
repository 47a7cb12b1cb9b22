"""A SummaryWriter that also watches models."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from multiprocessing.util import Finalize
from types import TracebackType
from typing import Any

import torch
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from torch import Tensor, nn
from torch.optim import Optimizer

from tb_netviz.embedding.dispatcher import DRAIN_SECONDS, patience_after
from tb_netviz.embedding.embeddings import Embeddings
from tb_netviz.embedding.projector_config import merged_config
from tb_netviz.events import open_sink, warn
from tb_netviz.live import OnFinding
from tb_netviz.pytorch._files import SinkFile
from tb_netviz.pytorch._summary_writer import SummaryWriter, hparams
from tb_netviz.pytorch.attach import watch
from tb_netviz.pytorch.embeddings import EmbeddingOwner, WatchedEmbedding
from tb_netviz.pytorch.probes import ActivationMaps, ProbeOwner
from tb_netviz.pytorch.run import Run
from tb_netviz.pytorch.shards import may_follow
from tb_netviz.pytorch.watch import Watch


class Belongings:
    """What a writer has open. It outlives a writer that nobody holds any longer: the model may still be trained.

    Attributes:
        run: The run, once something is watched.
        files: The event files.
        probes: What is run through models beside their training.
        embeddings: What is laid out, once there is something.
    """

    def __init__(self) -> None:
        self.run: Run | None = None
        self.files: list[SinkFile] = []
        self.probes: list[ActivationMaps | WatchedEmbedding] = []
        self.embeddings: Embeddings | None = None
        # Before the files themselves are closed at the end of the process, hence the priority.
        self._finalizer = Finalize(None, self.close, exitpriority=20)

    @property
    def in_use(self) -> bool:
        """Whether a model is being watched."""
        return self.run is not None and any(watch.attached for watch in self.run.watches)

    def step(self) -> int | None:
        """Index of the training step in progress, where one is known."""
        try:
            return None if self.run is None else self.run.step
        except Exception:  # The user's own number of the step can't be had; where the optimizer steps we say so.
            return None

    def adopt(self, probe: ActivationMaps | WatchedEmbedding, kind: str) -> None:
        """Keep a probe; it takes the place of one of the same kind, model and name."""
        for earlier in self.probes:
            if type(earlier) is type(probe) and earlier.identity == probe.identity:
                self.probes.remove(earlier)
                if earlier.attached:
                    warn(f"{kind} recorded as {probe.name!r} already; the new ones replace them.", stacklevel=4)
                    earlier.detach()
                break
        self.probes.append(probe)

    def end_run(self, patience: float = DRAIN_SECONDS) -> None:
        """Detach all watches and write what is held; wait so many seconds for layouts."""
        for probe in self.probes:
            probe.detach()
        self.probes.clear()
        if self.embeddings is not None:
            self.embeddings.close(patience)
            self.embeddings = None
        if self.run is not None and not self.run.ended:
            self.run.end()

    def close(self) -> None:
        """End the run and close the files."""
        self._finalizer.cancel()
        self.end_run()
        for file in self.files:
            file.close()


# Of writers that were collected. Nothing is closed in the middle of a garbage collection, where locks may be held.
_orphans: list[Belongings] = []


def _close_orphans() -> None:
    """Close what belonged to writers that nobody holds any longer, unless a model is still watched."""
    for orphan in [orphan for orphan in _orphans if not orphan.in_use]:
        _orphans.remove(orphan)
        orphan.close()


class NetVizWriter(SummaryWriter, ProbeOwner, EmbeddingOwner):  # type: ignore[misc]  # torch.utils.tensorboard is untyped.
    """All that `torch.utils.tensorboard.SummaryWriter` does, and `watch`.

    Everything goes through one event file that is flushed within a second, whose checksums are native and for which
    TensorFlow is not imported. `max_queue` and `flush_secs` are accepted and have no effect.

    Args:
        log_dir: Folder of the run; by default "runs/", date, time and host.
        comment: Ends the default `log_dir`.
        purge_step: Of a resumed run: what was logged from this step on is hidden.
        max_queue: As in SummaryWriter.
        flush_secs: As in SummaryWriter.
        filename_suffix: Ends the event file's name.

    Raises:
        RemoteLogDirError: If `log_dir` is not on a local file system.
    """

    file_writer: SinkFile | None
    all_writers: dict[str, SinkFile] | None
    purge_step: int | None

    def __init__(
        self,
        log_dir: str | os.PathLike[str] | None = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: int = 120,
        filename_suffix: str = "",
    ) -> None:
        _close_orphans()
        self._belongings = Belongings()
        Finalize(self, _orphans.append, args=(self._belongings,))
        self._has_graph = False
        super().__init__(log_dir, comment, purge_step, max_queue, flush_secs, filename_suffix)

    @property
    def _run(self) -> Run | None:
        return self._belongings.run

    @property
    def step(self) -> int:
        """Index of the optimizer step in progress, from 0; of the first model watched where there are several.

        It moves on with the first training-mode forward pass after `optimizer.step()`, so that a scalar logged before
        or after `optimizer.step()` gets the number under which that step is recorded.
        """
        self._deliver()
        return 0 if self._run is None else self._run.step

    def watch(
        self,
        model: nn.Module,
        optimizer: Optimizer | Iterable[Optimizer] | None = None,
        criterion: nn.Module | None = None,
        *,
        name: str | None = None,
        step: Callable[[], int] | None = None,
        every: int | None = None,
        budget: float = 0.02,
        include: str | Iterable[str] | None = None,
        exclude: str | Iterable[str] | None = None,
        gradients: bool = True,
        updates: bool = True,
        activations: bool = True,
        histograms: bool | int = True,
        train_loss: str | None = None,
        val_loss: str | None = None,
        on_finding: OnFinding = "warn",
    ) -> Watch:
        """Record gradients and weights of `model` while it trains. See `tb_netviz.pytorch.watch`."""
        return watch(
            model,
            optimizer,
            criterion,
            writer=self,
            name=name,
            step=step,
            every=every,
            budget=budget,
            include=include,
            exclude=exclude,
            gradients=gradients,
            updates=updates,
            activations=activations,
            histograms=histograms,
            train_loss=train_loss,
            val_loss=val_loss,
            on_finding=on_finding,
        )

    def observe(
        self, *, outputs: object = None, targets: object = None, loss: object = None, model: str | None = None
    ) -> None:
        """Say what a functional loss was computed from, and what it gave. See `Watch.observe`.

            loss = F.cross_entropy(outputs, targets)
            writer.observe(outputs=outputs, targets=targets, loss=loss)

        Args:
            outputs: What the model put out; a tensor, or something that holds one.
            targets: What it should have put out, likewise. Give them together with the outputs.
            loss: The loss, as a tensor or a number; recorded as long as no training loss is logged, or rarely.
            model: Name under which the model is watched; by default the first one.

        Raises:
            TypeError: If `outputs` or `targets` holds no tensor, or `loss` is no number.
            ValueError: If no model is watched under that name.
        """
        if torch.compiler.is_compiling() or self._belongings.run is None:
            return
        watch = self._belongings.run.watch_of(model)
        if watch is not None:
            watch.observe(outputs=outputs, targets=targets, loss=loss)

    def netviz_run(self) -> Run:
        """Return the run of this writer, open for records."""
        if self._run is None or self._run.ended:
            folder = self._get_file_writer().get_logdir()
            sink = open_sink(folder, filename_suffix=self.filename_suffix, deferred=may_follow())
            self._belongings.run = Run(sink, has_graph=self._has_graph)
        assert self._run is not None
        return self._run

    def add_scalar(
        self,
        tag: str,
        scalar_value: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        new_style: bool = False,
        double_precision: bool = False,
    ) -> None:
        """Add a scalar, as SummaryWriter does; while a model is watched it also stands in our tab."""
        if isinstance(scalar_value, Tensor):
            scalar_value = scalar_value.detach().cpu()  # Once, although it is read twice.
        super().add_scalar(tag, scalar_value, global_step, walltime, new_style, double_precision)
        self._hear(tag, scalar_value, global_step, walltime)

    def add_scalars(
        self,
        main_tag: str,
        tag_scalar_dict: Mapping[str, Any],
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Add scalars, as SummaryWriter does: each goes into a run of its own, below this one."""
        folder = self._get_file_writer().get_logdir()
        assert self.all_writers is not None
        for tag, value in tag_scalar_dict.items():
            # Where SummaryWriter looks for the writer of the sub-run before it opens one of its own.
            path = folder + "/" + main_tag.replace("/", "_") + "_" + tag
            if path not in self.all_writers:
                self.all_writers[path] = self._open(path)
            self._hear(f"{main_tag}/{tag}", value, global_step, walltime)
        super().add_scalars(main_tag, tag_scalar_dict, global_step, walltime)

    def add_hparams(
        self,
        hparam_dict: dict[str, Any],
        metric_dict: dict[str, Any],
        hparam_domain_discrete: dict[str, list[Any]] | None = None,
        run_name: str | None = None,
        global_step: int | None = None,
    ) -> None:
        """Add hyperparameters and the metrics to compare them by, as SummaryWriter does: into a run below this one."""
        if type(hparam_dict) is not dict or type(metric_dict) is not dict:
            raise TypeError("hparam_dict and metric_dict should be dictionary.")
        folder = os.path.join(self._get_file_writer().get_logdir(), run_name or str(time.time()))  # noqa: PTH118  As torch joins it.
        with NetVizWriter(folder) as below:
            for summary in hparams(hparam_dict, metric_dict, hparam_domain_discrete):
                below._get_file_writer().add_summary(summary, global_step)
            for tag, value in metric_dict.items():
                below.add_scalar(tag, value, global_step)

    def add_embedding(
        self,
        mat: Any,
        metadata: Any = None,
        label_img: Any = None,
        global_step: int | None = None,
        tag: str = "default",
        metadata_header: Any = None,
    ) -> None:
        """Add points for the projector, as SummaryWriter does, beside what an earlier process or others have added."""
        step = self._belongings.step() if global_step is None else global_step
        name = f"{tag}:{str(step or 0).zfill(5)}"  # As SummaryWriter calls it.
        with merged_config(self._get_file_writer().get_logdir(), name) as config:
            self._projector_config = config  # That SummaryWriter adds to and writes.
            super().add_embedding(mat, metadata, label_img, step, tag, metadata_header)

    def add_graph(
        self, model: nn.Module, input_to_model: Any = None, verbose: bool = False, use_strict_trace: bool = True
    ) -> None:
        """Add a graph, as SummaryWriter does; `watch` then adds none."""
        super().add_graph(model, input_to_model, verbose, use_strict_trace)
        self._has_graph = True
        if self._run is not None:
            self._run.has_graph = True

    def flush(self) -> None:
        """Write everything that is held to disk."""
        self._deliver()
        if self._run is not None and not self._run.ended:
            self._run.flush()
        super().flush()

    def close(self) -> None:
        """Detach all watches, write everything and close the files. A further `add_*` opens a new file.

        Raises:
            FindingError: If `on_finding` is "raise", and something was found since the last call.
        """
        self._close()
        self._deliver()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close; where an error ends the block, a finding is not to hide it."""
        if error is None:
            self.close()
        else:
            self._close(patience_after(error))

    def _close(self, patience: float = DRAIN_SECONDS) -> None:
        self._belongings.end_run(patience)
        super().close()
        self._belongings.files.clear()
        _close_orphans()

    def _get_file_writer(self) -> SinkFile:
        if self.all_writers is None or self.file_writer is None:
            self.file_writer = self._open(str(self.log_dir))
            self.all_writers = {self.file_writer.get_logdir(): self.file_writer}
            if self.purge_step is not None:
                self.file_writer.add_event(Event(file_version="brain.Event:2"), self.purge_step)
                self.file_writer.add_event(Event(session_log=SessionLog(status=SessionLog.START)), self.purge_step)
                self.purge_step = None
        return self.file_writer

    def _adopt(self, probe: ActivationMaps) -> None:
        self._belongings.adopt(probe, "activation maps were")

    def _follow(self, embedding: WatchedEmbedding) -> None:
        self._belongings.adopt(embedding, "embeddings were")

    def _embeddings(self) -> Embeddings:
        run = self.netviz_run()
        if self._belongings.embeddings is None:
            self._belongings.embeddings = Embeddings(run.sink)
        return self._belongings.embeddings

    def _known_step(self) -> int | None:
        return self._belongings.step() if self._belongings.in_use else None

    def _open(self, path: str) -> SinkFile:
        file = SinkFile(path, self.filename_suffix, self._belongings.step)
        self._belongings.files.append(file)
        return file

    def _hear(self, tag: str, value: Any, step: int | None, walltime: float | None) -> None:
        if self._run is None or self._run.ended or isinstance(value, str):
            return
        self._deliver()
        self._run.hear(tag, value, step, walltime)

    def _deliver(self) -> None:
        """Do what the user asked for about findings: here and nowhere else, since this is called by the user."""
        if self._run is not None:
            self._run.alarm.deliver()
