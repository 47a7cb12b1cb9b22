"""Labels and thumbnails of points, as files for TensorBoard's projector."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tb_netviz.embedding import sprite
from tb_netviz.embedding.projector_config import write_whole
from tb_netviz_plugin.schema.messages import text

UInt8 = npt.NDArray[np.uint8]

NO_LABEL = "(none)"
"""The projector passes over blank lines, and would give the label of the next point to one without."""
_BREAKS = re.compile(r"[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]+")
"""What divides lines or columns for one of those who read them."""
_BLANK = re.compile(r"[\s\ufeff]*")


def write_labels(folder: Path, labels: Sequence[str]) -> Path:
    """Write a line for each point, where they aren't there already, and return the file.

    Raises:
        OSError: If they can't be written.
    """
    lines = "".join(f"{_line(label)}\n" for label in labels).encode()
    path = folder / f"labels-{_digest(lines)}.tsv"
    if not path.exists():
        write_whole(path, lines)
    return path


def write_sprite(folder: Path, thumbnails: UInt8) -> tuple[Path, tuple[int, int]]:
    """Write thumbnails [points, height, width, channels] as one picture, where it isn't there already.

    Returns:
        The file, and width and height of each.

    Raises:
        OSError: If it can't be written.
    """
    small = np.ascontiguousarray(sprite.reduce(thumbnails))
    _, height, width, _ = small.shape
    path = folder / f"thumbnails-{_digest(small.data, str(small.shape))}.png"
    if not path.exists():
        write_whole(path, sprite.sprite(small))
    return path, (width, height)


def remove_others(folder: Path, used: set[Path]) -> None:
    """Remove labels and pictures that nothing uses any longer.

    Raises:
        OSError: If one can't be removed.
    """
    for pattern in ("labels-*.tsv", "thumbnails-*.png"):
        for path in set(folder.glob(pattern)) - used:
            path.unlink(missing_ok=True)


def _line(label: str) -> str:
    line = _BREAKS.sub(" ", text(label))
    return NO_LABEL if _BLANK.fullmatch(line) else line


def _digest(content: bytes | memoryview, shape: str = "") -> str:
    return hashlib.blake2b(content, digest_size=6, key=shape.encode()).hexdigest()
