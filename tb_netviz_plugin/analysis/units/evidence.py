"""What the records say of single units, before any of it is judged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from tb_netviz_plugin.analysis.grid import as_slice
from tb_netviz_plugin.analysis.placement import Indices
from tb_netviz_plugin.analysis.records import Bools, Floats
from tb_netviz_plugin.analysis.units.table import UnitTable
from tb_netviz_plugin.analysis.units.thresholds import UnitThresholds
from tb_netviz_plugin.schema.description import Response

BLOCK = 4096
"""Units that are read at a time: few enough to stay in the processor's cache."""
_CAN_BE_SPARSE = (Response.RECTIFIER, Response.SMOOTH)
_CAN_SATURATE = (Response.RECTIFIER, Response.BOUNDED, Response.SOFTMAX)


class Evidence:
    """What some units of an activation did, U of them, at N records in which it ran.

    Args:
        table: The records.
        units: Their indices in it.
        times: Places of the records on its axis.
        response: How the units respond.
        samples: Samples of each record, [N].
        counted: Those of them that are counted, [N].
        spread: Root mean square of the deviations of all units of the activation, [N], where they are smooth.
    """

    def __init__(
        self,
        table: UnitTable,
        units: Indices,
        times: Indices,
        response: Response,
        samples: Floats,
        counted: Floats,
        spread: Floats | None,
    ) -> None:
        self.response = response
        self._samples, self._counted = samples, counted
        self.fired = read(table, "fired", units, times)
        self._largest = read(table, "largest", units, times)
        self._saturated = read(table, "saturated", units, times) if response in _CAN_SATURATE else None
        self._deviation = None if spread is None else (read(table, "std", units, times), spread)
        # A unit whose values are all NaN has no largest one: a writer says NaN, or minus infinity.
        self.known: Bools = self._largest > -np.inf

    def silent(self, thresholds: UnitThresholds) -> Bools:
        """Return where a unit shows no sign of life, [U, N]."""
        if self.response is Response.RECTIFIER:
            return self.known & (self._largest <= 0)
        if self._deviation is None:
            return np.zeros(self.known.shape, np.bool_)
        deviation, spread = self._deviation
        limit = thresholds.flat * spread
        # Where none of them varies there is nothing to measure a largest value by.
        still: Bools = (deviation <= limit) & ((self._largest <= limit) | (spread == 0))
        return self.known & still

    def saturated(self, thresholds: UnitThresholds) -> Bools:
        """Return where nearly all values of a unit lie where its function is flat, [U, N]."""
        if self._saturated is None:
            return np.zeros(self.known.shape, np.bool_)
        return self.known & (self._saturated >= thresholds.saturated)

    def sparse(self, thresholds: UnitThresholds) -> Bools:
        """Return where a unit fires, but rarely in as many of the last records as it takes to tell, [U, N]."""
        if self.response not in _CAN_BE_SPARSE:
            return np.zeros(self.known.shape, np.bool_)
        counted = _sums(self._counted)
        first = np.searchsorted(counted, counted[1:] - thresholds.samples, side="right") - 1
        fired = _sums(np.nan_to_num(self.fired) * self._counted)
        share = fired[:, 1:] - fired[:, np.maximum(first, 0)]
        limit = thresholds.sparse * (counted[1:] - counted[np.maximum(first, 0)])
        return (self._largest > 0) & (first >= 0) & (share < limit)

    def patience(self, thresholds: UnitThresholds) -> Floats:
        """Return how many samples a silent stretch has to hold to be no accident, by its first record, [U, N + 1].

        A unit that has fired before goes on as rarely as it did: by the share of counted samples, or where it is too
        small to be seen among these, by the records in which it fired at all. Nothing is known of one that never did.
        """
        if self.response is not Response.RECTIFIER:
            return np.zeros((len(self.known), self.known.shape[1] + 1))
        records, fired = _sums(self.known & (self._largest > 0)), _sums(np.nan_to_num(self.fired) * self._counted)
        rate = np.maximum(records / np.fmax(_sums(self._samples), 1), fired / np.fmax(_sums(self._counted), 1))
        patience = np.zeros_like(rate)
        np.divide(-np.log(thresholds.chance), rate, out=patience, where=rate > 0)
        return patience


def _sums(values: npt.NDArray[Any]) -> Floats:
    """Return the sums of the first 0, 1, 2, … values along the last axis."""
    sums: Floats = np.zeros((*values.shape[:-1], values.shape[-1] + 1))
    np.cumsum(values, axis=-1, out=sums[..., 1:])
    return sums


def read(table: UnitTable, name: str, units: Indices, times: Indices) -> npt.NDArray[np.float32]:
    """Return a column of these units at these records, [U, N]."""
    return table.units.column(name, rows=units)[:, as_slice(times)]


def spread(table: UnitTable, units: Indices, times: Indices, counted: Floats) -> Floats:
    """Return the root mean square of the deviations of `units` at each record, [N].

    NaN where fewer than two samples were counted: their deviation says nothing.
    """
    squares, numbers = np.zeros(len(times)), np.zeros(len(times))
    for block in blocks(units):
        deviations = read(table, "std", block, times).astype(np.float64)
        finite = np.isfinite(deviations)
        squares += np.square(np.where(finite, deviations, 0.0)).sum(axis=0)
        numbers += finite.sum(axis=0)
    means: Floats = np.full(len(times), np.nan)
    np.divide(squares, numbers, out=means, where=(numbers > 0) & (counted >= 2))
    return means**0.5


def blocks(units: Indices) -> Iterator[Indices]:
    """Return `units` a block at a time."""
    return (units[first : first + BLOCK] for first in range(0, len(units), BLOCK))
