"""Distribution of gradient magnitudes by power of two, from a sample of each tensor."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tb_netviz.pytorch.reductions import dense_elements
from tb_netviz_plugin.schema import bins


def gradient_bins(gradients: Sequence[Tensor | None]) -> npt.NDArray[np.uint16]:
    """Count at most `bins.SAMPLES` elements of each gradient, at a fixed stride.

    Elements that a sparse gradient does not store are counted as the zeros that they are.

    Returns:
        uint16 [len(gradients), bins.COUNT]; a missing gradient has no counts.
    """
    counts = np.zeros((len(gradients), bins.COUNT), dtype=np.uint16)
    for row, gradient in enumerate(gradients):
        if gradient is None or not gradient.numel():
            continue
        stride = math.ceil(gradient.numel() / bins.SAMPLES)
        sample = dense_elements(gradient)[::stride]
        counts[row] = magnitude_counts(_on_host(sample))
        counts[row, bins.ZERO] += math.ceil(gradient.numel() / stride) - sample.numel()
    return counts


def magnitude_counts(values: npt.NDArray[np.float32] | npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Count `values` [N] by the power of two of their magnitude, int64 [bins.COUNT]."""
    mantissas, exponents = np.frexp(values)  # value = mantissa * 2**exponent, mantissa in [0.5, 1).
    places = np.clip(exponents.astype(np.int64) - 1 - bins.LOWEST_EXPONENT + bins.FIRST, bins.BELOW, bins.ABOVE)
    places[mantissas == 0] = bins.ZERO
    places[~np.isfinite(values)] = bins.NONFINITE
    return np.bincount(places, minlength=bins.COUNT)


def _on_host(sample: Tensor) -> npt.NDArray[np.float32] | npt.NDArray[np.float64]:
    kind = torch.float64 if sample.dtype == torch.float64 else torch.float32
    array: npt.NDArray[np.float32] | npt.NDArray[np.float64] = sample.to("cpu", kind).numpy()
    return array
