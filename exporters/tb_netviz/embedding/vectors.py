"""Vectors as files: written so that TensorBoard's projector takes them, and read back.

A run keeps them below `netviz_projector`, in a folder for each embedding: `name.txt` with its name, and of each step
`<step>-<points>x<units>.bytes`, float32, little-endian.
"""

from __future__ import annotations

import codecs
import functools
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tb_netviz.embedding.projector_config import FOLDER
from tb_netviz_plugin.schema.embedding import EmbeddingDescription
from tb_netviz_plugin.schema.messages import text

NAME = "name.txt"
_FILE = re.compile(r"(?P<step>-?\d+)-(?P<points>\d+)x(?P<units>\d+)\.bytes\Z")
_STRANGE = re.compile(r"[^A-Za-z0-9._-]+")
_START = 4096
_NEGATIVE_ZERO = 0x80000000
_VALUE_BYTES = 4

Float32 = npt.NDArray[np.float32]
Loader = Callable[[], Float32]


@dataclass(frozen=True, slots=True)
class VectorFile:
    """The vectors of a step.

    Attributes:
        path: Of the file.
        step: Of the training.
        shape: Points and units.
    """

    path: Path
    step: int
    shape: tuple[int, int]

    @property
    def nbytes(self) -> int:
        """What it takes."""
        return _VALUE_BYTES * self.shape[0] * self.shape[1]


def stored(run_folder: str | os.PathLike[str]) -> dict[str, list[tuple[int, Loader]]]:
    """Return the vectors that a run has kept, by the embedding's name, in the order of their steps.

    Each loader returns them as [points, units], NaN where a point's vector was not finite, or raises OSError.
    """
    found: dict[str, list[tuple[int, Loader]]] = {}
    for folder in folders(run_folder):
        files = sorted(files_in(folder), key=lambda file: file.step)
        name = (folder / NAME).read_text("utf-8")
        found[name] = [(file.step, functools.partial(load, file)) for file in files]
    return found


def stored_name(description: EmbeddingDescription) -> str:
    """Return the name under which the vectors of an embedding are kept: models may have embeddings of the same name."""
    return "/".join(part for part in (description.model, description.name) if part)


def folders(run_folder: str | os.PathLike[str]) -> list[Path]:
    """Return the folders of a run's embeddings."""
    return sorted(name.parent for name in (Path(run_folder) / FOLDER).glob(f"*/{NAME}"))


def folder_of(run_folder: str | os.PathLike[str], name: str) -> Path:
    """Return the folder of an embedding, whatever signs its name has."""
    digest = hashlib.blake2b(text(name).encode(), digest_size=4).hexdigest()
    return Path(run_folder) / FOLDER / f"{_STRANGE.sub('_', name)[:40]}-{digest}"


def files_in(folder: Path) -> Iterator[VectorFile]:
    """Yield the vectors in an embedding's folder."""
    for path in folder.glob("*.bytes"):
        match = _FILE.match(path.name)
        if match:
            yield VectorFile(path, int(match["step"]), (int(match["points"]), int(match["units"])))


def vector_file(folder: Path, step: int, shape: tuple[int, int]) -> VectorFile:
    """Return the file for the vectors of a step."""
    return VectorFile(folder / f"{step:05d}-{shape[0]}x{shape[1]}.bytes", step, shape)


def encode(vectors: Float32) -> bytes:
    """Return the content of a file with vectors [points, units].

    A vector that is not finite, of which the projector could draw nothing at all, becomes negative zeros; other zeros
    become positive.
    """
    shown = np.add(vectors, np.float32(0), dtype="<f4")  # -0 + 0 = +0.
    shown[~np.isfinite(vectors).all(axis=1)] = -0.0
    content = bytearray(shown.tobytes())
    if _reads_as_text(content):
        # The projector takes a file for text unless it meets a byte that can't be, and then stumbles. At most the last
        # seven bits of the first number change.
        content[0] = 0x80 | content[0] & 0x3F
    return bytes(content)


def load(file: VectorFile) -> Float32:
    """Return the vectors in a file, NaN where one was not finite.

    Raises:
        OSError: If it can't be read, or has another size than its name says.
    """
    content = file.path.read_bytes()
    if len(content) != file.nbytes:
        raise OSError(f"{file.path} has {len(content):,} bytes instead of {file.nbytes:,}")
    vectors = np.frombuffer(content, "<f4").reshape(file.shape).astype(np.float32)
    vectors[(vectors.view(np.uint32) == _NEGATIVE_ZERO).all(axis=1)] = np.nan
    return vectors


def _reads_as_text(content: bytearray) -> bool:
    """Whether the first line, of which a reader of text decides, may be text."""
    line = re.split(rb"[\r\n]", content[:_START], maxsplit=1)[0]
    try:
        codecs.getincrementaldecoder("utf-8")().decode(line)
    except UnicodeDecodeError:
        return False
    return True
