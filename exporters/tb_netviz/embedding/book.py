"""Writes what is known of an embedding: its description, its points, its layouts and its measures."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

from tb_netviz.embedding.points import Points
from tb_netviz.events import Sink
from tb_netviz_plugin.schema.codec import tensor_value
from tb_netviz_plugin.schema.description import Omission
from tb_netviz_plugin.schema.embedding import (
    LAYOUT_COLUMNS,
    MEASURE_COLUMNS,
    RECORDS_OF_A_BUCKET,
    EmbeddingDescription,
    Layout,
    Method,
    embedding_value,
    encode_positions,
    new_embedding,
    new_layout,
)
from tb_netviz_plugin.schema.messages import text
from tb_netviz_plugin.schema.tags import Family, bucket

Float32 = npt.NDArray[np.float32]
_SCALARS = ("effective_rank", "fisher_ratio", "probe_accuracy", "knn_accuracy")


class Book:
    """What is written of one embedding. Not for the training thread: it may wait for the disk.

    Args:
        sink: Takes the events.
        description: Of the embedding, without points so far.
        clock: Gives the wall time.

    Attributes:
        description: What is said of it now.
        nbytes: Written so far.
    """

    def __init__(self, sink: Sink, description: EmbeddingDescription, clock: Callable[[], float] = time.time) -> None:
        self._sink = sink
        self._clock = clock
        self._records: Counter[str] = Counter()  # By the stem of buckets.
        self._told: EmbeddingDescription | None = None
        self._tags: set[str] = set()  # Of labels and thumbnails that stand there.
        self.description = description
        self.nbytes = 0

    @property
    def _set(self) -> int:
        return len(self.description.sets) - 1

    def begin(self, step: int, points: Points) -> None:
        """Write a set of points, to which the records from now on belong."""
        one = self.description
        described = points.described(one.model, one.name, one.module, one.inputs)
        self.description = replace(one, sets=(*one.sets, described))
        self.omit(step, points.omissions)
        if points.labels.values is not None:
            self._once(step, described.labels_tag, Family.POINT_LABELS, points.labels.values)
        for name, page in zip(described.thumbnail_tags, points.pages(), strict=True):
            self._once(step, name, Family.THUMBNAILS, page)

    def omit(self, step: int, omissions: Iterable[Omission]) -> None:
        """Say what is left out; of each subject the first reason stays. Says all else that has changed, too."""
        said = {omission.subject: omission for omission in self.description.omissions}
        self.description = replace(
            self.description,
            omissions=tuple(({omission.subject: omission for omission in omissions} | said).values()),
        )
        if self.description != self._told:
            self._write(step, [embedding_value(self.description)])
            self._told = self.description

    def lay(self, step: int, method: Method, positions: npt.NDArray[np.floating], figures: Mapping[str, float]) -> None:
        """Write where the points are.

        Args:
            step: Of the training.
            method: By which they were placed.
            positions: [points, 2 or 3], NaN where a point is nowhere.
            figures: Those of LAYOUT_COLUMNS that are known, but for the set and the code.
        """
        layout = self._layout(method, positions.shape[1])
        self.omit(step, ())
        codes, origin, scale = encode_positions(positions)
        known = {**figures, "set": self._set, "scale": scale, "origin_z": 0.0}
        known |= {f"origin_{axis}": float(value) for axis, value in zip("xyz", origin, strict=False)}
        row = np.array([known.get(column, math.nan) for column in LAYOUT_COLUMNS], np.float32)
        values = [
            tensor_value(self._bucket(Family.POSITIONS, layout.position_stem), Family.POSITIONS, codes),
            tensor_value(layout.steps_tag, Family.POSITION_STEPS, row),
        ]
        shown = {"similarity": figures.get("similarity")} if method is Method.PCA else {}
        shown |= {"trustworthiness": figures.get("trustworthiness")} if method is Method.TSNE else {}
        self._write(step, values + self._scalars(shown))

    def measure(
        self, step: int, measures: Mapping[str, float], signature: Float32 | None, predictions: Float32 | None
    ) -> None:
        """Write what is known of the vectors themselves.

        Args:
            step: Of the training.
            measures: Those of MEASURE_COLUMNS that are known, but for the set.
            signature: [landmarks, components].
            predictions: Class of each point, [points], NaN where there is none.
        """
        one = self.description
        if predictions is not None and not one.prediction_stem:
            named = new_embedding(one.model, one.name, one.module, one.inputs, predictions=True)
            self.description = one = replace(one, prediction_stem=named.prediction_stem)
            self.omit(step, ())
        row = [float(self._set) if column == "set" else measures.get(column, math.nan) for column in MEASURE_COLUMNS]
        values = [tensor_value(one.measures_tag, Family.MEASURES, np.array(row, np.float32))]
        for family, stem, array in (
            (Family.SIGNATURE, one.signature_stem, signature),
            (Family.PREDICTIONS, one.prediction_stem, predictions),
        ):
            if array is not None:
                values.append(tensor_value(self._bucket(family, stem), family, np.asarray(array, np.float32)))
        self._write(step, values + self._scalars({name: measures.get(name) for name in _SCALARS}))

    def _layout(self, method: Method, dims: int) -> Layout:
        for layout in self.description.layouts:
            if (layout.method, layout.dims) == (method.value, dims):
                return layout
        layout = new_layout(self.description, method, dims, "live")
        self.description = replace(self.description, layouts=(*self.description.layouts, layout))
        return layout

    def _bucket(self, family: Family, stem: str) -> str:
        number = self._records[stem] // RECORDS_OF_A_BUCKET
        self._records[stem] += 1
        return bucket(family, stem, number)

    def _scalars(self, shown: Mapping[str, float | None]) -> list[Summary.Value]:
        one = self.description
        stem = text("/".join(part for part in ("embedding", one.model, one.name) if part))
        return [
            Summary.Value(tag=f"{stem}/{name}", simple_value=value)
            for name, value in shown.items()
            if value is not None and math.isfinite(value)
        ]

    def _once(
        self, step: int, name: str, family: Family, array: npt.NDArray[np.float32] | npt.NDArray[np.uint8]
    ) -> None:
        if name not in self._tags:
            self._tags.add(name)
            self._write(step, [tensor_value(name, family, array)])

    def _write(self, step: int, values: Iterable[Summary.Value]) -> None:
        event = Event(wall_time=self._clock(), step=step, summary=Summary(value=values))
        self.nbytes += event.ByteSize()
        self._sink.write(event)  # Waits for room, and passes by those who look at what the training records.
