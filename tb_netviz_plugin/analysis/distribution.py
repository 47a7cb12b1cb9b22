"""Counts of magnitudes of some rows over the records that have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tb_netviz_plugin.analysis.grid import survivors
from tb_netviz_plugin.analysis.placement import Placement
from tb_netviz_plugin.analysis.records import Floats, Records, distinct
from tb_netviz_plugin.schema import bins


def count_magnitudes(
    placed: Sequence[Placement], steps: Mapping[str, Records], tags: Mapping[str, Records], rows: range
) -> tuple[Floats, npt.NDArray[np.uint32]]:
    """Return the steps [T] and the counts [T, 128], added up over `rows`.

    Args:
        placed: What the tags mean.
        steps: By model, its records of the family `steps`.
        tags: By tag, its records.
        rows: Indices of the parameters or activations.
    """
    found: list[tuple[Floats, npt.NDArray[np.uint32]]] = []
    for placement in placed:
        records = tags[placement.tag]
        wanted = np.flatnonzero((placement.rows >= rows.start) & (placement.rows < rows.stop))
        counts = records.plane(0)
        if wanted.size and counts.shape[:2] == (len(placement.rows), bins.COUNT):
            kept = survivors(records, [records, steps[placement.model]])
            added = counts[wanted][:, :, kept].sum(axis=0, dtype=np.uint32)
            found.append((records.steps[kept], added.T))
    axis = distinct(np.concatenate([at for at, _ in found])) if found else np.empty(0)
    total = np.zeros((len(axis), bins.COUNT), np.uint32)
    for at, counts in found:
        total[np.searchsorted(axis, at)] += counts
    return axis, total
