"""Ratios of variants to a baseline, measured in turn, so that a drifting machine disturbs both alike.

Time is the CPU time of the whole process: a thread that writes files is billed to the variant whose
turn it is, which is why each turn ends with `flush`.
"""

from __future__ import annotations

import ctypes
import gc
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

BOOTSTRAPS = 2000


@dataclass(frozen=True)
class Variant:
    """One way of doing the same work.

    Attributes:
        name: For the table.
        step: Does one unit of work.
        flush: Finishes what the steps left to others (writer threads).
    """

    name: str
    step: Callable[[], object]
    flush: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class Ratio:
    """CPU time of a variant over that of the baseline: median over rounds, with its 95 % interval."""

    name: str
    median: float
    low: float
    high: float
    milliseconds: float

    def row(self) -> str:
        """Return the ratio as a row of a Markdown table."""
        return f"| {self.name} | {self.median:.3f} | {self.low:.3f} – {self.high:.3f} | {self.milliseconds:.2f} |"


HEADING = "| variant | × baseline | 95 % interval | CPU ms a step |\n|---|---|---|---|"


def compare(variants: Sequence[Variant], *, steps: int, rounds: int, warmup: int = 2) -> list[Ratio]:
    """Time `variants` in turn and compare them with the first.

    Args:
        variants: The first one is the baseline.
        steps: Steps of one turn.
        rounds: Counted turns of every variant; the order rotates from round to round.
        warmup: Turns of every variant that are not counted.

    Returns:
        One ratio per variant, the baseline included.
    """
    seconds = measure(variants, steps=steps, rounds=rounds, warmup=warmup)
    return [ratio(variant.name, seconds[:, 0], seconds[:, i]) for i, variant in enumerate(variants)]


def measure(variants: Sequence[Variant], *, steps: int, rounds: int, warmup: int = 2) -> np.ndarray:
    """Time `variants` in turn, as `compare` does; return the CPU seconds a step, [rounds, variants]."""
    _keep_freed_memory()
    seconds = np.empty((rounds, len(variants)))
    gc.collect()
    gc.disable()
    try:
        for number in range(-warmup, rounds):
            for turn in range(len(variants)):
                index = (turn + number) % len(variants)
                spent = _turn(variants[index], steps)
                if number >= 0:
                    seconds[number, index] = spent
            gc.collect()
    finally:
        gc.enable()
    return seconds / steps


def ratio(name: str, baseline: np.ndarray, spent: np.ndarray) -> Ratio:
    """Compare what was `spent` with the `baseline` of the same round; both are seconds a step, [rounds]."""
    ratios = spent / baseline
    draws = np.random.default_rng(0).integers(len(ratios), size=(BOOTSTRAPS, len(ratios)))
    low, high = np.quantile(np.median(ratios[draws], axis=1), [0.025, 0.975])
    return Ratio(name, float(np.median(ratios)), float(low), float(high), float(np.median(spent)) * 1e3)


def _keep_freed_memory() -> None:
    """Let glibc keep what training frees, here and from now on.

    Whether it gives the memory of the gradients back to the system at each step depends on what happens to lie behind
    them. Where it does, filling the pages anew takes up to a fifth of a step of the MLP, of bare training as well.
    """
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        library.mallopt(_M_MMAP_MAX, 0)


_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # As in malloc.h.


def _turn(variant: Variant, steps: int) -> float:
    start = time.process_time()
    for _ in range(steps):
        variant.step()
    variant.flush()
    return time.process_time() - start
