"""torch's FileWriter over our event file."""

from __future__ import annotations

from collections.abc import Callable

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

from tb_netviz.events import Sink, open_sink
from tb_netviz.pytorch._summary_writer import FileWriter
from tb_netviz.pytorch.shards import may_follow


class SinkFile(FileWriter):  # type: ignore[misc]  # torch.utils.tensorboard is untyped.
    """What torch's SummaryWriter writes through, with our sink instead of TensorBoard's event writer.

    Attributes:
        event_writer: The sink behind the interface of TensorBoard's EventFileWriter.
    """

    def __init__(self, log_dir: str, filename_suffix: str, default_step: Callable[[], int | None]) -> None:
        # The base class would open a file of TensorBoard's, and with it TensorFlow.
        self.event_writer = SinkEventWriter(log_dir, filename_suffix)
        self._default_step = default_step

    def add_summary(self, summary: Summary, global_step: int | None = None, walltime: float | None = None) -> None:
        """Write a summary; without a step it gets that of the training step in progress, where one is known."""
        super().add_summary(summary, self._default_step() if global_step is None else global_step, walltime)


class SinkEventWriter:
    """TensorBoard's EventFileWriter in what others call of it."""

    def __init__(self, log_dir: str, filename_suffix: str) -> None:
        self._log_dir = log_dir
        self._filename_suffix = filename_suffix
        self.sink: Sink = open_sink(log_dir, filename_suffix=filename_suffix, deferred=may_follow())

    def get_logdir(self) -> str:
        """Folder that was asked for."""
        return self._log_dir

    def add_event(self, event: Event) -> None:
        """Write an event that the user asked for."""
        self.sink.write(event)

    def flush(self) -> None:
        """Wait until everything is with the operating system."""
        self.sink.flush()

    def close(self) -> None:
        """Flush and close the file."""
        self.sink.close()

    def reopen(self) -> None:
        """Go on in a new file after `close`."""
        self.sink.close()
        self.sink = open_sink(self._log_dir, filename_suffix=self._filename_suffix, deferred=may_follow())
