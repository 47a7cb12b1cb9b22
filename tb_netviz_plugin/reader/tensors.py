"""The tensors of a tag by step, and those of tags that are buckets of steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tb_netviz_plugin.analysis.records import stack, surviving
from tb_netviz_plugin.reader.run import Run
from tb_netviz_plugin.schema.tags import Family, bucket

Tensor = npt.NDArray[Any]

_LOST_BUCKETS = 200
"""Buckets that may be missing before one that is there."""


class Stamped(NamedTuple):
    """A tensor, and when it was written, in seconds since the epoch."""

    wall_time: float
    array: Tensor


def by_step(run: Run, tag: str) -> dict[int, Stamped]:
    """Return the tensors of a tag by step, those that a resumed run superseded left out."""
    if tag not in run._series:
        return {}
    return run._remember(
        f"stamped: {tag}",
        [tag],
        lambda: _read(run, tag),
        lambda read: sum(stamped.array.nbytes for stamped in read.values()),
    )


def latest(run: Run, tag: str) -> Tensor | None:
    """Return the tensor of a tag that was written last, or None if there is none."""
    if tag not in run._series:
        return None
    return run._remember(
        f"latest: {tag}", [tag], lambda: _read_latest(run, tag), lambda read: 0 if read is None else read.nbytes
    )


def buckets(run: Run, family: Family, stem: str) -> list[str]:
    """Return the tags of the buckets that there are, in order."""
    if not stem:
        return []
    most = len(run._tags(family)) + _LOST_BUCKETS
    return [name for name in (bucket(family, stem, number) for number in range(most)) if name in run._series]


def in_buckets(run: Run, tags: Sequence[str], step: int) -> Tensor | None:
    """Return the tensor of a step, or None if no bucket has it. Reads no more buckets than it has to.

    A process that resumes the run starts at the first bucket again, so that each bucket may hold steps of several.
    What is valid stands in the first one that has the step: where a later process has written it to one behind, that
    process has stepped back in those before, too.

    Args:
        run: The run.
        tags: Its buckets, as `buckets` returns them.
        step: The step.
    """
    for tag in tags:
        if run._series[tag].max_step >= step:
            found = by_step(run, tag).get(step)
            if found is not None:
                return found.array
    return None


def _read(run: Run, tag: str) -> dict[int, Stamped]:
    data = run._source.tensors(run.name, tag)
    times = stack(
        [datum.step for datum in data], [datum.wall_time for datum in data], [np.zeros(1) for _ in data], dimensions=1
    )
    kept = surviving(times, [times])
    return {datum.step: Stamped(datum.wall_time, datum.numpy) for datum, keep in zip(data, kept, strict=True) if keep}


def _read_latest(run: Run, tag: str) -> Tensor | None:
    data = run._source.tensors(run.name, tag, most=1)
    return data[-1].numpy if data else None
