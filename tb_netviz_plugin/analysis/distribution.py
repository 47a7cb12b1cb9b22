"""Counts of gradient magnitudes of a layer or a parameter over the records that have them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from tb_netviz_plugin.analysis.grid import survivors
from tb_netviz_plugin.analysis.network import Network
from tb_netviz_plugin.analysis.records import Floats, Records, distinct
from tb_netviz_plugin.schema import bins


def count_magnitudes(
    network: Network, steps: Mapping[str, Records], tags: Mapping[str, Records], parameters: range
) -> tuple[Floats, npt.NDArray[np.uint32]]:
    """Return the steps [T] and the counts [T, 128], added up over `parameters`.

    Args:
        network: What the tags mean.
        steps: By model, its records of the family `steps`.
        tags: By tag, the records of the family `bins`.
        parameters: Indices of the parameters.
    """
    found: list[tuple[Floats, npt.NDArray[np.uint32]]] = []
    for placement in network.bin_tags:
        records = tags[placement.tag]
        wanted = np.flatnonzero((placement.rows >= parameters.start) & (placement.rows < parameters.stop))
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
