"""What was measured of the outputs at one training step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tb_netviz.pytorch.activations.sites import Site
from tb_netviz.pytorch.reductions.units import UNIT_SUMS, UnitCounts, merge_units
from tb_netviz.pytorch.transfers import Transfer
from tb_netviz.statistics.units import Activity
from tb_netviz_plugin.schema.bins import COUNT


class Entry:
    """What was measured of one site; several forward passes of a step add up.

    Args:
        sums: UNIT_SUMS, [len(UNIT_SUMS), units], on the device.
        counts: What they stand on.

    Attributes:
        squares: Of the gradient of the output, [units], on the device; None where none was seen.
        bins: Magnitudes of sampled values, uint16 [128], where they were counted.
    """

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

    def packed(self) -> Tensor:
        """Return the numbers of all units in one vector; without a gradient its squares are 0."""
        squares = torch.zeros_like(self.sums[0]) if self.squares is None else self.squares
        return torch.cat([self.sums.flatten(), squares.to(self.sums.dtype)])

    def unpacked(self, numbers: npt.NDArray[np.float64], scale: float) -> Activity:
        """Return what arrived of `packed`.

        Args:
            numbers: As `packed` gave them.
            scale: The loss scale, by which the gradient is too large.
        """
        block = numbers.reshape(len(UNIT_SUMS) + 1, -1)
        squares = None if self.squares is None else block[-1] / scale**2
        return Activity(block[:-1], self.samples, self.counted, self.values, squares)


class Tally:
    """What was measured of all sites at one step.

    Attributes:
        entries: By site.
    """

    def __init__(self) -> None:
        self.entries: dict[Site, Entry] = {}
        self._sent: list[tuple[list[Site], Transfer]] = []

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
        """Let it set out for the host; it is complete. One copy for each device."""
        by_device: dict[torch.device, list[Site]] = {}
        for site, entry in self.entries.items():
            by_device.setdefault(entry.sums.device, []).append(site)
        self._sent = [
            (sites, Transfer(torch.cat([self.entries[site].packed() for site in sites])))
            for sites in by_device.values()
        ]

    @property
    def ready(self) -> bool:
        """Whether it has arrived."""
        return all(transfer.ready for _, transfer in self._sent)

    def bins(self, order: Sequence[Site]) -> npt.NDArray[np.uint16] | None:
        """Return magnitudes of sampled values, uint16 [len(order), 128]; None where none were counted."""
        counts = [self.entries[site].bins if site in self.entries else None for site in order]
        if all(count is None for count in counts):
            return None
        return np.stack([np.zeros(COUNT, np.uint16) if count is None else count for count in counts])

    def activities(self, order: Sequence[Site], scale: float) -> list[Activity | None]:
        """Return what each site of `order` did, after waiting if need be; None where it was not measured.

        Args:
            order: The sites, row by row.
            scale: The loss scale that is in the gradients.
        """
        arrived: dict[Site, Activity] = {}
        for sites, transfer in self._sent:
            sizes = [(len(UNIT_SUMS) + 1) * site.units for site in sites]
            blocks = np.split(transfer.array().astype(np.float64), np.cumsum(sizes)[:-1])
            for site, block in zip(sites, blocks, strict=True):
                arrived[site] = self.entries[site].unpacked(block, scale)
        return [arrived.get(site) for site in order]
