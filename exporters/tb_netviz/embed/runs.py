"""A run that has ended, opened to add to it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tb_netviz.events import NullSink, Sink, open_sink
from tb_netviz.events.folder_lock import FolderLock, FolderTakenError
from tb_netviz.refusal import RefusalError


def refuse_live(folder: Path) -> None:
    """Refuse a run that is still written: TensorBoard follows one file of a run.

    Raises:
        RefusalError: If a process has the folder.
    """
    try:
        FolderLock(str(folder)).release()
    except FolderTakenError as error:
        raise RefusalError(f"a process is still writing into {str(folder)!r}; wait for its end") from error


@contextmanager
def opened(folder: Path) -> Iterator[Sink]:
    """Give a new event file of a run that has ended.

    Raises:
        RefusalError: If it is still written, or can't be.
    """
    refuse_live(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # They speak of a training that goes on.
        sink = open_sink(folder)
        try:
            if isinstance(sink, NullSink):
                raise RefusalError(f"can't write into {str(folder)!r}")
            yield sink
        finally:
            sink.close()
    if sink.dropped:
        raise RefusalError(f"could not write all of it into {str(folder)!r}; is the disk full?")
