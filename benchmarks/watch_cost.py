"""What `watch` costs in training time, beside bare training. For other tools see `peers.py`.

    python -m benchmarks.watch_cost [--rounds N] [--copies N] [--task mlp|cnn|lm] [--only default|every]

Each variant trains its own copy of the network; they take turns (see `interleave.py`). One thread. Where in memory a
copy happens to lie makes a percent of its speed, so that what the default budget costs, which is of that size, is
measured in several processes, in each of which the copies are made in another order.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch

from benchmarks.interleave import HEADING, Ratio, Variant, compare, measure, ratio
from benchmarks.isolation import call
from benchmarks.models import TASKS, Task
from tb_netviz.pytorch import NetVizWriter

# Steps in which the default budget uses up its head start and finds its rate, before anything is counted.
SETTLING_STEPS = 192
# Each turn ends with a flush, which writes records that a long run would write far more rarely: turns have to be long.
LEAST_STEPS = 32
EVERY_STEP_TURN = 16
LONGEST_SECONDS = 900.0
_WATCHED = 2  # Behind bare training and bare training again.

EVERY_STEP: dict[str, dict[str, bool]] = {
    "gradient statistics, weight norms": {"updates": False, "histograms": False, "activations": False},
    "and updates, cosine, histograms": {"activations": False},
    "activations and units, weight norms": {"gradients": False, "updates": False, "histograms": False},
    "everything": {},
}
"""Options of `watch`, by what they record."""


def main() -> None:
    """Measure and print one table per network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="counted turns of every variant (default 7)")
    parser.add_argument("--task", choices=TASKS, action="append", help="only this network; may be repeated")
    parser.add_argument("--copies", type=int, default=6, help="processes in which the default is measured (default 6)")
    parser.add_argument("--only", choices=("default", "every"), help="only that of the two tables")
    arguments, _ = parser.parse_known_args()
    torch.set_num_threads(1)
    for name in arguments.task or TASKS:
        print(f"\n### {TASKS[name]().name}")
        if arguments.only != "every":
            print(f"\nThe default budget\n\n{HEADING}")
            print_rows(default_budget(name, arguments.rounds, arguments.copies))
        if arguments.only != "default":
            print(f"\nEvery step\n\n{HEADING}")
            print_rows(every_step(TASKS[name], arguments.rounds))


def print_rows(ratios: list[Ratio]) -> None:
    """Print `ratios` as the rows of a table."""
    for one in ratios:
        print(one.row(), flush=True)


def default_budget(name: str, rounds: int, copies: int) -> list[Ratio]:
    """Compare bare training of a network with itself and with the defaults, in so many processes."""
    answers = [call(_default_seconds, name, rounds, index, seconds=LONGEST_SECONDS) for index in range(copies)]
    intervals = sorted({interval for interval, _ in answers})
    seconds = np.array([each for _, each in answers])
    names = ("bare", "bare again (A/A)", f"defaults (every {' or '.join(map(str, intervals))} steps)")
    return [ratio(title, seconds[:, 0], seconds[:, at]) for at, title in enumerate(names)]


def _default_seconds(name: str, rounds: int, index: int) -> tuple[int, list[float]]:
    """Return the interval and the CPU seconds a step: bare, bare again and by default, each the median of the rounds.

    Args:
        name: Of the network.
        rounds: Counted turns.
        index: Chooses the order in which the copies of the network are made.
    """
    torch.set_num_threads(1)
    made: dict[int, Variant] = {}
    interval = 1
    with ExitStack() as stack:
        for which in ((index + at) % 3 for at in range(3)):
            if which == _WATCHED:
                made[which], interval = stack.enter_context(settled(TASKS[name]))
            else:
                made[which] = Variant("bare", TASKS[name]().step)
        variants = [made[which] for which in sorted(made)]
        seconds = measure(variants, steps=max(LEAST_STEPS, interval), rounds=rounds, warmup=1)
    return interval, [float(one) for one in np.median(seconds, axis=0)]


def every_step(task: Callable[[], Task], rounds: int) -> list[Ratio]:
    """Compare what records at every step."""
    with ExitStack() as stack:
        variants = [
            Variant("bare", task().step),
            Variant("bare again (A/A)", task().step),
            stack.enter_context(watched("attached, not recording", task, every=1_000_000_000)),
            *(stack.enter_context(watched(name, task, every=1, **options)) for name, options in EVERY_STEP.items()),
        ]
        # A run's first steps are looked at closer, hence the warm-up.
        return compare(variants, steps=EVERY_STEP_TURN, rounds=rounds, warmup=2)


@contextmanager
def watched(name: str, task: Callable[[], Task], **options: object) -> Iterator[Variant]:
    """Train with `watch(..., **options)`."""
    with tempfile.TemporaryDirectory() as folder, NetVizWriter(folder) as writer:
        trained = task()
        writer.watch(trained.model, trained.optimizer, **options)
        yield Variant(name, trained.step, writer.flush)


@contextmanager
def settled(task: Callable[[], Task]) -> Iterator[tuple[Variant, int]]:
    """Train with the default `watch` until its rate has settled; yield it with its interval."""
    with tempfile.TemporaryDirectory() as folder, NetVizWriter(folder) as writer:
        trained = task()
        watch = writer.watch(trained.model, trained.optimizer)
        for _ in range(SETTLING_STEPS):
            trained.step()
        yield Variant("defaults", trained.step, writer.flush), watch.interval


if __name__ == "__main__":
    main()
