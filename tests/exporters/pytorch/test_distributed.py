"""Two processes train one model; the first records the gradients that both were given."""

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from tb_netviz.pytorch import NetVizWriter
from tests.support.processes import run_processes
from tests.support.watching import ByHand, assert_equal, read

STEPS = 3


def work(rank, folder):
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
        if rank == 1:
            writer.add_scalar("mine", 1.0)
    return by_hand.tables


def test_the_first_process_records_the_reduced_gradients_and_the_others_nothing(tmp_path):
    first, second = run_processes(work, 2, tmp_path, tmp_path)
    recording = read(tmp_path / "0")
    assert sorted(recording.tables) == list(range(STEPS))
    for step, table in recording.tables.items():
        assert_equal(table, first.value[step])
        assert_equal(table, second.value[step])
    assert [row.name for row in recording.description.parameters] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert not recording.description.omissions
    samples = {name: recording.unit_steps[STEPS - 1][name]["samples"] for name in ("0", "1", "2")}
    assert samples["1"] >= 8  # Those of this process, and what the other one had told by then.
    assert set(samples.values()) == {samples["1"]}
    other = read(tmp_path / "1")
    assert other.description is None
    assert not other.tables
    assert other.scalars["mine"] == [(STEPS - 1, 1.0)]  # What its user logs is the user's.
    assert first.warnings == second.warnings == []
