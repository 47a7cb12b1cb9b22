"""The values of one training step, filled in optimizer by optimizer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from tb_netviz.pytorch.bins import gradient_bins
from tb_netviz.pytorch.reductions import GRADIENT_COLUMNS, distances, gradient_columns, norms, products
from tb_netviz_plugin.schema import bins

_NORM = GRADIENT_COLUMNS.index("grad_norm")
_TINIEST = float(np.finfo(np.float32).tiny)


def columns_of(*, gradients: bool, updates: bool) -> tuple[str, ...]:
    """Return the ids of what is measured, in order."""
    return (
        *(GRADIENT_COLUMNS if gradients else ()),
        "weight_norm",
        *(("update_norm",) if updates else ()),
        *(("grad_dot_last", "grad_norm_last") if gradients and updates else ()),
    )


class Measurement:
    """Values [rows, columns] of one step, NaN where nothing was measured.

    Args:
        rows: Number of parameters.
        columns: Ids of what is measured.
        with_bins: Whether gradient magnitudes are counted, too.
    """

    def __init__(self, rows: int, columns: Sequence[str], *, with_bins: bool) -> None:
        self._columns = {column: place for place, column in enumerate(columns)}
        self._values = np.full((rows, len(columns)), np.nan)
        self.bins = np.zeros((rows, bins.COUNT), dtype=np.uint16) if with_bins else None

    @property
    def values(self) -> npt.NDArray[np.float32]:
        """The values so far, float32 [rows, columns]."""
        with np.errstate(over="ignore"):
            return self._values.astype(np.float32)

    def column(self, name: str) -> npt.NDArray[np.float64]:
        """Return one column, float64 [rows]; NaN where it is not measured."""
        place = self._columns.get(name)
        return np.full(len(self._values), np.nan) if place is None else self._values[:, place]

    def take_gradients(self, rows: Sequence[int], parameters: Sequence[nn.Parameter], last: dict[int, Tensor]) -> None:
        """Reduce the gradients of `parameters`; `last` are those of the step before, by row."""
        gradients = [parameter.grad for parameter in parameters]
        measured = gradient_columns(gradients)
        self._values[rows, : len(GRADIENT_COLUMNS)] = measured
        if self.bins is not None:
            self.bins[rows] = gradient_bins(gradients)
        if "grad_dot_last" in self._columns and last:
            self._take_products(rows, gradients, measured[:, _NORM], last)

    def _take_products(
        self,
        rows: Sequence[int],
        gradients: Sequence[Tensor | None],
        magnitudes: npt.NDArray[np.float64],
        last: dict[int, Tensor],
    ) -> None:
        pairs = [
            (row, gradient, last[row], magnitude)
            for row, gradient, magnitude in zip(rows, gradients, magnitudes, strict=True)
            if gradient is not None and row in last and gradient.shape == last[row].shape and np.isfinite(magnitude)
        ]
        if not pairs:
            return
        places, now, then, norms_now = (list(part) for part in zip(*pairs, strict=True))
        norms_then = norms(then)
        norms_then[~np.isfinite(norms_then)] = np.nan
        together = np.array(norms_now) * norms_then
        # Where the product of the norms leaves float32, a 0 would be read as a right angle.
        told = np.where((together >= _TINIEST) | (together == 0), products(now, then, together), np.nan)
        self._values[places, self._columns["grad_dot_last"]] = told
        self._values[places, self._columns["grad_norm_last"]] = norms_then

    def take_weights(self, rows: Sequence[int], parameters: Sequence[nn.Parameter]) -> None:
        """Measure the norms of `parameters`."""
        self._values[rows, self._columns["weight_norm"]] = norms(parameters)

    def take_updates(self, rows: Sequence[int], parameters: Sequence[nn.Parameter], before: Sequence[Tensor]) -> None:
        """Measure how far `parameters` have moved from the copies in `before`, which are used up."""
        self._values[rows, self._columns["update_norm"]] = distances([p.detach() for p in parameters], before)
