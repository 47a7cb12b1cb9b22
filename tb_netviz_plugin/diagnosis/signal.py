"""How the size of the signal changes from layer to layer as a network begins, before any activation function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.finding import Line
from tb_netviz_plugin.diagnosis.starts import BEGINNING, gain_of
from tb_netviz_plugin.schema.description import Response

_EACH = 2.0
"""Factor from one layer to the next, on average, from which on there is a trend."""
_STEADILY = 0.8
"""Share of the layers on the way that go along: a narrow embedding, or one small projection, is no trend."""
_FEWEST_LAYERS = 3


@dataclass(frozen=True, slots=True)
class Trend:
    """A steady change of the deviation of what layers put out, at the first record of activations.

    Attributes:
        rows: Activations from the first to the last one of the trend, at least three.
        decades: How far the deviation rises from the one to the other; below zero where it falls.
        deviations: That of the first and of the last one.
    """

    rows: tuple[int, ...]
    decades: float
    deviations: tuple[float, float]

    @property
    def factor(self) -> float:
        """The change in all, at least 1."""
        return float(10 ** abs(self.decades))

    @property
    def each(self) -> float:
        """The change from one layer to the next, on average."""
        return float(10 ** (abs(self.decades) / (len(self.rows) - 1)))

    def layers(self, case: Case) -> tuple[int, ...]:
        """Return the layers that change it: all but the first."""
        held = (case.network.activations[row].layer for row in self.rows[1:])
        return tuple(dict.fromkeys(layer for layer in held if layer is not None))

    def labels(self, case: Case) -> tuple[str, str]:
        """Return what the first and the last activation are called."""
        begin, end = (case.network.activations[self.rows[at]].label for at in (0, -1))
        return begin, end

    def lines(self, case: Case) -> tuple[Line, ...]:
        """Return the deviations of both over the steps."""
        steps, deviations = case.activation_steps, case.numbers("activation_std")
        ends = (self.rows[0], self.rows[-1])
        return tuple(
            Line(case.network.activations[row].label, "activation_std", steps, deviations[row]) for row in ends
        )


def trend(case: Case, layers: Sequence[int], factor: float) -> Trend | None:
    """Return the largest steady change from layer to layer at the beginning, if it is by such a factor."""
    start = case.activation_steps
    if not start.size or start[0] > BEGINNING:
        return None
    deviations = case.numbers("activation_std")
    rows = [
        index
        for index, row in enumerate(case.network.activations)
        if row.layer in layers
        and not row.function
        and row.activation.response is Response.NONE
        and deviations[index, 0] > 0
    ]
    if len(rows) < _FEWEST_LAYERS:
        return None
    profile = np.log10(deviations[rows, 0])
    found = [ends for sign in (1, -1) if (ends := _steady(sign * profile, np.log10(factor))) is not None]
    if not found:
        return None
    first, last = max(found, key=lambda ends: abs(profile[ends[1]] - profile[ends[0]]))
    sizes = (float(10 ** profile[first]), float(10 ** profile[last]))
    return Trend(tuple(rows[first : last + 1]), float(profile[last] - profile[first]), sizes)


def middle_gain(case: Case, layers: Sequence[int]) -> float:
    """Return by how much these layers' weights scale independent inputs at the first record, at the median; or NaN."""
    gains = np.array([gain_of(case, layer) for layer in layers])
    known = gains[np.isfinite(gains)]
    return float(np.median(known)) if known.size else np.nan


def _steady(profile: Floats, decades: float) -> tuple[int, int] | None:
    """Return from where to where a profile, [N], rises most, if it rises by so many decades, and steadily."""
    lowest = np.minimum.accumulate(profile)
    last = int(np.argmax(profile - lowest))
    first = int(np.argmin(profile[: last + 1]))
    risen, apart = profile[last] - profile[first], last - first
    if risen < decades or apart < _FEWEST_LAYERS - 1 or risen < apart * np.log10(_EACH):
        return None
    return (first, last) if (np.diff(profile[first : last + 1]) > 0).mean() >= _STEADILY else None
