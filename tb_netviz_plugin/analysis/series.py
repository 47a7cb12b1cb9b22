"""Arithmetic that takes series with gaps, without a warning."""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.analysis.records import Floats


def logarithm(values: Floats) -> Floats:
    """Return log10 of the positive values, NaN for the rest."""
    return np.log10(values, out=np.full(values.shape, np.nan), where=values > 0)


def nanmedian(values: Floats) -> Floats:
    """Return the median of the numbers in each column, NaN for a column without any, and without a warning."""
    ordered = np.sort(values, axis=0)
    count = np.isfinite(values).sum(axis=0)
    columns = np.arange(values.shape[1])
    low, high = ordered[np.maximum(count - 1, 0) // 2, columns], ordered[count // 2, columns]
    return np.where(count > 0, (low + high) / 2, np.nan)


def running_median(values: Floats, width: int) -> Floats:
    """Return the median of the `width` values around each, of those at the ends for the ends."""
    windows = np.lib.stride_tricks.sliding_window_view(values, width)
    middle = np.median(windows, axis=1)
    missing = len(values) - len(middle)
    return np.pad(middle, (missing // 2, missing - missing // 2), mode="edge")
