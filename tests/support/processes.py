"""Runs a function in several processes of one distributed run."""

from __future__ import annotations

import ctypes
import faulthandler
import pickle
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch._C._distributed_c10d import TCPStore  # Where its type is.
from torch.multiprocessing.spawn import start_processes

from tb_netviz.events import NetVizWarning
from tests.support.forks import FORKS


@dataclass
class Outcome:
    """What one process came to.

    Attributes:
        value: What the function returned.
        warnings: What netviz told its user.
    """

    value: Any
    warnings: list[str]


def run_processes(
    function: Callable[..., Any], count: int, folder: Path, *args: Any, limit: float = 60
) -> list[Outcome]:
    """Call `function(rank, *args)` in `count` processes that are joined over gloo.

    Args:
        function: Of a module's top level.
        count: Of processes.
        folder: Takes what they return.
        args: Further arguments.
        limit: Seconds after which they count as deadlocked.
    """
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    context = start_processes(
        _work,
        (store.port, count, function, folder, args, limit),
        nprocs=count,
        join=False,
        start_method=FORKS.get_start_method(),
    )
    assert context is not None
    deadline = time.monotonic() + limit
    try:
        while not context.join(timeout=0.2):
            assert time.monotonic() < deadline, f"{count} processes are not done after {limit} s: a deadlock"
    finally:
        for process in context.processes:
            process.kill()
    return [pickle.loads((folder / f"outcome-{rank}").read_bytes()) for rank in range(count)]


def _work(
    rank: int, port: int, count: int, function: Callable[..., Any], folder: Path, args: tuple[Any, ...], limit: float
) -> None:
    faulthandler.dump_traceback_later(limit - 3)  # Says where, if it is a deadlock.
    torch.set_num_threads(1)
    store = TCPStore("127.0.0.1", port, is_master=False, timeout=timedelta(seconds=30))
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=count)
    _keep_for_good(torch.distributed.group.WORLD)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value = function(rank, *args)
    told = [str(warning.message) for warning in caught if issubclass(warning.category, NetVizWarning)]
    (folder / f"outcome-{rank}").write_bytes(pickle.dumps(Outcome(value, told)))
    torch.distributed.destroy_process_group()


def _keep_for_good(group: Any) -> None:
    """Keep a gloo group from ever being freed: torch 2.13 may hang there.

    Its destructor waits, with the interpreter's lock held, for a thread that needs the lock to free the last collective
    of the backward pass. A training that ends its group right after its last step hangs in one run out of three,
    watched or not.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(group))
