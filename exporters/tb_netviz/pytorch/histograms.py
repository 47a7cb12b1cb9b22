"""Histograms for TensorBoard's own dashboard, of a sample of each tensor and at a few steps of a run."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor

from tb_netviz.pytorch._summary_writer import histogram_raw
from tb_netviz.pytorch.reductions.tensors import sample
from tb_netviz.pytorch.transfers import Transfer

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


class HistogramSample:
    """A sample of a tensor as it is now, on its way to the host."""

    def __init__(self, tag: str, tensor: Tensor) -> None:
        self._tag = tag
        self._sent = Transfer(sample(tensor, SAMPLES))

    @property
    def ready(self) -> bool:
        """Whether it has arrived."""
        return self._sent.ready

    def summary(self) -> Summary:
        """Return a histogram of its finite elements, after waiting for them if need be; empty where there are none."""
        values = self._sent.array().astype(np.float64)
        values = values[np.isfinite(values)]
        return _histogram(self._tag, values) if values.size else Summary()


def _histogram(tag: str, values: npt.NDArray[np.float64]) -> Summary:
    low, high = float(values.min()), float(values.max())
    edges = np.linspace(low, high, BUCKETS + 1)
    if not np.all(np.diff(edges) > 0):  # One value, or too narrow a range for doubles.
        edges = np.array([low, max(high, np.nextafter(low, np.inf))])
    counts, _ = np.histogram(values, edges)
    return histogram_raw(
        tag,
        min=low,
        max=high,
        num=values.size,
        sum=float(values.sum()),
        sum_squares=float(np.square(values).sum()),
        bucket_limits=edges[1:].tolist(),
        bucket_counts=counts.tolist(),
    )
