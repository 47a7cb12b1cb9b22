"""Under DDP the norm before clipping is that of the reduced gradient; sharded ones are left alone."""

import pytest
import torch
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from tb_netviz.pytorch import NetVizWriter
from tests.support.processes import run_processes
from tests.support.watching import read

STEPS = 4


def train(rank, folder, wrap):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    wrapped = wrap(model)
    optimizer = torch.optim.SGD(wrapped.parameters(), lr=0.1)
    norms, hooks = [], []
    with NetVizWriter(folder / str(rank)) as writer:
        writer.watch(wrapped, optimizer, every=1, histograms=False)
        torch.manual_seed(rank)  # Each process has data of its own.
        for step in range(STEPS):
            with wrapped.no_sync() if hasattr(wrapped, "no_sync") else torch.enable_grad():
                wrapped(torch.randn(8, 4)).square().mean().backward()
            wrapped(torch.randn(8, 4)).square().mean().backward()
            hooks.append(sum(bool(parameter._post_accumulate_grad_hooks) for parameter in model.parameters()))
            norms.append(nn.utils.clip_grad_norm_(wrapped.parameters(), 0.01 if step % 2 else 1e3))
            optimizer.step()
            optimizer.zero_grad()
    return [float(getattr(norm, "full_tensor", lambda norm=norm: norm)()) for norm in norms], hooks


def replicated(rank, folder):
    return train(rank, folder, DistributedDataParallel)


def sharded(rank, folder):
    return train(rank, folder, fully_shard)


def test_ddp(tmp_path):
    first, second = run_processes(replicated, 2, tmp_path, tmp_path)
    norms, _ = first.value
    recording = read(tmp_path / "0")
    before = [value for _, _, value in recording.metrics["netviz/gradient_norm_before_clipping"]]
    assert before == pytest.approx(norms, rel=1e-5)
    assert [value for _, _, value in recording.metrics["netviz/clipped"]] == [0, 1, 0, 1]
    assert second.value[1][1:] == [0] * (STEPS - 1)  # Who records nothing listens to nothing.
    assert first.warnings == second.warnings == []


def test_fsdp2(tmp_path):
    outcomes = run_processes(sharded, 2, tmp_path, tmp_path)
    assert all(outcome.warnings == [] for outcome in outcomes)
    recording = read(tmp_path / "0")
    assert sorted(recording.tables) == list(range(STEPS))
    assert "netviz/clipped" not in recording.metrics
