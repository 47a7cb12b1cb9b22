"""Where the demo writes: fresh run names, so that no earlier run is lost or mixed with a new one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from tb_netviz.demo.errors import UnwritableError


def fresh_runs(log_dir: Path, names: Sequence[str]) -> dict[str, Path]:
    """Return a folder below `log_dir` for each name: the name, or all of them with the first number that is free.

    Raises:
        UnwritableError: If `log_dir` can't be made or written into.
    """
    try:
        log_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnwritableError(f"Can't make the folder {log_dir}: {error.strerror}. Give another --logdir.") from error
    if not os.access(log_dir, os.W_OK | os.X_OK):
        raise UnwritableError(f"Can't write into {log_dir}. Give another --logdir.")
    for number in count(1):
        suffix = "" if number == 1 else f"-{number}"
        folders = {name: log_dir / f"{name}{suffix}" for name in names}
        if not any(folder.exists() for folder in folders.values()):
            break
    return folders
