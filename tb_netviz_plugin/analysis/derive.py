"""From recorded columns to a statistic of each layer, parameter or activation: values, states and bands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from tb_netviz_plugin.analysis.grid import Grid, as_slice
from tb_netviz_plugin.analysis.placement import Indices
from tb_netviz_plugin.analysis.records import Bools, Floats
from tb_netviz_plugin.schema.columns import ACTIVATION_COLUMN, PARAMETER_COLUMN, PLANES, Column, Merge
from tb_netviz_plugin.schema.statistics import Rows, Statistic

CENTRE, LOW, HIGH = range(len(PLANES))
_NEUTRAL = {Merge.SUM: 0.0, Merge.ROOT_SQUARE: 0.0, Merge.MAX: -np.inf, Merge.MIN: np.inf}
_COMBINE: dict[Merge, np.ufunc] = {Merge.SUM: np.add, Merge.MAX: np.maximum, Merge.MIN: np.minimum}

_Number = TypeVar("_Number", bound=np.generic)


class State(IntEnum):
    """What a cell of rows by records holds."""

    NUMBER = 0
    NOT_RECORDED = 1
    NO_GRADIENT = 2
    NONFINITE = 3


@dataclass(frozen=True, slots=True)
class Kind:
    """How the columns of one kind of row are to be read.

    Attributes:
        columns: By id, how they merge.
        prefix: What the ids of those columns begin with that elements which are not finite spoil.
        nonfinite: The column that counts such elements.
        present: The column that is 0 where there was nothing to measure, if there is one.
    """

    columns: Mapping[str, Column]
    prefix: str
    nonfinite: str
    present: str | None = None


KINDS = {
    Rows.PARAMETERS: Kind(PARAMETER_COLUMN, "grad_", "grad_nonfinite", "present"),
    Rows.ACTIVATIONS: Kind(ACTIVATION_COLUMN, "act_", "act_nonfinite"),
}


@dataclass(frozen=True, slots=True)
class Derived:
    """A statistic of R rows at T records.

    Attributes:
        values: float64 [R, T]; NaN where there is none.
        states: uint8 [R, T], of State.
        low: Lowest value in each record's window; `values` where no band was asked for or can be known.
        high: Highest value.
    """

    values: Floats
    states: npt.NDArray[np.uint8]
    low: Floats
    high: Floats


@dataclass(frozen=True, slots=True)
class Grouping:
    """Which rows of a grid make up each row: `members` in order, a new one at each of `starts`, of these `lengths`."""

    members: Indices
    starts: Indices
    lengths: Indices

    def merge(self, combine: np.ufunc, cells: npt.NDArray[Any], dtype: type[_Number]) -> npt.NDArray[_Number]:
        """Return `cells`, [members, T], as `dtype`, combined over the members of each row, [R, T].

        As `combine.reduceat` does, which takes six times as long where rows are as short as layers are.
        """
        longest = int(self.lengths.max())
        if len(self.starts) < longest:
            bounds = zip(self.starts, self.starts + self.lengths, strict=True)
            return np.stack([combine.reduce(cells[first:end], axis=0, dtype=dtype) for first, end in bounds])
        merged: npt.NDArray[_Number] = cells[as_slice(self.starts)].astype(dtype)
        for place in range(1, longest):
            rows = as_slice(np.flatnonzero(self.lengths > place))
            merged[rows] = combine(merged[rows], cells[self.starts[rows] + place])
        return merged


def by_layer(grid: Grid, layers: Iterable[int] | None = None) -> Grouping:
    """Return the grouping of the layers with these indices, or of all."""
    chosen = grid.network.layers if layers is None else [grid.network.layers[index] for index in layers]
    return _grouping([layer.parameters for layer in chosen])


def by_row(grid: Grid, rows: Iterable[int] | None = None) -> Grouping:
    """Return the grouping that has each of these rows of the grid, or all, by itself."""
    chosen = range(grid.rows) if rows is None else rows
    return _grouping([range(index, index + 1) for index in chosen])


def by_network(grid: Grid) -> Grouping:
    """Return the grouping of all of a grid's rows in one."""
    return _grouping([range(grid.rows)])


def _grouping(members: list[range]) -> Grouping:
    members = [held for held in members if held]
    lengths = np.array([len(held) for held in members], np.intp)
    indices = np.array([index for held in members for index in held], np.intp)
    return Grouping(indices, np.cumsum(lengths) - lengths, lengths)


