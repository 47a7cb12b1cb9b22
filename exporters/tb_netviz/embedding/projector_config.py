"""The file that tells TensorBoard's projector what there is: read and written beside others who do so, too."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from google.protobuf import text_format
from tensorboard.plugins.projector.metadata import PROJECTOR_FILENAME
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

from tb_netviz.events import warn
from tb_netviz.events.folder_lock import FolderLock, FolderTakenError
from tb_netviz_plugin.schema.messages import text

FOLDER = "netviz_projector"
"""Folder of our files, below that of the run."""
PATIENCE = 30.0
"""Seconds for which we wait until another process has written the config."""
_PAUSE = 0.02
_LOST_IN_ADDRESSES = re.compile(r"[&#%+\x00-\x1f\x7f]")


@contextlib.contextmanager
def locked(run_folder: str | os.PathLike[str]) -> Iterator[None]:
    """Keep others from writing the config of a run while the context lasts.

    Raises:
        TimeoutError: If another process has it for too long.
        OSError: If the folder of the lock can't be made.
    """
    folder = Path(run_folder) / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    lock = _lock(str(folder))
    try:
        yield
    finally:
        lock.release()


def _lock(folder: str) -> FolderLock:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return FolderLock(folder)
        except FolderTakenError as error:
            if time.monotonic() > deadline:
                raise TimeoutError(f"another process has been writing it for {PATIENCE:.0f} s") from error
            time.sleep(_PAUSE)


def read_config(run_folder: str | os.PathLike[str]) -> tuple[ProjectorConfig, str]:
    """Return the config of a run and, where something is wrong with it, what that is.

    One that can't be understood is kept under another name, and an empty one is returned. Call it under the lock.

    Raises:
        OSError: If it can't be read or put aside.
    """
    path, config = Path(run_folder) / PROJECTOR_FILENAME, ProjectorConfig()
    try:
        text_format.Parse(path.read_text("utf-8"), config)
    except FileNotFoundError:
        return config, ""
    except (text_format.ParseError, UnicodeDecodeError):
        aside = next(free for free in _names(path) if not free.exists())
        path.rename(aside)
        return ProjectorConfig(), f"{path.name} could not be understood; it is kept as {aside.name}"
    return config, ""


def _names(path: Path) -> Iterator[Path]:
    return (path.with_name(f"{path.stem}.broken{number}{path.suffix}") for number in count(1))


@contextlib.contextmanager
def merged_config(run_folder: str | os.PathLike[str], replaced: str) -> Iterator[ProjectorConfig]:
    """Give the config of a run to somebody who adds an entry and writes it, and keep others from it meanwhile.

    Args:
        run_folder: Of the run.
        replaced: Name of the entry that is about to come again.

    Raises:
        OSError: If the config can't be read or put aside: it is not to be overwritten.
    """
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(locked(run_folder))
        except OSError as error:
            warn(f"{PROJECTOR_FILENAME} is written without a lock ({error.strerror or error})", stacklevel=5)
        config, words = read_config(run_folder)
        if words:
            warn(words, stacklevel=5)
        kept = [entry for entry in config.embeddings if entry.tensor_name != replaced]
        del config.embeddings[:]
        config.embeddings.extend(kept)
        yield config


def write_config(run_folder: str | os.PathLike[str], config: ProjectorConfig) -> None:
    """Write the config of a run, under the lock.

    Raises:
        OSError: If it can't be written; then it is as it was.
    """
    content = text_format.MessageToString(config, as_utf8=True)
    write_whole(Path(run_folder) / PROJECTOR_FILENAME, content.encode())


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that nobody ever sees half of it.

    Raises:
        OSError: If it can't be written; then what stood there stays.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise


def shown_name(name: str, step: int) -> str:
    """Return how the projector lists the vectors of a step.

    It asks for them by this name, in an address in which it escapes nothing.
    """
    return _LOST_IN_ADDRESSES.sub("_", text(f"{name} step {step:05d}"))
