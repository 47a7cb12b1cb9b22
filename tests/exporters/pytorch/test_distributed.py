"""Two processes train one model; the first records the gradients that both were given."""

import socket

import pytest
import torch
from torch import nn
from torch._C._distributed_c10d import TCPStore  # Where its type is.
from torch.multiprocessing.spawn import start_processes
from torch.nn.parallel import DistributedDataParallel

from tb_netviz.pytorch import NetVizWriter
from tests.support.watching import ByHand, assert_equal, read

STEPS = 3


def work(rank, port, folder, expected):
    torch.set_num_threads(1)
    store = TCPStore("127.0.0.1", port, 2, rank == 0)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    parallel = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(parallel.parameters(), lr=0.1)
    by_hand = ByHand(model)
    with NetVizWriter(folder / str(rank)) as writer:
        writer.watch(parallel, optimizer, every=1, histograms=False)
        torch.manual_seed(rank)  # Each process has data of its own.
        for step in range(STEPS):
            parallel(torch.randn(8, 4)).square().mean().backward()
            assert writer.step == step
            by_hand.before()
            optimizer.step()
            by_hand.after(step)
            optimizer.zero_grad()
    torch.save(by_hand.tables, expected / f"{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_the_first_process_records_the_reduced_gradients_and_the_others_nothing(tmp_path, port):
    start_processes(work, (port, tmp_path, tmp_path), nprocs=2, start_method="spawn")
    recording = read(tmp_path / "0")
    expected = torch.load(tmp_path / "0.pt", weights_only=False)
    assert sorted(recording.tables) == list(range(STEPS))
    for step, table in recording.tables.items():
        assert_equal(table, expected[step])
    assert [row.name for row in recording.description.parameters] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    other = read(tmp_path / "1")
    assert other.description is None
    assert not other.tables
