"""What facts are found in: the statistics of the layers of a run."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from tb_netviz_plugin.analysis.derive import Derived, State, by_layer, derive
from tb_netviz_plugin.analysis.grid import Grid
from tb_netviz_plugin.analysis.network import Network
from tb_netviz_plugin.analysis.records import Bools, Floats
from tb_netviz_plugin.schema.statistics import STATISTIC

PERSISTING = 5
"""Records, in a row and up to the last, that a fact about the present rests on."""
STRIKING_FALL = 1e3
"""Factor between two depths, or between past and present, from which a fall is stated."""


class Evidence:
    """The statistics of the layers of a run, derived when a fact asks for them."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self._derived: dict[tuple[str, bool], Derived] = {}

    @property
    def network(self) -> Network:
        """Its layers and parameters."""
        return self.grid.network

    @property
    def steps(self) -> Floats:
        """Last step of each record, [T]."""
        return self.grid.steps

    def statistic(self, name: str, *, band: bool = False) -> Derived:
        """Return a statistic of all layers, and its band if that is asked for."""
        if (name, band) not in self._derived:
            self._derived[name, band] = derive(self.grid, STATISTIC[name], by_layer(self.grid), band=band)
        return self._derived[name, band]

    def numbers(self, name: str) -> Floats:
        """Return the values of a statistic, [L, T], NaN in every cell that is no number."""
        derived = self.statistic(name)
        return np.where(derived.states == State.NUMBER, derived.values, np.nan)

    @cached_property
    def frozen(self) -> Bools:
        """Which layers ask for no gradient, [L]."""
        return np.array([layer.frozen for layer in self.network.layers], np.bool_)
