"""What can be laid out of an embedding: the vectors that were kept, and whose they are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from tb_netviz.embedding.vectors import Loader
from tb_netviz_plugin.reader.embedding import Embedding


@dataclass(frozen=True, slots=True)
class Part:
    """Steps in a row that have the same points.

    Attributes:
        set: Index into the sets of the embedding.
        steps: Increasing.
        loaders: Return the vectors of each.
    """

    set: int
    steps: tuple[int, ...]
    loaders: tuple[Loader, ...]


def parts_of(embedding: Embedding, kept: Iterable[tuple[int, Loader]]) -> list[Part]:
    """Return the vectors whose points are known. Those that a resumed run has superseded are not."""
    known = list(_known(embedding, kept))
    return [
        Part(chosen, tuple(step for step, _, _ in row), tuple(loader for _, _, loader in row))
        for chosen, row in ((chosen, list(row)) for chosen, row in groupby(known, key=lambda one: one[1]))
    ]


def _known(embedding: Embedding, kept: Iterable[tuple[int, Loader]]) -> Iterator[tuple[int, int, Loader]]:
    for step, loader in kept:
        chosen = (embedding.measures.at(step) or {}).get("set", math.nan)
        if math.isfinite(chosen):
            yield step, int(chosen), loader
