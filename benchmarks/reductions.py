"""What reducing the gradients and weights of 50 tensors of 512 × 512 takes, with the compiled kernels and without.

    python -m benchmarks.reductions

CPU milliseconds, one thread, median of turns; before each, other memory is written so that nothing is in the caches.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from tb_netviz.pytorch.reductions import host
from tb_netviz.statistics import native

TURNS = 11


def main() -> None:
    """Measure and print a table."""
    torch.set_num_threads(1)
    tensors = [torch.randn(512, 512) for _ in range(50)]
    print("| | CPU ms |\n|---|---|")
    print(f"| one sum of all, the floor of memory | {_median(lambda: [tensor.sum() for tensor in tensors]):.1f} |")
    if native.available():
        _print_rows("compiled kernels", tensors)
    with patch.object(native, "_native", None):
        _print_rows("torch's operations", tensors)


def _print_rows(way: str, tensors: Sequence[Tensor]) -> None:
    nothing = [None] * len(tensors)
    print(f"| statistics of gradients, {way} | {_median(lambda: host.gradient_sums(tensors, nothing)):.1f} |")
    print(f"| norms of weights, {way} | {_median(lambda: host.weight_sums(tensors, None)):.1f} |")


def _median(function: Callable[[], object]) -> float:
    other = torch.zeros(1 << 24)
    milliseconds = []
    for _ in range(TURNS):
        other.add_(1.0)
        start = time.process_time()
        function()
        milliseconds.append((time.process_time() - start) * 1e3)
    return float(np.median(milliseconds))


if __name__ == "__main__":
    main()
