"""What an embedding of 2,000 points costs a training in wall-clock time: its worker lays out all the time.

    python -m benchmarks.embedding_cost [--rounds N] [--task mlp|cnn|lm] [--threads N]

Bare training, the same again (A/A), training while the worker is never idle, and training with `watch_embedding` as it
is by default take turns. The worker is waited for before another one's turn. Needs two cores that are idle otherwise.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np
import torch

from benchmarks.interleave import BOOTSTRAPS, Variant
from benchmarks.models import TASKS, Task
from tb_netviz.embedding import EmbeddingWriter
from tb_netviz.pytorch import NetVizWriter

POINTS, UNITS, CLASSES = 2000, 128, 10
STEPS_OF_A_TURN = 64
SETTLING_STEPS = 256
"""Before anything is counted: the run's beginning is followed more closely."""


def main() -> None:
    """Measure and print one table per network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10, help="counted turns of every variant (default 10)")
    parser.add_argument("--task", choices=TASKS, action="append", help="only this network; may be repeated")
    parser.add_argument("--threads", type=int, default=1, help="of the training (default 1)")
    arguments, _ = parser.parse_known_args()
    torch.set_num_threads(arguments.threads)
    for name in arguments.task or ["mlp"]:
        print(f"\n### {TASKS[name]().name}, {arguments.threads} of {os.cpu_count()} cores\n")
        print("| variant | × bare, wall clock | 95 % interval | ms a step |\n|---|---|---|---|")
        with ExitStack() as stack:
            variants = [
                Variant("bare", TASKS[name]().step),
                Variant("bare again (A/A)", TASKS[name]().step),
                stack.enter_context(laying_out(TASKS[name])),
                stack.enter_context(watching(TASKS[name])),
            ]
            print_rows(variants, measure(variants, arguments.rounds))


def measure(variants: Sequence[Variant], rounds: int) -> np.ndarray:
    """Return the wall-clock seconds of each turn, [rounds, variants]; the order rotates from round to round."""
    seconds = np.empty((rounds, len(variants)))
    for number in range(-1, rounds):
        for turn in range(len(variants)):
            index = (turn + number) % len(variants)
            began = time.perf_counter()
            for _ in range(STEPS_OF_A_TURN):
                variants[index].step()
            if number >= 0:
                seconds[number, index] = time.perf_counter() - began
            variants[index].flush()
    return seconds


def print_rows(variants: Sequence[Variant], seconds: np.ndarray) -> None:
    """Print each variant's time over that of bare training: of all turns together, since passes are rare."""
    draws = np.random.default_rng(0).integers(len(seconds), size=(BOOTSTRAPS, len(seconds)))
    for index, variant in enumerate(variants):
        ratio = seconds[:, index].sum() / seconds[:, 0].sum()
        low, high = np.quantile(seconds[draws, index].sum(1) / seconds[draws, 0].sum(1), [0.025, 0.975])
        milliseconds = 1e3 * seconds[:, index].mean() / STEPS_OF_A_TURN
        print(f"| {variant.name} | {ratio:.3f} | {low:.3f} – {high:.3f} | {milliseconds:.2f} |", flush=True)


@contextmanager
def laying_out(task: Callable[[], Task]) -> Iterator[Variant]:
    """Train while the worker is never idle."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, POINTS)
    vectors = rng.standard_normal((CLASSES, UNITS))[labels] + rng.standard_normal((POINTS, UNITS))
    trained = task()
    with tempfile.TemporaryDirectory() as folder, EmbeddingWriter(folder) as writer:

        def step() -> None:
            trained.step()
            if writer.wait(0):
                nonlocal vectors
                vectors = vectors + 0.1 * rng.standard_normal(vectors.shape)
                writer.add("points", vectors, labels)

        yield Variant("worker never idle", step, writer.wait)


@contextmanager
def watching(task: Callable[[], Task]) -> Iterator[Variant]:
    """Train with `watch_embedding` as it is by default, once its rate has settled."""
    trained = task()
    repeats = -(-POINTS // len(trained.inputs))
    inputs = trained.inputs.repeat(repeats, *[1] * (trained.inputs.ndim - 1))[:POINTS]
    with tempfile.TemporaryDirectory() as folder, NetVizWriter(folder) as writer:
        if inputs.is_floating_point():
            inputs = inputs + torch.randn(inputs.shape)
        writer.watch_embedding("points", "", inputs, model=trained.model)
        for _ in range(SETTLING_STEPS):
            trained.step()
        yield Variant("watch_embedding", trained.step, lambda: writer._embeddings().wait())


if __name__ == "__main__":
    main()