def derive(grid: Grid, statistic: Statistic, grouping: Grouping, *, band: bool = False) -> Derived:
    """Return `statistic` of each row of `grouping`.

    Members without a number don't count: their elements are left out too. A row's state is
    non-finite if any of its members is, else a number if any has one, else no gradient if any
    has none, else not recorded.

    Args:
        grid: Rows of the kind that `statistic` is of.
        statistic: What is wanted.
        grouping: Which rows of the grid make up each of the rows that are wanted.
        band: Whether the lowest and highest values are wanted too.
    """
    if not grouping.starts.size or not grid.steps.size:
        nothing = np.full((len(grouping.starts), len(grid.steps)), np.nan)
        states = np.full(nothing.shape, State.NOT_RECORDED, np.uint8)
        return Derived(nothing, states, nothing, nothing)
    merger = _Merger(grid, statistic, grouping)
    values = merger.value()
    states = np.full(values.shape, State.NOT_RECORDED, np.uint8)
    states[merger.any(merger.absent)] = State.NO_GRADIENT
    states[~np.isnan(values)] = State.NUMBER
    if merger.nonfinite.any():
        states[merger.any(merger.nonfinite)] = State.NONFINITE
        values[merger.any(merger.nonfinite & ~merger.known)] = np.nan
    if not band or not statistic.bounded or all(len(part.records.planes) == 1 for part in grid.parts):
        return Derived(values, states, values, values)
    falling = frozenset(statistic.falling)
    low = merger.value({name: HIGH if name in falling else LOW for name in statistic.columns})
    high = merger.value({name: LOW if name in falling else HIGH for name in statistic.columns})
    # Rounding to float32 may take a bound past the centre by a unit in the last place.
    return Derived(values, states, np.minimum(low, values), np.maximum(high, values))


class _Merger:
    """Merges the columns of one statistic over the members of each row."""

    def __init__(self, grid: Grid, statistic: Statistic, grouping: Grouping) -> None:
        self._grid = grid
        self._statistic = statistic
        self._grouping = grouping
        self._kind = kind = KINDS[statistic.rows]
        self._centre = {name: self._column(name) for name in statistic.columns}
        self.known: Bools = np.logical_and.reduce([np.isfinite(values) for values in self._centre.values()])
        self._complete = bool(self.known.all())
        spoils = any(name.startswith(kind.prefix) for name in statistic.columns)
        # Weights that have become NaN can't be told from weights that weren't measured, but for the
        # gradient, which is NaN then too.
        spoiled: Bools = self._column(kind.nonfinite) > 0
        self.nonfinite = spoiled if spoils else spoiled & ~self.known
        self.absent: Bools = np.broadcast_to(np.False_, self.known.shape)
        if self._complete:
            return  # As most runs are: then no value is infinite, and none absent.
        self.nonfinite = self.nonfinite | np.logical_or.reduce([np.isinf(values) for values in self._centre.values()])
        if kind.present and spoils:
            self.absent = (self._column(kind.present) == 0) & ~self.known

    def any(self, cells: Bools) -> Bools:
        """Return for each row whether any of its members is marked in `cells`."""
        # Most runs are well: their cells are all alike, and merging them would be most of the work.
        if not cells.any() or cells.all():
            return np.full((len(self._grouping.starts), cells.shape[1]), cells[0, 0])
        return self._grouping.merge(np.logical_or, cells, np.bool_)

    def value(self, planes: dict[str, int] | None = None) -> Floats:
        """Return the statistic, [R, T], with each column read from its plane."""
        columns = {
            name: self._merge(self._column(name, planes[name]) if planes else centre, self._kind.columns[name].merge)
            for name, centre in self._centre.items()
        }
        values = np.asarray(self._statistic.value(columns, self._elements), np.float64)
        if not self._complete:
            values[~self.any(self.known)] = np.nan
        return values

    @cached_property
    def _elements(self) -> Floats:
        """Elements of the parameters that count, [R, T], or [R, 1] where they are the same at all records.

        NaN for activations, of which the records themselves say how many values they hold.
        """
        if self._statistic.rows is not Rows.PARAMETERS:
            return np.full((len(self._grouping.starts), 1), np.nan)
        sizes = self._grid.network.elements[self._grouping.members, None]
        counted = sizes if self._complete else np.where(self.known, sizes, 0.0)
        return self._grouping.merge(np.add, counted, np.float64)

    def _column(self, name: str, plane: int = CENTRE) -> npt.NDArray[np.float32]:
        return self._grid.column(name, plane)[as_slice(self._grouping.members)]

    def _merge(self, values: npt.NDArray[np.float32], rule: Merge) -> Floats:
        terms = values if self._complete else np.where(self.known, values, np.float32(_NEUTRAL[rule]))
        if rule is Merge.ROOT_SQUARE:
            return np.sqrt(self._grouping.merge(np.add, np.square(terms, dtype=np.float64), np.float64))
        return self._grouping.merge(_COMBINE[rule], terms, np.float64)
