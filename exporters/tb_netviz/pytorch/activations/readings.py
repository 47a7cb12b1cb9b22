"""Reads the outputs of one site, and their gradients; what follows from their shape is worked out once."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tb_netviz.pytorch.activations.outputs import Sampling, sampling_of
from tb_netviz.pytorch.activations.responses import Bend
from tb_netviz.pytorch.reductions.strides import grid_of, is_plain
from tb_netviz.pytorch.reductions.units import gradient_squares, note_nonfinite, unit_counts, unit_sums
from tb_netviz.statistics import native
from tb_netviz.statistics.units import UNIT_SUMS
from tb_netviz_plugin.schema.description import Response

_MEANS = UNIT_SUMS.index("means")
_MOST_SHAPES = 64
"""Shapes of which something is kept; sequences come in any number of them."""


class Reading:
    """How outputs of one shape are read, of which every so many entries count from a certain one on.

    Args:
        output: One of them, with an axis of units.
        axis: That axis.
        bend: What the units do.
        sampling: Which entries count.
        bundled: Whether all units are reduced as if they were one.

    Attributes:
        counts: What the sums stand on.
    """

    def __init__(self, output: Tensor, axis: int, bend: Bend, sampling: Sampling, *, bundled: bool) -> None:
        counts = unit_counts(output, axis, *sampling)
        self.counts = counts._replace(units=1, values=counts.values * counts.units) if bundled else counts
        self._axis = axis
        self._flat = bend.flat
        self._sampling = sampling
        self._bundled = bundled
        # Where none can die the largest of all values need not be known.
        self._counted_only = bend.response is Response.NONE
        self._strides = output.stride()
        grid = grid_of(output, axis)
        self._grid = _bundle(grid) if bundled and grid is not None else grid

    def sums(self, output: Tensor) -> Tensor:
        """Return UNIT_SUMS of an output of this shape, [len(UNIT_SUMS), units].

        A unit with a value that is not finite has one of those at least, even where nothing counts that far.
        """
        sums = self._counted(output)
        if self._sampling.stride > 1:
            note_nonfinite(sums, output, self._axis, bundled=self._bundled)
        return sums

    def _counted(self, output: Tensor) -> Tensor:
        grid, (stride, start) = self._grid, self._sampling
        if grid is not None and is_plain(output):
            address = output.data_ptr()
            if self._counted_only:
                address, grid = _part(address, grid, self._sampling)
                stride, start = 1, 0
            by_row = self._axis == -1
            sums = native.units(address, grid, self._flat, stride, start, by_row=by_row)
            if self._bundled:
                sums[_MEANS] = math.nan  # What units have in common is none of their means.
            return torch.from_numpy(sums)
        if self._bundled:
            return unit_sums(output[start::stride].reshape(-1, 1), -1, self._flat)
        if self._counted_only:
            return unit_sums(output[start::stride], self._axis, self._flat)
        return unit_sums(output, self._axis, self._flat, stride, start)

    def squares(self, gradient: Tensor) -> Tensor:
        """Return the sum of squares of each unit's gradient over what counts, [units]."""
        if self._grid is not None and gradient.stride() == self._strides and is_plain(gradient):
            return torch.from_numpy(native.squares(gradient.data_ptr(), self._grid, *self._sampling))
        squares = gradient_squares(gradient, self._axis, *self._sampling)
        return squares.sum(0, keepdim=True) if self._bundled else squares


class Readings:
    """How the outputs of one site are read.

    Args:
        axis: That of their units.
        bend: What the units do.
        bundled: Whether all units are reduced as if they were one.
    """

    def __init__(self, axis: int, bend: Bend, *, bundled: bool) -> None:
        self._axis = axis
        self._bend = bend
        self._bundled = bundled
        self._known: dict[tuple[torch.Size, tuple[int, ...], Sampling], Reading] = {}

    def of(self, output: Tensor, turn: int) -> Reading:
        """Return how an output is read at the turn."""
        sampling = sampling_of(output, turn)
        key = output.shape, output.stride(), sampling
        reading = self._known.get(key)
        if reading is None:
            if len(self._known) == _MOST_SHAPES:
                self._known.clear()
            reading = Reading(output, self._axis, self._bend, sampling, bundled=self._bundled)
            self._known[key] = reading
        return reading


def _bundle(grid: native.Grid) -> native.Grid | None:
    """Return the grid of one unit that has the values of all; None where they don't lie side by side."""
    (items, rows, units), (item_step, row_step, unit_step) = grid
    whole = (unit_step == 1 and (rows == 1 or row_step == units)) or (row_step == 1 and unit_step == rows)
    return native.Grid((items, rows * units, 1), (item_step, 1, 0)) if whole else None


def _part(address: int, grid: native.Grid, sampling: Sampling) -> tuple[int, native.Grid]:
    """Return where the entries that count begin, and how they lie."""
    (items, rows, units), (item_step, row_step, unit_step) = grid
    items = len(range(sampling.start, items, sampling.stride))
    part = native.Grid((items, rows, units), (item_step * sampling.stride, row_step, unit_step))
    return address + 4 * sampling.start * item_step, part
