"""What other tools cost that look into training, beside netviz: at every step, and by default.

    python -m benchmarks.peers [--rounds N] [--task mlp|cnn|lm] [--peer NAME] [--limit SECONDS]

How each is set up, and where its default comes from: docs/benchmarks.md. Each tool is timed in a process of
its own, in turns with the same training without it (see `interleave.py`). One thread.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import sys
import warnings

import torch

from benchmarks import isolation
from benchmarks.interleave import Ratio
from benchmarks.models import TASKS
from benchmarks.watchers.cockpit_quantities import COCKPIT
from benchmarks.watchers.delve_saturation import DELVE
from benchmarks.watchers.histograms import HISTOGRAMS
from benchmarks.watchers.lightning_norms import LIGHTNING
from benchmarks.watchers.netviz import BARE, NETVIZ
from benchmarks.watchers.plot_grad_flow import PLOT_GRAD_FLOW
from benchmarks.watchers.torchexplorer_watch import TORCHEXPLORER
from benchmarks.watchers.trial import Watcher, run
from benchmarks.watchers.wandb_watch import WANDB

# In the order of the table.
WATCHERS: dict[str, Watcher] = {
    "bare": BARE,
    "netviz": NETVIZ,
    "plot_grad_flow": PLOT_GRAD_FLOW,
    "add_histogram": HISTOGRAMS,
    "wandb": WANDB,
    "torchexplorer": TORCHEXPLORER,
    "delve": DELVE,
    "lightning": LIGHTNING,
    "cockpit": COCKPIT,
}

DISTRIBUTIONS = (
    "torch",
    "tensorboard",
    "matplotlib",
    "wandb",
    "torchexplorer",
    "delve",
    "lightning",
    "cockpit-for-pytorch",
    "backpack-for-pytorch",
)

# For the processes that are timed. NumPy's threads wait busily: two of them double what `add_histogram` costs.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def main() -> None:
    """Measure every tool on every network and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="counted turns of every variant (default 5)")
    parser.add_argument("--task", choices=TASKS, action="append", help="only this network; may be repeated")
    parser.add_argument("--peer", choices=WATCHERS, action="append", help="only this tool; may be repeated")
    parser.add_argument("--limit", type=float, default=600, help="seconds for one cell of a table (default 600)")
    arguments, _ = parser.parse_known_args()
    os.environ.update(ONE_THREAD)
    tasks, peers = arguments.task or list(TASKS), arguments.peer or list(WATCHERS)
    print(", ".join(_versions()))
    rows = {peer: _rows(peer, tasks, arguments.rounds, arguments.limit) for peer in peers}
    names = [TASKS[task]().name for task in tasks]
    _print_table("Recording at every step", names, {WATCHERS[peer].label: rows[peer][0] for peer in peers})
    _print_table("By default", names, {WATCHERS[peer].default: rows[peer][1] for peer in peers})


def _rows(peer: str, tasks: list[str], rounds: int, limit: float) -> tuple[list[str], list[str]]:
    """Return the cells of `peer` in both tables, one for each of `tasks`."""
    cells = [_cells(peer, task, rounds, limit) for task in tasks]
    return [every for every, _ in cells], [default for _, default in cells]


def _print_table(title: str, names: list[str], rows: dict[str, list[str]]) -> None:
    print(f"\n{title}\n\n| × the same training without it | {' | '.join(names)} |")
    print("|---" * (len(names) + 1) + "|")
    for label, cells in rows.items():
        print(f"| {label} | {' | '.join(cells)} |")


def _versions() -> list[str]:
    installed = {distribution.name.lower(): distribution.version for distribution in importlib.metadata.distributions()}
    return [f"{name} {installed.get(name, 'not installed')}" for name in DISTRIBUTIONS]


def _cells(peer: str, task: str, rounds: int, limit: float) -> tuple[str, str]:
    """Return what the two tables say of `peer` on `task`: at every step, and by default."""
    if importlib.util.find_spec(WATCHERS[peer].module) is None:
        return "not installed", "not installed"
    every = _cell(peer, task, rounds, limit, default=False)
    default = _cell(peer, task, rounds, limit, default=True) if WATCHERS[peer].at_default else every
    print(f"{peer}, {task}: {every}; {default}", file=sys.stderr)  # The tables come at the end.
    return every, default


def _cell(peer: str, task: str, rounds: int, limit: float, *, default: bool) -> str:
    try:
        ratio: Ratio = isolation.call(_measured, peer, task, rounds, default, seconds=limit)
    except isolation.CallFailedError as failure:
        return f"fails: {failure}"
    note = f", {ratio.name}" if ratio.name else ""
    return f"{ratio.median:.2f} ({ratio.low:.2f} – {ratio.high:.2f}){note}"


def _measured(peer: str, task: str, rounds: int, default: bool) -> Ratio:
    """Time `peer` on `task`; called in a process of its own."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    watcher = WATCHERS[peer]
    opened = watcher.at_default if default and watcher.at_default else watcher.at_every_step
    with opened(TASKS[task]) as trial:
        return run(trial, rounds)


if __name__ == "__main__":
    main()
