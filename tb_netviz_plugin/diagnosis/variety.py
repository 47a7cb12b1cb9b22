"""How much what activations put out varies from sample to sample, and within a sample."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tb_netviz_plugin.analysis.activations import ActivationRow
from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.finding import Line
from tb_netviz_plugin.schema.description import Response

_FEWEST_UNITS = 4
"""Units from which on they make a representation, and not a number."""
_MOST_UNITS = 128
"""Units of an activation that are looked at, at a stride."""


@dataclass(frozen=True, slots=True)
class Variety:
    """An activation at the N records of its units.

    Attributes:
        row: Which one.
        steps: Last step of each record, [N].
        deviation: Root mean square, over units, of their standard deviation over samples, [N].
        size: Root mean square of their values, [N].
    """

    row: ActivationRow
    steps: Floats
    deviation: Floats
    size: Floats

    @property
    def share(self) -> Floats:
        """What differs from sample to sample, as a share of the size, [N]: 0 where all samples are the same."""
        shares: Floats = np.full(len(self.size), np.nan)
        np.divide(self.deviation, self.size, out=shares, where=self.size > 0)
        return shares

    def line(self, threshold: float | None = None) -> Line:
        """Return the share over the steps."""
        return Line(f"{self.row.label}: share of its outputs that varies", "units", self.steps, self.share, threshold)


@dataclass(frozen=True, slots=True)
class Places:
    """An activation at its N records, whose entries along the first axis have several places: tokens, nodes, pixels.

    Attributes:
        row: Which one.
        steps: Last step of each record, [N].
        share: What differs from place to place of an entry, as a share of the size, [N]: 0 where all places of each
            are the same.
    """

    row: ActivationRow
    steps: Floats
    share: Floats

    def line(self, threshold: float | None = None) -> Line:
        """Return the share over the steps."""
        label = f"{self.row.label}: share that varies within an entry"
        return Line(label, "activation_std", self.steps, self.share, threshold)


def places(case: Case, model: str) -> Iterator[Places]:
    """Yield the activations of a model that have places, where those were told apart, in the order of the forward pass.

    Those of attention weights are left out, whose units are places themselves.
    """
    norms, within = (case.column_of_activations(name) for name in ("act_norm", "act_within_norm"))
    for index, row in enumerate(case.network.activations):
        if row.model != model or row.activation.response is Response.SOFTMAX:
            continue
        known = (norms[index] > 0) & np.isfinite(within[index])
        if known.any():
            yield Places(row, case.activation_steps[known], within[index, known] / norms[index, known])


def varieties(case: Case, model: str, *, last_first: bool = False, fewest: int = _FEWEST_UNITS) -> Iterator[Variety]:
    """Yield the activations of a model with so many units recorded, in the order of the forward pass or its reverse.

    Those of attention weights are left out, whose units are heads.
    """
    table = case.unit_table
    for row in case.network.activations[:: -1 if last_first else 1]:
        bare = row.activation.response is Response.SOFTMAX or len(row.units) < fewest
        if row.model != model or bare or not table.steps.size:
            continue
        units = np.arange(row.units.start, row.units.stop, -(-len(row.units) // _MOST_UNITS))
        means, deviations = (_finite(table.units.column(name, rows=units)) for name in ("mean", "std"))
        known = np.isfinite(deviations).any(axis=0)
        if known.any():
            variance = np.nanmean(np.square(deviations[:, known]), axis=0)
            square = variance + np.nanmean(np.square(means[:, known]), axis=0)
            yield Variety(row, table.steps[known], np.sqrt(variance), np.sqrt(square))


def _finite(values: npt.NDArray[np.float32]) -> Floats:
    return np.where(np.isfinite(values), values, np.nan).astype(np.float64)
