"""From recorded columns to a statistic of each layer: values, states and bands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from tb_netviz_plugin.analysis.grid import Grid, as_slice
from tb_netviz_plugin.analysis.network import Indices
from tb_netviz_plugin.analysis.records import Bools, Floats
from tb_netviz_plugin.schema.columns import PARAMETER_COLUMN, PLANES, Merge
from tb_netviz_plugin.schema.statistics import Statistic

CENTRE, LOW, HIGH = range(len(PLANES))
_NEUTRAL = {Merge.SUM: 0.0, Merge.ROOT_SQUARE: 0.0, Merge.MAX: -np.inf, Merge.MIN: np.inf}
_COMBINE: dict[Merge, np.ufunc] = {Merge.SUM: np.add, Merge.MAX: np.maximum, Merge.MIN: np.minimum}

_Number = TypeVar("_Number", bound=np.generic)


class State(IntEnum):
    """What a cell of layers by records holds."""

    NUMBER = 0
    NOT_RECORDED = 1
    NO_GRADIENT = 2
    NONFINITE = 3


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
    """Which parameters make up each row: `parameters` in order, a new row at each of `starts`, of these `lengths`."""

    parameters: Indices
    starts: Indices
    lengths: Indices

    def merge(self, combine: np.ufunc, cells: npt.NDArray[Any], dtype: type[_Number]) -> npt.NDArray[_Number]:
        """Return `cells`, [parameters, T], as `dtype`, combined over the parameters of each row, [R, T].

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


def by_parameter(grid: Grid, parameters: Iterable[int] | None = None) -> Grouping:
    """Return the grouping that has each of these parameters, or all, by itself."""
    chosen = range(len(grid.network.parameters)) if parameters is None else parameters
    return _grouping([range(index, index + 1) for index in chosen])


def by_network(grid: Grid) -> Grouping:
    """Return the grouping of all parameters in one row."""
    return _grouping([range(len(grid.network.parameters))])


def _grouping(members: list[range]) -> Grouping:
    members = [held for held in members if held]
    lengths = np.array([len(held) for held in members], np.intp)
    parameters = np.array([index for held in members for index in held], np.intp)
    return Grouping(parameters, np.cumsum(lengths) - lengths, lengths)


def derive(grid: Grid, statistic: Statistic, grouping: Grouping, *, band: bool = False) -> Derived:
    """Return `statistic` of each row of `grouping`.

    Parameters without a number don't count: their elements are left out too. A row's state is
    non-finite if any of its parameters is, else a number if any has one, else no gradient if any
    has none, else not recorded.
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
    """Merges the columns of one statistic over the parameters of each row."""

    def __init__(self, grid: Grid, statistic: Statistic, grouping: Grouping) -> None:
        self._grid = grid
        self._statistic = statistic
        self._grouping = grouping
        self._centre = {name: self._column(name) for name in statistic.columns}
        finite = [np.isfinite(values) for values in self._centre.values()]
        spoiled = self._column("grad_nonfinite") > 0
        infinite = np.logical_or.reduce([np.isinf(values) for values in self._centre.values()])
        reads_gradient = any(name.startswith("grad_") for name in statistic.columns)
        self.known: Bools = np.logical_and.reduce(finite)
        # Weights that have become NaN can't be told from weights that weren't measured, but for the
        # gradient, which is NaN then too.
        self.nonfinite: Bools = infinite | (spoiled & (reads_gradient | ~self.known))
        self.absent: Bools = (self._column("present") == 0) & ~self.known & reads_gradient

    def any(self, cells: Bools) -> Bools:
        """Return for each row whether any of its parameters is marked in `cells`."""
        # Most runs are well: their cells are all alike, and merging them would be most of the work.
        if not cells.any() or cells.all():
            return np.full((len(self._grouping.starts), cells.shape[1]), cells[0, 0])
        return self._grouping.merge(np.logical_or, cells, np.bool_)

    def value(self, planes: dict[str, int] | None = None) -> Floats:
        """Return the statistic, [R, T], with each column read from its plane."""
        columns = {
            name: self._merge(self._column(name, planes[name]) if planes else centre, PARAMETER_COLUMN[name].merge)
            for name, centre in self._centre.items()
        }
        values = np.array(self._statistic.value(columns, self._elements), np.float64)
        values[~self.any(self.known)] = np.nan
        return values

    @cached_property
    def _elements(self) -> Floats:
        """Elements of the parameters that count, [R, T], or [R, 1] where they are the same at all records."""
        sizes = self._grid.network.elements[self._grouping.parameters, None]
        counted = sizes if self._complete else np.where(self.known, sizes, 0.0)
        return self._grouping.merge(np.add, counted, np.float64)

    @cached_property
    def _complete(self) -> bool:
        return bool(self.known.all())

    def _column(self, name: str, plane: int = CENTRE) -> npt.NDArray[np.float32]:
        return self._grid.column(name, plane)[as_slice(self._grouping.parameters)]

    def _merge(self, values: npt.NDArray[np.float32], rule: Merge) -> Floats:
        terms = values if self._complete else np.where(self.known, values, np.float32(_NEUTRAL[rule]))
        if rule is Merge.ROOT_SQUARE:
            return np.sqrt(self._grouping.merge(np.add, np.square(terms, dtype=np.float64), np.float64))
        return self._grouping.merge(_COMBINE[rule], terms, np.float64)
