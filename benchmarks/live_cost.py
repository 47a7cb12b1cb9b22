"""What the checks beside a training cost: `on_finding="warn"`, the default, beside "ignore" and bare training.

    python -m benchmarks.live_cost [--seconds S] [--rounds N] [--task mlp|cnn|lm|small|deep]

Each variant trains in a process of its own, by turns. CPU time is that of the whole process; that of the thread which
checks is counted by itself as well, since it is far less than what one turn differs from the next. It is to be 0.3
per cent of the time that passes, at most; where others use the processor too, that is more of the process's own time.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import nn

from benchmarks.isolation import call
from benchmarks.models import TASKS, Task
from tb_netviz.live import lookout
from tb_netviz.pytorch import NetVizWriter
from tb_netviz_plugin.diagnosis import Recorded, Report, check

BARE, IGNORE, WARN = "bare", "ignore", "warn"
STARTING = 120.0
"""Seconds that a process may take beside its turn."""


def small() -> Task:
    """Two layers of 64: steps so short that records come as fast as they can."""
    return _linear("MLP 2×64", depth=2, width=64)


def deep() -> Task:
    """300 layers of 64, with a ReLU behind each."""
    return _linear("MLP 300×64", depth=300, width=64)


def _linear(name: str, *, depth: int, width: int) -> Task:
    torch.manual_seed(0)
    layers = [layer for _ in range(depth) for layer in (nn.Linear(width, width), nn.ReLU())]
    model = nn.Sequential(*layers, nn.Linear(width, 10))
    inputs, targets = torch.randn(32, width), torch.randint(10, (32,))
    return Task(name, model, torch.optim.Adam(model.parameters(), 1e-4), inputs, targets)


NETWORKS: dict[str, Callable[[], Task]] = TASKS | {"small": small, "deep": deep}


@dataclass(frozen=True)
class Turn:
    """One training.

    Attributes:
        step: CPU seconds a step.
        of_time: CPU time of the thread that checks, its last look apart, over the time that passed.
        of_cpu: The same over the CPU time of the process.
        last: CPU seconds of the last look.
        looks: How often it looked.
        megabytes: Memory of the records that it keeps.
    """

    step: float
    of_time: float = 0.0
    of_cpu: float = 0.0
    last: float = 0.0
    looks: int = 0
    megabytes: float = 0.0


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="of each training (default 60)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of every variant (default 3)")
    parser.add_argument("--task", choices=NETWORKS, action="append", help="only this network; may be repeated")
    arguments, _ = parser.parse_known_args()
    heads = ["network", "ignore × bare", "warn × ignore", "checks: share of the time", "of CPU time", "looks"]
    heads += ["last look", "records kept"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for name in arguments.task or NETWORKS:
        print(_row(name, arguments.seconds, arguments.rounds), flush=True)


def _row(name: str, seconds: float, rounds: int) -> str:
    turns: dict[str, list[Turn]] = {BARE: [], IGNORE: [], WARN: []}
    for number in range(rounds):
        for variant in np.roll(list(turns), number):
            turns[variant].append(call(train, name, str(variant), seconds, seconds=2 * seconds + STARTING))
    steps = {variant: float(np.median([turn.step for turn in made])) for variant, made in turns.items()}
    most = {field.name: max(getattr(turn, field.name) for turn in turns[WARN]) for field in fields(Turn)}
    cells = [
        NETWORKS[name]().name,
        f"{steps[IGNORE] / steps[BARE]:.3f}",
        f"{steps[WARN] / steps[IGNORE]:.3f}",
        f"{most['of_time']:.2%}",
        f"{most['of_cpu']:.2%}",
        f"{most['looks']}",
        f"{most['last'] * 1e3:.0f} ms",
        f"{most['megabytes']:.1f} MB",
    ]
    return f"| {' | '.join(cells)} |"


def train(name: str, variant: str, seconds: float) -> Turn:
    """Train for so long, as a user would, and return what it cost."""
    torch.set_num_threads(1)
    task, looks = NETWORKS[name](), _counted()
    if variant == BARE:
        return Turn(_steps(task, seconds))
    with tempfile.TemporaryDirectory() as folder, NetVizWriter(folder) as writer:
        writer.watch(task.model, task.optimizer, task.criterion, on_finding=variant)
        began, cpu = time.monotonic(), time.process_time()
        step = _steps(task, seconds)
        spent, passed, cpu = _of_thread(), time.monotonic() - began, time.process_time() - cpu
        kept, looked = writer.netviz_run()._lookout._archive.nbytes, len(looks)
        before_last = time.process_time()
        writer.close()
        last = time.process_time() - before_last if len(looks) > looked else 0.0
    return Turn(step, spent / passed, spent / cpu, last, looked, kept / 1e6)


def _steps(task: Task, seconds: float) -> float:
    """Train for so many seconds; return the CPU seconds a step."""
    began, ends, count = time.process_time(), time.monotonic() + seconds, 0
    while time.monotonic() < ends:
        task.step()
        count += 1
    return (time.process_time() - began) / count


def _counted() -> list[float]:
    """Return a list that gets an entry at each look."""
    looks: list[float] = []

    def look(run: Recorded) -> Report:
        looks.append(time.monotonic())
        return check(run)

    vars(lookout)["check"] = look
    return looks


def _of_thread() -> float:
    """Return the CPU seconds of the thread that checks, so far."""
    found = [thread.ident for thread in threading.enumerate() if thread.name == "netviz lookout"]
    return sum(time.clock_gettime(time.pthread_getcpuclockid(ident)) for ident in found if ident)


if __name__ == "__main__":
    main()
