"""Runs of a given size, written by netviz itself."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from tb_netviz.events import open_sink
from tb_netviz.recorder import Recorder
from tb_netviz_plugin.schema.columns import PARAMETER_COLUMNS
from tb_netviz_plugin.schema.description import Module, Parameter, RunDescription

COLUMNS = tuple(column.id for column in PARAMETER_COLUMNS)


def describe(layers: int) -> RunDescription:
    """Return a chain of `layers` layers with one parameter each, twelve to a block."""
    names = [f"blocks.{layer // 12}.{layer % 12}" for layer in range(layers)]
    return RunDescription(
        writer="benchmark",
        framework="numpy",
        modules=tuple(Module(name, "Linear") for name in names),
        parameters=tuple(Parameter(f"{name}.weight", owner, (64, 64)) for owner, name in enumerate(names)),
    )


def window_starts(records: int) -> list[int]:
    """Return the first steps of so many windows, by docs/wire-format.md: one observation at each makes one record."""
    steps: list[int] = []
    step = 0
    while len(steps) < records:
        steps.append(step)
        step += max(1, 2 ** (step.bit_length() - 1 - 7)) if step >= 128 else 1
    return steps


def write_run(folder: Path, *, layers: int, records: int) -> None:
    """Write a run of `records` records of one step each, whose gradients shrink by six decades towards the input."""
    random = np.random.default_rng(0)
    depth = np.linspace(-6, 0, layers)[:, None]
    certain = {"present": 1.0, "grad_zeros": 0.0, "grad_nonfinite": 0.0}
    sink = open_sink(folder)
    recorder = Recorder(sink, every=1, clock=time.time)
    recorder.describe(describe(layers))
    for step in window_starts(records):
        values = 10 ** (depth + 0.2 * random.standard_normal((layers, len(COLUMNS))))
        for name, value in certain.items():
            values[:, COLUMNS.index(name)] = value
        recorder.observe(step, values.astype(np.float32))
        recorder.finish_step(step, 1e-2, 1e-4)
    recorder.close()
    sink.close()
