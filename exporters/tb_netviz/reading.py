"""Runs in a log folder, read as TensorBoard reads them, but all of each and without a server."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from tb_netviz.files import FileProvider
from tb_netviz.refusal import RefusalError
from tb_netviz_plugin.reader import Reader, Run

_NO_TENSORFLOW = "tensorboard.compat.notf"
"""TensorBoard's own switch: where this module exists it imports no TensorFlow, which would take seconds."""
_EVERYTHING = 0
_SHOWN = 10


def read_runs(log_dir: Path, name: str | None = None) -> list[Run]:
    """Return the runs below `log_dir` that have data of ours, or the one of that name.

    Raises:
        RefusalError: If there is none.
    """
    if not log_dir.is_dir():
        raise RefusalError(f"there is no folder {str(log_dir)!r}. Give the one that TensorBoard gets as --logdir")
    with _without_tensorflow():
        runs = _open(log_dir, name)
    if not runs:
        raise RefusalError(f"there are no data of netviz below {str(log_dir)!r}")
    return runs


def listed(names: Iterable[str]) -> str:
    """Return "are 'a', 'b', …" for a few of `names`."""
    every = list(names)
    if not every:
        return "are none"
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return f"{'is' if len(every) == 1 else 'are'} {', '.join(map(repr, every[:_SHOWN]))}{more}"


def _open(log_dir: Path, name: str | None) -> list[Run]:
    from tensorboard.backend.event_processing.io_wrapper import GetLogdirSubdirectories
    from tensorboard.context import RequestContext

    folders = {os.path.relpath(folder, log_dir): folder for folder in GetLogdirSubdirectories(str(log_dir))}
    if name is not None and name not in folders:
        raise RefusalError(f"there is no run {name!r}; there {listed(sorted(folders))}")
    wanted = folders if name is None else {name: folders[name]}
    reader, context = Reader(FileProvider(wanted), _EVERYTHING), RequestContext()
    return [reader.run(context, "", listing.name) for listing in reader.runs(context, "")]


@contextmanager
def _without_tensorflow() -> Iterator[None]:
    already = _NO_TENSORFLOW in sys.modules
    sys.modules.setdefault(_NO_TENSORFLOW, ModuleType(_NO_TENSORFLOW))
    try:
        yield
    finally:
        if not already:
            del sys.modules[_NO_TENSORFLOW]
