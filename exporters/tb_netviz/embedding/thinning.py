"""Which of the vectors that are kept go, so that others have room."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from tb_netviz.embedding.vectors import VectorFile

MOST_STEPS = 200
"""Steps of an embedding that stay: TensorBoard's projector reads all of them before it shows one."""


def drop(files: Iterable[VectorFile], excess: int) -> list[VectorFile]:
    """Return files that go so that `excess` bytes come free, and MOST_STEPS hold with one more of each embedding.

    For bytes it is always the embedding that has most of them. Of it the step goes whose neighbours are closest to each
    other, so that what stays is spread over the run.
    """
    ordered = sorted(files, key=lambda file: (file.path.parent, file.step))
    groups = [list(group) for _, group in groupby(ordered, key=lambda file: file.path.parent)]
    dropped = [_pop(group) for group in groups for _ in range(len(group) - MOST_STEPS + 1)]
    excess -= sum(file.nbytes for file in dropped)
    while excess > 0 and any(groups):
        largest = max(groups, key=lambda group: (len(group) > 1, sum(file.nbytes for file in group)))
        dropped.append(_pop(largest))
        excess -= dropped[-1].nbytes
    return dropped


def _pop(group: list[VectorFile]) -> VectorFile:
    return group.pop(_most_crowded([file.step for file in group]))


def _most_crowded(steps: Sequence[int]) -> int:
    """Return the index of the step to go. The last stays: it is always close to the next, and would go each time."""
    inner = range(1, len(steps) - 1)
    return min(inner, key=lambda index: steps[index + 1] - steps[index - 1]) if inner else 0
