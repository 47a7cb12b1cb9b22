"""Compares the incoming weights of units with each other, now and then, without waiting for a device.

What shows which units may be twins goes to the host, which sends back which pairs are to be compared number by number.
On the host itself both happen at once; from an accelerator each takes until the next record of units or so.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tb_netviz.pytorch.activations.makers import Makers, blocks_of, living
from tb_netviz.pytorch.activations.sites import Site
from tb_netviz.pytorch.hooks import Guard
from tb_netviz.pytorch.reductions.rows import agreement, features
from tb_netviz.pytorch.transfers import Transfer
from tb_netviz.recorder import unit_records_per_octave
from tb_netviz.statistics.twins import PROJECTIONS, Pairs, likely_twins

SECOND_LOOK = 32
"""Observed steps after the first one before which units are not compared again: it takes as long as a step."""

Float32 = npt.NDArray[np.float32]


class Twins:
    """Knows of each unit the first one of the same activation whose weights are equal or opposite.

    They are compared for the first record of units, from SECOND_LOOK on once for each doubling of the step count or
    so, and for the last record.

    Args:
        guard: Runs the comparison.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._records = 0
        self._underway: list[_Comparison] = []
        self._known: dict[tuple[Makers, int], Float32] = {}

    def column(self, sites: Sequence[Site], last: bool) -> Float32:
        """Return the column `twin` of the units of `sites`, for a record of units.

        Args:
            sites: Their units stand one after another.
            last: Whether it is the last record: then what is underway is waited for.
        """
        self._guard.run(self._look, sites, last)
        unknown = [np.full(site.measured, np.nan, np.float32) for site in sites]
        found = [
            self._known.get((site.makers, site.recorded), nothing) for site, nothing in zip(sites, unknown, strict=True)
        ]
        return np.concatenate([np.empty(0, np.float32), *found])

    def _look(self, sites: Sequence[Site], last: bool) -> None:
        self._advance(last)
        if last or _is_due(self._records, unit_records_per_octave(sum(site.recorded for site in sites))):
            origins = dict.fromkeys((site.makers, site.recorded) for site in sites if site.makers and site.recorded)
            self._underway = [_Comparison(*origin) for origin in origins]
            self._advance(last)
        self._records += 1

    def _advance(self, wait: bool) -> None:
        for comparison in self._underway:
            comparison.advance(wait)
            if comparison.column is not None:
                self._known[comparison.origin] = comparison.column
        self._underway = [comparison for comparison in self._underway if comparison.waits]


def _is_due(records: int, per_octave: int) -> bool:
    """Whether to compare after so many records of units, of which each doubling of the steps has `per_octave`."""
    octaves, rest = divmod(records, per_octave)
    return rest == 0 and (octaves == 0 or per_octave << octaves > SECOND_LOOK)


class _Comparison:
    """The comparison of the units that the same modules make.

    Attributes:
        origin: The modules, and how many units.
        column: What came of it; None until it is over, and where a module is gone.
    """

    def __init__(self, makers: Makers, units: int) -> None:
        self.origin = makers, units
        self.column: Float32 | None = None
        self._stages = _compare(makers, units)
        self._sent: Transfer | None = None
        self._go_on(None)

    @property
    def waits(self) -> bool:
        """Whether something is on its way."""
        return self._sent is not None

    def advance(self, wait: bool) -> None:
        """Go on as far as what has arrived allows; with `wait` to the end."""
        while self._sent is not None and (wait or self._sent.ready):
            self._go_on(self._sent.array())

    def _go_on(self, arrived: npt.NDArray[np.generic] | None) -> None:
        try:
            self._sent = self._stages.send(arrived)
        except StopIteration as end:
            self._sent, self.column = None, end.value


def _compare(makers: Makers, units: int) -> Generator[Transfer, Any, Float32 | None]:
    """Compare, yielding what has to arrive first; modules are held weakly in the meantime."""
    sent, unknown = _send_features(makers, units)
    if sent is None:
        return unknown
    numbers = (yield sent).astype(np.float64)
    column = np.where(np.isfinite(numbers).all(1), np.float32(0), np.float32(np.nan))
    pairs = likely_twins(numbers[:, :PROJECTIONS], numbers[:, PROJECTIONS:])
    if pairs.second.size:
        sent = _send_agreement(makers, units, pairs)
        agree = np.zeros(len(pairs.second), np.bool_) if sent is None else (yield sent)
        column[pairs.second[agree]] = (pairs.signs * (1 + pairs.first))[agree]
    return column


def _send_features(makers: Makers, units: int) -> tuple[Transfer | None, Float32 | None]:
    """Return the features of the units; where there are none, what can be said of the units all the same."""
    modules = living(makers)
    blocks = None if modules is None else blocks_of(modules, units)
    if blocks is None:
        return None, None if modules is None else np.full(units, np.nan, np.float32)
    return Transfer(features(blocks)), None


def _send_agreement(makers: Makers, units: int, pairs: Pairs) -> Transfer | None:
    modules = living(makers)
    blocks = None if modules is None else blocks_of(modules, units)
    return None if blocks is None else Transfer(agreement(blocks, pairs))
