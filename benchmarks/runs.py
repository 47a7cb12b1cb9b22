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


def write_run(folder: Path, *, layers: int, records: int) -> None:
    """Write a run of `records` records of one step each, each 128 steps after the one before."""
    random = np.random.default_rng(0)
    sink = open_sink(folder)
    # Every record stands for one step: the stride at the last step is below the interval.
    every = 128
    recorder = Recorder(sink, every=every, clock=time.time)
    recorder.describe(describe(layers))
    depth = np.linspace(-6, 0, layers)[:, None]
    for record in range(records):
        values = 10 ** (depth + 0.2 * random.standard_normal((layers, len(COLUMNS))))
        recorder.observe(record * every, values.astype(np.float32))
        recorder.finish_step(record * every, 1e-2, 1e-4)
    recorder.close()
    sink.close()
