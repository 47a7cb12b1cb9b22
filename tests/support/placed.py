"""Reads back what was written of an embedding, by docs/wire-format.md."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.util import tensor_util

from tb_netviz_plugin.schema.codec import decode_metadata
from tb_netviz_plugin.schema.embedding import EmbeddingDescription, Layout, PointSet, decode_embedding
from tb_netviz_plugin.schema.tags import Family, bucket
from tests.support.watching import events_in

Array = npt.NDArray[Any]


@dataclass
class Placed:
    """What was written of one embedding.

    Attributes:
        description: The last one.
        descriptions: How many there are.
        arrays: By tag and step.
        scalars: By tag of the Scalars dashboard, the steps and values.
        repeated: Tags that have a step twice.
    """

    description: EmbeddingDescription
    descriptions: int = 0
    arrays: dict[str, dict[int, Array]] = field(default_factory=dict)
    scalars: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    repeated: list[str] = field(default_factory=list)

    @property
    def reasons(self) -> dict[str, str]:
        """What was left out, and why."""
        return {omission.subject: omission.reason for omission in self.description.omissions}

    def layout(self, method: str) -> Layout:
        """Return the layout by that method."""
        (found,) = [one for one in self.description.layouts if one.method == method]
        return found

    def steps(self, method: str) -> list[int]:
        """Steps at which there is a layout by that method; none where there is no such layout."""
        layouts = [one for one in self.description.layouts if one.method == method]
        return sorted(self.arrays.get(layouts[0].steps_tag, {})) if layouts else []

    def figures(self, method: str, step: int) -> dict[str, float]:
        """Return what is known of a layout."""
        layout = self.layout(method)
        return dict(zip(layout.columns, self.arrays[layout.steps_tag][step].tolist(), strict=True))

    def codes(self, method: str) -> dict[int, Array]:
        """Return the codes of all buckets, by step."""
        return self.in_buckets(Family.POSITIONS, self.layout(method).position_stem)

    def positions(self, method: str, step: int) -> npt.NDArray[np.float64]:
        """Return where the points are, NaN where they are nowhere."""
        codes, figures = self.codes(method)[step].astype(np.float64), self.figures(method, step)
        origin = [figures[f"origin_{axis}"] for axis in "xyz"][: codes.shape[1]]
        return np.where((codes == 65535).any(axis=1)[:, None], np.nan, origin + figures["scale"] * codes)

    def measures(self, step: int) -> dict[str, float]:
        """Return what is known of the vectors."""
        row = self.arrays[self.description.measures_tag][step]
        return dict(zip(self.description.measures, row.tolist(), strict=True))

    def predictions(self) -> dict[int, Array]:
        """Return the predictions, by step."""
        return self.in_buckets(Family.PREDICTIONS, self.description.prediction_stem)

    def labels(self, of: PointSet) -> Array | None:
        """Return the labels of a set."""
        return next(iter(self.arrays[of.labels_tag].values())) if of.labels_tag else None

    def in_buckets(self, family: Family, stem: str) -> dict[int, Array]:
        """Return the records of a stem, by step; a bucket without a successor ends them."""
        found: dict[int, Array] = {}
        number = 0
        while (name := bucket(family, stem, number)) in self.arrays:
            found |= self.arrays[name]
            number += 1
        return found


def read_placed(folder: Path, name: str, model: str = "") -> Placed:
    """Return what was written of the embedding of that name into `folder`."""
    return placed_in(events_in(folder), name, model)


def placed_in(events: list[Event], name: str, model: str = "") -> Placed:
    """Return what events hold of the embedding of that name; tags of others are there, too."""
    placed = Placed(EmbeddingDescription(model, name))
    seen: Counter[tuple[str, int]] = Counter()
    for event in events:
        for value in event.summary.value:
            if value.WhichOneof("value") == "simple_value":
                placed.scalars.setdefault(value.tag, []).append((event.step, value.simple_value))
            if value.metadata.plugin_data.plugin_name != "netviz":
                continue
            if decode_metadata(value.metadata.plugin_data.content).family == Family.EMBEDDING:
                found = decode_embedding(value.tensor.string_val[0])
                if (found.model, found.name) == (model, name):
                    placed.description, placed.descriptions = found, placed.descriptions + 1
            elif not value.tensor.string_val:
                seen[value.tag, event.step] += 1
                placed.arrays.setdefault(value.tag, {})[event.step] = tensor_util.make_ndarray(value.tensor)
    placed.repeated = [tag for (tag, _), count in seen.items() if count > 1]
    return placed
