"""Writes a layout that was made after the training into the run."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

from tb_netviz.embedding.course import Placed
from tb_netviz.events import Sink
from tb_netviz_plugin.reader.embedding import Embedding
from tb_netviz_plugin.schema.codec import tensor_value
from tb_netviz_plugin.schema.embedding import (
    RECORDS_OF_A_BUCKET,
    EmbeddingDescription,
    Layout,
    Method,
    embedding_value,
    encode_positions,
    new_layout,
)
from tb_netviz_plugin.schema.tags import Family, bucket

ORIGIN = "offline"
_OF_TWO_STEPS = ("drift", "similarity")


@dataclass(frozen=True, slots=True)
class Record:
    """Where the points are at a step.

    Attributes:
        step: Of the training.
        set: Index of the points into the sets of the embedding.
        placed: The positions.
    """

    step: int
    set: int
    placed: Placed


def write_layout(sink: Sink, embedding: Embedding, method: Method, dims: int, records: Sequence[Record]) -> None:
    """Write a layout, and a description of the embedding that has it, too.

    Args:
        sink: Of the run.
        embedding: As the run has it.
        method: By which the points were placed.
        dims: 2 or 3.
        records: With increasing steps.
    """
    layout = new_layout(embedding.description, method, dims, ORIGIN)
    _write(sink, records[-1].step, [embedding_value(_described(embedding, layout))])
    for number, record in enumerate(records):
        _write(sink, record.step, _values(layout, number // RECORDS_OF_A_BUCKET, record))


def since_the_step_before(placed: Sequence[Placed]) -> list[Placed]:
    """Return what was placed backwards, with what it says of two steps at the later one, as if it was forwards."""
    nothing = dict.fromkeys(_OF_TWO_STEPS, math.nan)
    before = [nothing, *({name: one.figures[name] for name in _OF_TWO_STEPS} for one in placed[:-1])]
    return [replace(one, figures=one.figures | moved) for one, moved in zip(placed, before, strict=True)]


def _described(embedding: Embedding, layout: Layout) -> EmbeddingDescription:
    """Return what is said of the embedding by all who wrote to the run, and the layout."""
    others = tuple(other for other in embedding.layouts if other.steps_tag != layout.steps_tag)
    return replace(embedding.description, sets=embedding.sets, layouts=(*others, layout))


def _values(layout: Layout, number: int, record: Record) -> Iterator[Summary.Value]:
    codes, origin, scale = encode_positions(record.placed.positions)
    known = {**record.placed.figures, "set": record.set, "dropped": 0.0, "scale": scale, "origin_z": 0.0}
    known |= {f"origin_{axis}": float(value) for axis, value in zip("xyz", origin, strict=False)}
    row = np.array([known.get(column, math.nan) for column in layout.columns], np.float32)
    yield tensor_value(bucket(Family.POSITIONS, layout.position_stem, number), Family.POSITIONS, codes)
    yield tensor_value(layout.steps_tag, Family.POSITION_STEPS, row)


def _write(sink: Sink, step: int, values: Sequence[Summary.Value] | Iterator[Summary.Value]) -> None:
    sink.write(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))
