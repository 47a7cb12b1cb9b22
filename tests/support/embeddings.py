"""Writes embeddings by hand: descriptions, points, and records, quantised here by docs/wire-format.md.

No code is the exporter's. `python -m tests.support.embeddings LOGDIR` writes two runs to look at.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tensorboard.compat.proto import summary_pb2

from tb_netviz_plugin.schema.codec import tensor_value
from tb_netviz_plugin.schema.description import Omission
from tb_netviz_plugin.schema.embedding import (
    LAYOUT_COLUMNS,
    MEASURE_COLUMNS,
    EmbeddingDescription,
    Layout,
    Method,
    PointSet,
    embedding_value,
    new_embedding,
    new_layout,
)
from tb_netviz_plugin.schema.tags import Family, bucket, tag
from tests.support.runs import RunFile

Floats = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]
CLASSES = ("zero", "one", "two")


def point_set(points: int, labels: str = "classes", *, key: str = "", pages: int = 0, on_page: int = 0) -> PointSet:
    """Return a set with labels, and thumbnails where it has pages of them; another `key` is another set."""
    classes = CLASSES if labels == "classes" else ()
    labels_tag = "" if labels == "none" else tag(Family.POINT_LABELS, str(points), labels, key)
    pictures = tuple(tag(Family.THUMBNAILS, str(points), key, str(page)) for page in range(pages))
    return PointSet(points, labels, classes, labels_tag, pictures, on_page)


def described(
    *sets: PointSet,
    name: str = "fc",
    model: str = "",
    inputs: str = "inputs",
    layouts: Sequence[tuple[Method, int, str]] = ((Method.TSNE, 2, "live"),),
    predictions: bool = True,
    omissions: tuple[Omission, ...] = (),
) -> EmbeddingDescription:
    """Return the description of an embedding."""
    one = new_embedding(model, name, "net.fc", inputs, predictions=predictions)
    laid = tuple(new_layout(one, *layout) for layout in layouts)
    return replace(one, sets=tuple(sets), layouts=laid, omissions=omissions)


def codes_of(positions: Floats) -> tuple[npt.NDArray[np.uint16], Floats, float]:
    """Return codes [points, dims], origin [dims] and scale, by docs/wire-format.md."""
    placed = np.isfinite(positions).all(axis=1)
    origin = positions[placed].min(axis=0) if placed.any() else np.zeros(positions.shape[1])
    extent = (positions[placed] - origin).max() if placed.any() else 0.0
    scale = float(extent / 65534 or 1.0)
    codes = np.full(positions.shape, 65535, np.uint16)
    codes[placed] = np.rint((positions[placed] - origin) / scale)
    return codes, origin, scale


class EmbeddingFile:
    """What one process writes of one embedding.

    Args:
        file: The event file.
        description: Of the embedding.
        step: At which it is described.
    """

    def __init__(self, file: RunFile, description: EmbeddingDescription, step: int = 0) -> None:
        self.file = file
        self.description = description
        self._records: Counter[str] = Counter()
        self.describe(description, step)

    def describe(self, description: EmbeddingDescription, step: int) -> None:
        """Write a description."""
        self.description = description
        self.file.values(step, [embedding_value(description)])

    def labels(self, index: int, labels: Float32, step: int = 0) -> None:
        """Write the labels of a set."""
        self.file.values(step, [tensor_value(self.description.sets[index].labels_tag, Family.POINT_LABELS, labels)])

    def thumbnails(self, index: int, pictures: npt.NDArray[np.uint8], step: int = 0) -> None:
        """Write the thumbnails of a set, a page an event."""
        one = self.description.sets[index]
        for page, name in enumerate(one.thumbnail_tags):
            shown = pictures[page * one.thumbnails_on_page : (page + 1) * one.thumbnails_on_page]
            self.file.values(step, [tensor_value(name, Family.THUMBNAILS, shown)])

    def lay(
        self,
        step: int,
        positions: Floats,
        *,
        layout: int = 0,
        index: float = 0,
        figures: Mapping[str, float] | None = None,
    ) -> None:
        """Write where the points of a set are."""
        codes, origin, scale = codes_of(positions)
        known = {"set": index, "scale": scale, "origin_z": 0.0, **(figures or {})}
        known |= {f"origin_{axis}": value for axis, value in zip("xyz", origin.tolist(), strict=False)}
        self.place(step, codes, known, self.description.layouts[layout])

    def place(
        self,
        step: int,
        codes: npt.NDArray[np.uint16] | npt.NDArray[np.float32],
        known: Mapping[str, float],
        layout: Layout,
    ) -> None:
        """Write codes and what is known of them as they are."""
        row = np.array([known.get(column, np.nan) for column in layout.columns], np.float32)
        self.file.values(
            step,
            [
                tensor_value(self.bucket(Family.POSITIONS, layout.position_stem), Family.POSITIONS, codes),
                tensor_value(layout.steps_tag, Family.POSITION_STEPS, row),
            ],
        )

    def measure(
        self,
        step: int,
        measures: Mapping[str, float],
        signature: Float32 | None = None,
        predictions: Float32 | None = None,
    ) -> None:
        """Write what is known of the vectors."""
        one = self.description
        row = np.array([measures.get(column, np.nan) for column in one.measures], np.float32)
        values: list[summary_pb2.Summary.Value] = [tensor_value(one.measures_tag, Family.MEASURES, row)]
        if signature is not None:
            values.append(tensor_value(self.bucket(Family.SIGNATURE, one.signature_stem), Family.SIGNATURE, signature))
        if predictions is not None:
            name = self.bucket(Family.PREDICTIONS, one.prediction_stem)
            values.append(tensor_value(name, Family.PREDICTIONS, predictions))
        self.file.values(step, values)

    def bucket(self, family: Family, stem: str) -> str:
        """Return the tag of the next record of a stem: ten records a bucket."""
        number = self._records[stem] // 10
        self._records[stem] += 1
        return bucket(family, stem, number)

    def skip(self, family: Family, stem: str, records: int) -> None:
        """Leave out so many records of a stem, as a disk that was full does."""
        self._records[stem] += records


def clusters(points: int, step: int, *, dims: int = 2, seed: int = 0) -> tuple[Floats, Float32]:
    """Return positions of points that part with the step, [points, dims], and the class of each."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(CLASSES), points)
    centres = rng.standard_normal((len(CLASSES), dims))
    moved = centres[labels] * (1 - np.exp(-step / 50)) * 8 + rng.standard_normal((points, dims))
    return moved, labels.astype(np.float32)


