"""Embeddings for TensorBoard's own projector."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tensorboard.plugins.projector.projector_config_pb2 import EmbeddingInfo, ProjectorConfig, SpriteMetadata

from tb_netviz.embedding.companions import remove_others, write_labels, write_sprite
from tb_netviz.embedding.projector_config import FOLDER, locked, read_config, shown_name, write_config, write_whole
from tb_netviz.embedding.thinning import drop
from tb_netviz.embedding.vectors import NAME, VectorFile, encode, files_in, folder_of, folders, vector_file
from tb_netviz_plugin.schema.messages import text

Float32 = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _Points:
    """A set of points: what was given of them, and the part of an entry that names the files of that."""

    labels: Sequence[str] | None
    thumbnails: UInt8 | None
    files: EmbeddingInfo


class Projector:
    """Keeps the vectors of a run where TensorBoard's projector finds them.

    Beyond the budget older steps go, such that those that stay are spread over the run. What others have entered in the
    projector's config stays.

    Args:
        folder: Of the run.
        budget_bytes: That the files may take.
    """

    def __init__(self, folder: str | os.PathLike[str], budget_bytes: int) -> None:
        self._folder = Path(folder)
        self._budget = budget_bytes
        self._points: dict[str, _Points] = {}
        self._entries: dict[str, EmbeddingInfo] = {}  # Of this process, by the path of the vectors.

    def add(
        self, name: str, step: int, vectors: Float32, label_texts: Sequence[str] | None, thumbnails: UInt8 | None
    ) -> str:
        """Keep the vectors of a step.

        Args:
            name: Of the embedding.
            step: Of the training.
            vectors: [points, units].
            label_texts: One for each point, empty where it has none.
            thumbnails: [points, height, width, 1, 3 or 4 channels].

        Returns:
            What was left out or went wrong, in words, or nothing.
        """
        points, units = vectors.shape
        if points < 2 or units < 2:
            return f"it takes two points with two numbers each at least, and there are {points} with {units}"
        file = vector_file(folder_of(self._folder, name), step, (points, units))
        if file.nbytes > self._budget:
            return f"the vectors of a step take {file.nbytes:,} bytes, and all of them may take {self._budget:,}"
        try:
            file.path.parent.mkdir(parents=True, exist_ok=True)
            if not file.path.with_name(NAME).exists():
                write_whole(file.path.with_name(NAME), text(name).encode())
            entry = self._entry(name, file, label_texts, thumbnails)
            content = encode(vectors)
            with locked(self._folder):
                words = self._add(file, content, entry)
        except OSError as error:
            return f"its files can't be written: {error.strerror or error}"
        return words or ("" if np.isfinite(vectors).all() else "points whose vectors are not finite are at the origin")

    def _entry(
        self, name: str, file: VectorFile, labels: Sequence[str] | None, thumbnails: UInt8 | None
    ) -> EmbeddingInfo:
        """Return the entry of the vectors, with the files of labels and thumbnails, written where they are new."""
        known = self._points.get(name)
        if known is None or known.labels is not labels or known.thumbnails is not thumbnails:
            files = EmbeddingInfo()
            if labels is not None:
                files.metadata_path = self._relative(write_labels(file.path.parent, labels))
            if thumbnails is not None:
                path, size = write_sprite(file.path.parent, thumbnails)
                files.sprite.CopyFrom(SpriteMetadata(image_path=self._relative(path), single_image_dim=size))
            known = self._points[name] = _Points(labels, thumbnails, files)
        entry = EmbeddingInfo(
            tensor_name=shown_name(name, file.step), tensor_path=self._relative(file.path), tensor_shape=file.shape
        )
        entry.MergeFrom(known.files)
        return entry

    def _add(self, file: VectorFile, content: bytes, entry: EmbeddingInfo) -> str:
        """Write vectors and config, under the lock."""
        config, words = read_config(self._folder)
        kept = [old for folder in folders(self._folder) for old in files_in(folder)]
        replaced = [old for old in kept if (old.path.parent, old.step) == (file.path.parent, file.step)]
        excess = self._used() + file.nbytes - sum(old.nbytes for old in replaced) - self._budget
        dropped = drop([old for old in kept if old not in replaced], excess)
        if excess > sum(old.nbytes for old in dropped):
            return (
                f"beside labels and thumbnails there is no room for vectors in the {self._budget:,} bytes of its files"
            )
        existed = file.path.exists()
        write_whole(file.path, content)
        gone = [old for old in (*replaced, *dropped) if old.path != file.path]
        self._merge(config, entry, {self._relative(old.path) for old in gone})
        try:
            write_config(self._folder, config)
        except OSError:
            if not existed:
                file.path.unlink(missing_ok=True)
            raise
        self._remove(gone, config)
        return words or ("older steps went, so that its files take no more than they may" if dropped else "")

    def _merge(self, config: ProjectorConfig, entry: EmbeddingInfo, gone: set[str]) -> None:
        """Put our entries beside those of others, without those whose vectors are gone."""
        self._entries[entry.tensor_path] = entry
        # Whoever writes the config from memory, as torch's writer does, leaves ours out: they come again.
        for path in [path for path in self._entries if path in gone or not (self._folder / path).exists()]:
            del self._entries[path]
        kept = [
            other
            for other in config.embeddings
            if other.tensor_path not in self._entries
            and other.tensor_path not in gone
            and (not other.tensor_path.startswith(f"{FOLDER}/") or (self._folder / other.tensor_path).exists())
        ]
        if entry.tensor_name in {other.tensor_name for other in kept}:
            entry.tensor_name += f" ({Path(entry.tensor_path).parent.name})"
        del config.embeddings[:]
        config.embeddings.extend([*kept, *self._entries.values()])

    def _remove(self, gone: Sequence[VectorFile], config: ProjectorConfig) -> None:
        """Remove vectors that the config names no longer, and what belonged to them alone."""
        for old in gone:
            old.path.unlink(missing_ok=True)
        used = {self._folder / path for one in config.embeddings for path in (one.metadata_path, one.sprite.image_path)}
        for folder in {old.path.parent for old in gone}:
            remove_others(folder, used)
            self._points.clear()

    def _used(self) -> int:
        return sum(path.stat().st_size for path in (self._folder / FOLDER).rglob("*") if path.is_file())

    def _relative(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()
