"""What was measured of the outputs at one training step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tb_netviz.pytorch.activations.sites import Site
from tb_netviz.pytorch.reductions.units import UnitCounts, merge_units
from tb_netviz.pytorch.transfers import Transfer
from tb_netviz.recorder import Activities
from tb_netviz_plugin.schema.bins import COUNT

_Numbers = npt.NDArray[np.floating[Any]]


class Entry:
    """What was measured of one site; several forward passes of a step add up.

    Args:
        sums: UNIT_SUMS, [len(UNIT_SUMS), units], on the device.
        counts: What they stand on.

    Attributes:
        squares: Of the gradient of the output, [units], on the device; None where none was seen.
        bins: Magnitudes of sampled values, uint16 [128], where they were counted.
    """

    __slots__ = ("bins", "counted", "samples", "squares", "sums", "values")

    def __init__(self, sums: Tensor, counts: UnitCounts) -> None:
        self.sums = sums
        self.squares: Tensor | None = None
        self.samples = counts.samples
        self.counted = counts.counted
        self.values = counts.values
        self.bins: npt.NDArray[np.uint16] | None = None

    def add(self, other: Entry) -> None:
        """Add what another forward pass of the same step gave; where bins were counted, the first ones stay."""
        merge_units(self.sums, other.sums)
        self.samples += other.samples
        self.counted += other.counted
        self.values += other.values
        if other.squares is not None:
            self.add_squares(other.squares)

    def add_squares(self, squares: Tensor) -> None:
        """Add the squares of the gradient in a backward pass."""
        self.squares = squares if self.squares is None else self.squares + squares

    def arrays(self) -> tuple[_Numbers, _Numbers | None]:
        """Return sums and squares, which lie on the host."""
        return self.sums.numpy(), None if self.squares is None else self.squares.numpy()


class Tally:
    """What was measured of all sites at one step.

    Attributes:
        entries: By site.
    """

    def __init__(self) -> None:
        self.entries: dict[Site, Entry] = {}
        self._sent: list[_Shipment] = []

    def add(self, site: Site, entry: Entry) -> Entry:
        """Add to what is known of `site`; return that."""
        known = self.entries.setdefault(site, entry)
        if known is not entry:
            known.add(entry)
        return known

    def merge(self, other: Tally) -> None:
        """Add what another part of the same step gave."""
        for site, entry in other.entries.items():
            self.add(site, entry)

    def send(self) -> None:
        """Let it set out for the host; it is complete."""
        by_device: dict[torch.device, list[Site]] = {}
        for site, entry in self.entries.items():
            if not entry.sums.is_cpu:
                by_device.setdefault(entry.sums.device, []).append(site)
        self._sent = [_Shipment(sites, [self.entries[site] for site in sites]) for sites in by_device.values()]

    @property
    def ready(self) -> bool:
        """Whether it has arrived."""
        return all(shipment.ready for shipment in self._sent)

    def bins(self, order: Sequence[Site]) -> npt.NDArray[np.uint16] | None:
        """Return magnitudes of sampled values, uint16 [len(order), 128]; None where none were counted."""
        counts = [self.entries[site].bins if site in self.entries else None for site in order]
        if all(count is None for count in counts):
            return None
        return np.stack([np.zeros(COUNT, np.uint16) if count is None else count for count in counts])

    def activities(self, order: Sequence[Site], scale: float) -> Activities:
        """Return what the sites of `order` did, after waiting if need be.

        Args:
            order: The sites, row by row.
            scale: The loss scale that is in the gradients.
        """
        activities = Activities.none([site.measured for site in order])
        arrived = {site: arrays for shipment in self._sent for site, arrays in shipment.arrays()}
        for row, (site, end) in enumerate(zip(order, activities.ends, strict=True)):
            entry = self.entries.get(site)
            if entry is None:
                continue
            place = slice(end - site.measured, end)
            sums, squares = arrived.get(site) or entry.arrays()
            activities.sums[:, place] = sums
            if squares is not None:
                activities.squares[place] = squares
            graded = 0 if entry.squares is None else entry.counted
            activities.counts[row] = 1, entry.samples, entry.counted, entry.values, graded
        if scale != 1.0:
            activities.squares[:] /= scale**2
        return activities


class _Shipment:
    """What goes from an accelerator to the host at once."""

    def __init__(self, sites: list[Site], entries: list[Entry]) -> None:
        self._sites = sites
        self._sums = Transfer(torch.cat([entry.sums for entry in entries], dim=1))
        squares = [torch.zeros_like(entry.sums[0]) if entry.squares is None else entry.squares for entry in entries]
        self._squares = Transfer(torch.cat(squares))

    @property
    def ready(self) -> bool:
        return self._sums.ready and self._squares.ready

    def arrays(self) -> Iterator[tuple[Site, tuple[_Numbers, _Numbers | None]]]:
        sums, squares = self._sums.array(), self._squares.array()
        first = 0
        for site in self._sites:
            last = first + site.measured
            yield site, (sums[:, first:last], squares[first:last])
            first = last
