"""Counts of magnitudes by power of two; the bins are those of the schema."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tb_netviz.statistics.numbers import Array, flat, widened
from tb_netviz_plugin.schema import bins


def sampled(vector: Array) -> Array:
    """Return every n-th element, with the least n that leaves at most bins.SAMPLES."""
    return vector[:: max(1, -(-vector.size // bins.SAMPLES))]


def count_bins(array: npt.ArrayLike) -> npt.NDArray[np.uint16]:
    """Return how many sampled elements fall into each bin, uint16 [128].

    Raises:
        TypeError: If the elements are no numbers.
    """
    magnitudes = np.abs(widened(sampled(flat(array))))
    _, exponents = np.frexp(magnitudes)  # Mantissas in [0.5, 1): the power of two below is one less.
    index = np.clip(exponents - 1 - bins.LOWEST_EXPONENT + bins.FIRST, bins.BELOW, bins.ABOVE)
    index[magnitudes == 0] = bins.ZERO
    index[~np.isfinite(magnitudes)] = bins.NONFINITE
    return np.bincount(index, minlength=bins.COUNT).astype(np.uint16)
