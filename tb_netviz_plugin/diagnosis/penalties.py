"""A penalty on the magnitudes of weights in the loss, by the gradients that it leaves: each element is as large.

The gradient of c·Σ|w| is c in magnitude, whatever the weight is. Where it outweighs what the data ask for, magnitudes
within a matrix are alike, and so are those of all matrices, however large the gradients of the loss itself would be.
"""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.analysis.series import nanmedian
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.movement import matrices

_ELEMENTS = 64
"""Elements of a matrix from which on its gradient's magnitudes show how they scatter."""
_MATRICES, _MOST = 2, 0.8
"""Matrices, and share of the elements of all, whose gradients have to be like that."""
_FLAT = 1.15
"""Root mean square over mean of the magnitudes up to which these are alike; 1.25 where they are Gaussian."""
_SAME = 1.2
"""Factor between the mean magnitudes of matrices up to which these are alike."""
_AT_FIRST = 3
"""Records, the first ones, in which it is so: later it may be since all has been learned."""


def penalty_on_magnitudes(case: Case, layers: list[int]) -> float | None:
    """Return how much a penalty adds to the gradient of each weight, where that is nearly all of it as training begins.

    None where it is not so, or not known.
    """
    rows = [row for row in matrices(case, layers) if case.network.elements[row] >= _ELEMENTS]
    if not rows or not case.steps.size:
        return None
    level = nanmedian(case.of_parameters("gradient_mean_abs")[rows][:, :_AT_FIRST].T)
    flat = nanmedian(_flatness(case, rows)[:, :_AT_FIRST].T) <= _FLAT
    elements = case.network.elements[rows]
    if not flat.any():
        return None
    penalty = float(np.median(level[flat]))
    alike = flat & (level <= penalty * np.sqrt(_SAME)) & (level >= penalty / np.sqrt(_SAME))
    return penalty if alike.sum() >= _MATRICES and elements[alike].sum() >= _MOST * elements.sum() else None


def _flatness(case: Case, rows: list[int]) -> Floats:
    """Return the root mean square over the mean of the magnitudes of each gradient, [M, T]; 1 where all are alike."""
    counts = np.array([case.network.elements[row] for row in rows], np.float64)[:, None]
    means, flat = case.of_parameters("gradient_mean_abs")[rows], np.full((len(rows), len(case.steps)), np.nan)
    norms = case.of_parameters("gradient_norm")[rows] / np.sqrt(counts)
    np.divide(norms, means, out=flat, where=means > 0)
    return flat
