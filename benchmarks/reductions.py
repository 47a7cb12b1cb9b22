"""What reducing the gradients and weights of 50 tensors of 512 × 512 takes, with the compiled kernels and without.

    python -m benchmarks.reductions

CPU milliseconds, one thread, median of turns; before each, other memory is written so that nothing is in the caches.

Then what reducing outputs to sums of their units takes, with every 8th sample counted and with all, beside a sum and a
maximum of torch over all of an output: CPU nanoseconds an element, one thread, median of rounds in which they take
turns. The output is in the caches as far as it fits, as it is after the layer that made it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from benchmarks.interleave import Variant, measure
from tb_netviz.pytorch.reductions import host
from tb_netviz.pytorch.reductions.units import gradient_squares, unit_sums
from tb_netviz.statistics import native

TURNS = 11
ROUNDS = 21
ELEMENTS = 1 << 23  # Reduced in one turn.
FLAT = (-1.0, 1.0)


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
    _print_units()


def _print_rows(way: str, tensors: Sequence[Tensor]) -> None:
    nothing = [None] * len(tensors)
    print(f"| statistics of gradients, {way} | {_median(lambda: host.gradient_sums(tensors, nothing)):.1f} |")
    print(f"| norms of weights, {way} | {_median(lambda: host.weight_sums(tensors, None)):.1f} |")


def _print_units() -> None:
    outputs = {
        "(64, 128, 16, 16), axis 1": (torch.randn(64, 128, 16, 16).relu(), 1),
        "… channels last": (torch.randn(64, 128, 16, 16).relu().to(memory_format=torch.channels_last), 1),
        "… bfloat16": (torch.randn(64, 128, 16, 16).relu().bfloat16(), 1),
        "(64, 512, 7, 7), axis 1": (torch.randn(64, 512, 7, 7).relu(), 1),
        "(64, 512), last axis": (torch.randn(64, 512).relu(), -1),
        "(32, 128, 256), last axis": (torch.randn(32, 128, 256).relu(), -1),
    }
    print("\n| ns an element | sum | amax | every 8th | all | gradient, every 8th | every 8th, torch's | 8th ÷ amax |")
    print(f"|---{'|---' * 7}|")
    for name, (output, axis) in outputs.items():
        seconds = np.hstack([_seconds(output, _ways(output, axis)), _without_kernels(output, axis)])
        ratio = np.median(seconds[:, 2] / seconds[:, 1])
        spent = " | ".join(f"{nanoseconds:.3f}" for nanoseconds in np.median(seconds, axis=0) / output.numel() * 1e9)
        print(f"| {name} | {spent} | {ratio:.2f} |")


def _ways(output: Tensor, axis: int) -> list[Callable[[], object]]:
    others = [place for place in range(output.dim()) if place != axis % output.dim()]
    return [
        lambda: output.sum(others),
        lambda: output.amax(others),
        lambda: unit_sums(output, axis, FLAT, 8, 1),
        lambda: unit_sums(output, axis, FLAT),
        lambda: gradient_squares(output, axis, 8, 1),
    ]


def _without_kernels(output: Tensor, axis: int) -> np.ndarray:
    with patch.object(native, "_native", None):
        return _seconds(output, [lambda: unit_sums(output, axis, FLAT, 8, 1)])


def _seconds(output: Tensor, ways: Sequence[Callable[[], object]]) -> np.ndarray:
    """Return what each way takes, [ROUNDS, len(ways)]."""
    steps = max(1, ELEMENTS // output.numel())
    return measure([Variant("", way) for way in ways], steps=steps, rounds=ROUNDS)


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