def write_embedded(log_dir: Path, *, points: int = 600, steps: Sequence[int] = tuple(range(0, 200, 10))) -> None:
    """Write a run whose embeddings have everything: two layers, two and three dimensions, thumbnails, predictions."""
    layouts = ((Method.PCA, 2, "live"), (Method.TSNE, 2, "live"), (Method.TSNE, 3, "live"))
    with RunFile(log_dir) as file:
        for seed, name in enumerate(("fc1", "fc2")):
            one = point_set(points, key=name, pages=2, on_page=512)
            written = EmbeddingFile(file, described(one, name=name, layouts=layouts))
            _, labels = clusters(points, 0, seed=seed)
            written.labels(0, labels)
            shades = (40 + 80 * labels[:, None, None, None] + 3 * np.mgrid[0:8, 0:8].sum(axis=0)[..., None]) % 256
            written.thumbnails(0, shades.astype(np.uint8))
            for number, step in enumerate(steps):
                for index, (_, dims, _) in enumerate(layouts):
                    positions, _ = clusters(points, step * (1 + seed), dims=dims, seed=seed)
                    figures = dict.fromkeys(LAYOUT_COLUMNS, 0.02) | {"trustworthiness": 0.97, "recall": 0.5, "set": 0}
                    written.lay(step, positions, layout=index, figures={k: figures[k] for k in LAYOUT_COLUMNS[5:]})
                wrong = np.random.default_rng(step).random(points) < 0.5 * np.exp(-step / 60)
                scores = clusters(512, step * (1 + seed), dims=8, seed=seed)[0]
                known = dict.fromkeys(MEASURE_COLUMNS, 1 - 0.5 ** (1 + number)) | {"set": 0, "points": points}
                predicted = np.where(wrong, (labels + 1) % len(CLASSES), labels).astype(np.float32)
                written.measure(step, known, (scores - scores.mean(axis=0)).astype(np.float32), predicted)


if __name__ == "__main__":
    write_embedded(Path(sys.argv[1]) / "embedded")
    write_embedded(Path(sys.argv[1]) / "embedded short", steps=range(0, 60, 10))
