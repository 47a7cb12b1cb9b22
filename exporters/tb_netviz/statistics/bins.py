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
    return magnitude_counts(np.abs(widened(sampled(flat(array))))).astype(np.uint16)


def magnitude_counts(values: npt.NDArray[np.float32] | npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Count `values` [N] by the power of two of their magnitude, int64 [bins.COUNT]."""
    mantissas, exponents = np.frexp(values)  # Mantissas in [0.5, 1): the power of two below is one less.
    places = np.clip(exponents.astype(np.int64) - 1 - bins.LOWEST_EXPONENT + bins.FIRST, bins.BELOW, bins.ABOVE)
    places[mantissas == 0] = bins.ZERO
    places[~np.isfinite(values)] = bins.NONFINITE
    return np.bincount(places, minlength=bins.COUNT)
