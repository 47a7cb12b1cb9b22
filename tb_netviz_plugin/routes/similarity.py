"""`similarity`: how alike the vectors of an embedding are, from step to step, to its own or to those of another."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from tb_netviz_plugin.analysis.similarity import cka_matrix
from tb_netviz_plugin.errors import BadArgumentError
from tb_netviz_plugin.reader import Reader
from tb_netviz_plugin.reader.embedding import Embedding, Signature
from tb_netviz_plugin.routes.call import Call
from tb_netviz_plugin.routes.embedding_call import header, named
from tb_netviz_plugin.routes.reply import Reply, frame_reply

MOST = 60
"""Steps of each embedding that are compared at most."""


def answer(reader: Reader, call: Call) -> Reply:
    """Return the linear CKA of the vectors at each step with the others at each of theirs, [steps, other steps]."""
    call.accept("run", "embedding", "other_run", "other")
    run, one = named(reader, call)
    other_run, other = named(reader, call, "other_run", "other")
    same = (run.name, one.name) == (other_run.name, other.name)
    if not same:
        _refuse_others(one, other)
    rows = list(one.signatures(_thinned(one.measures.steps)))
    columns = rows if same else list(other.signatures(_thinned(other.measures.steps)))
    steps = {"steps": [row.step for row in rows], "other_steps": [column.step for column in columns]}
    return frame_reply(header(run, **steps), {"values": compare(rows, columns)})


def compare(rows: Sequence[Signature], columns: Sequence[Signature]) -> npt.NDArray[np.float32]:
    """Return the linear CKA of each pair, [rows, columns]; NaN where the points are others."""
    values = np.full((len(rows), len(columns)), np.nan, np.float32)
    places, others = _by_points(rows), _by_points(columns)
    for points in places.keys() & others.keys():
        here, there = places[points], others[points]
        values[np.ix_(here, there)] = cka_matrix(
            [rows[index].scores for index in here], [columns[index].scores for index in there]
        )
    return values


def _refuse_others(one: Embedding, other: Embedding) -> None:
    if not one.description.inputs or one.description.inputs != other.description.inputs:
        raise BadArgumentError(
            f"{one.name[:60]!r} and {other.name[:60]!r} are not known to be of the same inputs in the same order, "
            "so that their vectors can't be compared"
        )


def _by_points(signatures: Sequence[Signature]) -> dict[Hashable, list[int]]:
    found: dict[Hashable, list[int]] = {}
    for index, signature in enumerate(signatures):
        found.setdefault(signature.points, []).append(index)
    return found


def _thinned(steps: Sequence[int]) -> list[int]:
    """Return at most MOST of the steps, evenly spread, the first and the last among them."""
    kept = np.linspace(0, len(steps) - 1, min(len(steps), MOST)).round().astype(int)
    return [steps[index] for index in kept]
