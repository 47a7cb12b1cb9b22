"""The event file: framing, an asynchronous file shared within the process, and sinks."""

from tb_netviz.events.framing import (
    CorruptRecordError,
    TruncatedRecordError,
    UnreadableRecordError,
    frame,
    read_frames,
)
from tb_netviz.events.notices import NetVizWarning, warn
from tb_netviz.events.open import FileSink, RemoteLogDirError, open_sink
from tb_netviz.events.sink import MemorySink, NullSink, Sink

__all__ = [
    "CorruptRecordError",
    "FileSink",
    "MemorySink",
    "NetVizWarning",
    "NullSink",
    "RemoteLogDirError",
    "Sink",
    "TruncatedRecordError",
    "UnreadableRecordError",
    "frame",
    "open_sink",
    "read_frames",
    "warn",
]
