"""Our records through a SummaryWriter that the user has already."""

from __future__ import annotations

import weakref

from tensorboard.compat.proto.event_pb2 import Event

from tb_netviz.pytorch._summary_writer import SummaryWriter


class WriterSink:
    """A sink into the file of a torch SummaryWriter: TensorBoard follows one live file a folder.

    The file is the writer's: it is neither flushed more often than the writer does nor closed here. The writer is held
    weakly; what comes after its end is dropped.
    """

    path = None

    def __init__(self, writer: SummaryWriter) -> None:
        self._writer = weakref.ref(writer)
        self.log_dir = str(writer.get_logdir())
        self.dropped = 0

    def write(self, event: Event) -> None:
        """Write an event."""
        self.offer(event)

    def offer(self, event: Event) -> bool:
        """Write an event; torch's queue may make it wait."""
        writer = self._writer()
        if writer is None:
            self.dropped += 1
            return False
        writer._get_file_writer().event_writer.add_event(event)  # No public method takes a whole event.
        return True

    def flush(self) -> None:
        """Flush the writer."""
        writer = self._writer()
        if writer is not None:
            writer.flush()

    def close(self) -> None:
        """Leave the file to its writer."""
