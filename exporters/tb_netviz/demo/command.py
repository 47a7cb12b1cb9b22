"""`tb-netviz demo`: train the three networks, then open what happened."""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path

import torch

from tb_netviz.demo import digits, serving
from tb_netviz.demo.folders import fresh_runs
from tb_netviz.demo.networks import EXPERIMENTS
from tb_netviz.demo.training import train


def run(arguments: argparse.Namespace) -> None:
    """Train into `arguments.logdir` and, unless `arguments.no_serve`, show it until interrupted.

    Raises:
        UnwritableError: If the log folder can't be written.
        ServerError: If TensorBoard does not start.
    """
    log_dir = Path(arguments.logdir)
    folders = fresh_runs(log_dir, [experiment.name for experiment in EXPERIMENTS])
    torch.set_num_threads(1)  # Faster for layers this small, and the same on every machine.
    data = digits.load()
    for experiment in EXPERIMENTS:
        train(experiment, data, folders[experiment.name], arguments.steps or experiment.steps)
    names = [folder.name for folder in folders.values()]
    if arguments.no_serve:
        print(f"Wrote {', '.join(names)} below {log_dir}. To look at them: tensorboard --logdir {log_dir}")
        return
    with serving.tensorboard(log_dir, arguments.port) as server:
        print(f"\nOpen {server.link(server.worst(names))}\nCtrl+C ends TensorBoard.", flush=True)
        with suppress(KeyboardInterrupt):
            server.wait()
