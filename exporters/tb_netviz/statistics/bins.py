"""Counts of magnitudes by power of two; the bins are those of the schema."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tb_netviz.statistics.numbers import Array, flat, widened
from tb_netviz_plugin.schema import bins


def stride(elements: int, most: int = bins.SAMPLES) -> int:
    """Return the stride at which a tensor of so many elements is sampled.

    The least one that leaves at most `most` of them and has no divisor in common with their number, hence none with the
    length of a row, whichever axes make it: a stride of 4 would never meet three of four columns in rows of 64.
    """
    step = max(1, -(-elements // most))
    while math.gcd(step, elements) > 1:
        step += 1
    return step


def sampled(vector: Array) -> Array:
    """Return the elements at the `stride` of `vector`, from the first on."""
    return vector[:: stride(vector.size)]


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
