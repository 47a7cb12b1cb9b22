"""Sums and maxima over processes, over connections of our own.

Training's own process groups are left alone: a collective that one process enters and another does not would there meet
one of training's, and stop it. Here it ends in an error, soon: at once where the other process has closed its end, and
otherwise after `PATIENCE`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

PATIENCE = timedelta(seconds=60)
"""How far apart the processes may be at an observed step."""

Array = npt.NDArray[np.float64]


class Exchange:
    """Connects some processes of a run. All of them must make it, and call its methods in the same order.

    Args:
        store: Where the processes find each other.
        members: Their ranks.
        rank: That of this process.

    Raises:
        RuntimeError: If they don't find each other within `PATIENCE`. The methods raise it where one is missing.
    """

    def __init__(self, store: Any, members: Sequence[int], rank: int) -> None:
        distributed: Any = torch.distributed
        self._reductions = distributed.ReduceOp
        self._options = distributed.AllreduceOptions
        place = sorted(members).index(rank)
        self._group: Any = distributed.ProcessGroupGloo(store, place, len(members), timeout=PATIENCE)

    def add(self, values: Array) -> Array:
        """Return the sum of what all processes hand over."""
        return self._reduce(values, self._reductions.SUM)

    def largest(self, values: Array) -> Array:
        """Return the largest of what all processes hand over, element by element; NaN is not allowed."""
        return self._reduce(values, self._reductions.MAX)

    def close(self) -> None:
        """Close the connections; the others hear of it at once."""
        self._group = None  # Nobody else holds it.

    def _reduce(self, values: Array, operation: Any) -> Array:
        options = self._options()
        options.reduceOp = operation
        reduced = torch.from_numpy(values.copy())
        self._group.allreduce([reduced], options).wait()
        result: Array = reduced.numpy()
        return result
