"""Which of the vectors that are kept go, so that others have room."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from tb_netviz.embedding.vectors import VectorFile


def drop(files: Iterable[VectorFile], excess: int) -> list[VectorFile]:
    """Return files that go so that `excess` bytes come free; all of them where that is not enough.

    It is always the embedding with most bytes, and of it the step whose neighbours are closest to each other, so that
    what stays is spread over the run.
    """
    ordered = sorted(files, key=lambda file: (file.path.parent, file.step))
    groups = [list(group) for _, group in groupby(ordered, key=lambda file: file.path.parent)]
    dropped: list[VectorFile] = []
    while excess > 0 and any(groups):
        largest = max(groups, key=lambda group: (len(group) > 1, sum(file.nbytes for file in group)))
        gone = largest.pop(_most_crowded([file.step for file in largest]))
        dropped.append(gone)
        excess -= gone.nbytes
    return dropped


def _most_crowded(steps: Sequence[int]) -> int:
    """Return the index of the step to go. The last stays: it is always close to the next, and would go each time."""
    inner = range(1, len(steps) - 1)
    return min(inner, key=lambda index: steps[index + 1] - steps[index - 1]) if inner else 0
