"""Stretches of records without a break, found at once for many units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tb_netviz_plugin.analysis.records import Bools, Floats

Places = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Stretches:
    """Of each unit the stretch of marked records that ends at each record.

    Attributes:
        held: Whether it is long enough, [U, N].
        first: Index of its first record, [U, N]; that of the next record where it is empty. Zero for units that are
            not marked in any record.
    """

    held: Bools
    first: Places


def find_stretches(marked: Bools, samples: Floats, least_records: int, least_samples: float) -> Stretches:
    """Return the stretches in `marked`, [U, N].

    Args:
        marked: Whether a unit shows in a record what is looked for.
        samples: Samples of each record, [N].
        least_records: Records that a stretch has to have.
        least_samples: Samples that it has to hold.
    """
    held, first = np.zeros(marked.shape, np.bool_), np.zeros(marked.shape, np.int32)
    units = np.flatnonzero(marked.any(axis=1))  # Of a healthy network, hardly any.
    places = np.arange(1, marked.shape[1] + 1, dtype=np.int32)
    before = np.concatenate([[0.0], np.cumsum(samples)])
    # Stretches that begin here or earlier hold enough samples at each record, and enough records.
    latest = np.searchsorted(before, before[1:] - least_samples, side="right") - 1
    latest = np.minimum(latest, places - least_records).astype(np.int32)
    first[units] = np.maximum.accumulate(np.where(marked[units], np.int32(0), places), axis=1)
    held[units] = marked[units] & (first[units] <= latest)
    return Stretches(held, first)


def no_accidents(stretches: Stretches, samples: Floats, patience: Floats) -> Stretches:
    """Return the stretches that are long enough also by what is known of each unit.

    Args:
        stretches: That are long enough for any unit.
        samples: Samples of each record, [N].
        patience: Samples that a stretch has to hold, by the record at which it begins, [U, N + 1].
    """
    units = np.flatnonzero(stretches.held.any(axis=1))
    first, held = stretches.first[units], stretches.held.copy()
    before = np.concatenate([[0.0], np.cumsum(samples)])
    held[units] &= before[1:] - before[first] >= np.take_along_axis(patience[units], first, axis=1)
    return Stretches(held, stretches.first)
