"""Histograms for TensorBoard's own dashboard, of a sample of each tensor and at a few steps of a run."""

from __future__ import annotations

import math

import numpy as np
import torch
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor

from tb_netviz.pytorch._summary_writer import histogram_raw
from tb_netviz.pytorch.reductions import dense_elements

SAMPLES = 4096
"""Elements of a tensor that are counted at most, at a fixed stride."""
BUCKETS = 40


class HistogramSchedule:
    """Spaces histograms so that a run has a bounded number: by 16 steps at first, later by an eighth of the run.

    There are about 50 at 10,000 steps and 90 at a million.

    Args:
        histograms: Whether there are any, or every how many steps.

    Raises:
        ValueError: If the number is negative.
    """

    def __init__(self, histograms: bool | int) -> None:
        if histograms < 0:
            raise ValueError(f"histograms must be True, False or a number of steps, got {histograms!r}")
        self._every = 0 if histograms is True else int(histograms)
        self._next: float = 0 if histograms else math.inf

    def due(self, step: int) -> bool:
        """Whether the observed `step` is to have histograms; if so, the next ones are later."""
        if step < self._next:
            return False
        self._next = step + (self._every or max(16, step // 8))
        return True


def histogram_value(tag: str, tensor: Tensor) -> Summary.Value | None:
    """Return a histogram of the finite elements of a sample; None where there are none."""
    if not tensor.numel():
        return None
    stride = math.ceil(tensor.numel() / SAMPLES)
    sample = dense_elements(tensor)[::stride].to("cpu", torch.float64).numpy()
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return None
    low, high = float(sample.min()), float(sample.max())
    edges = np.linspace(low, high, BUCKETS + 1)
    if not np.all(np.diff(edges) > 0):  # One value, or too narrow a range for doubles.
        edges = np.array([low, max(high, np.nextafter(low, np.inf))])
    counts, _ = np.histogram(sample, edges)
    summary = histogram_raw(
        tag,
        min=low,
        max=high,
        num=sample.size,
        sum=float(sample.sum()),
        sum_squares=float(np.square(sample).sum()),
        bucket_limits=edges[1:].tolist(),
        bucket_counts=counts.tolist(),
    )
    value: Summary.Value = summary.value[0]
    return value
