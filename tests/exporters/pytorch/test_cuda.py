"""On a GPU: the same numbers as by hand, and a training thread that never waits."""

import pytest
import torch
from torch import nn

from tb_netviz.pytorch import NetVizWriter
from tests.support.watching import ByHand, assert_equal, read

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

STEPS = 12


@pytest.fixture
def no_waiting():
    """Let any operation that waits for the device fail."""
    torch.cuda.set_sync_debug_mode("error")
    yield
    torch.cuda.set_sync_debug_mode("default")


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10)).cuda()


def test_the_training_thread_never_waits(tmp_path, no_waiting):
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    inputs = torch.zeros(32, 64, device="cuda")
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for _ in range(STEPS):
            model(inputs).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
        torch.cuda.set_sync_debug_mode("default")
    assert read(tmp_path).tables


def test_columns_are_those_by_hand(tmp_path):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    by_hand = ByHand(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(STEPS):
            model(torch.randn(32, 64, device="cuda")).square().mean().backward()
            by_hand.before()
            optimizer.step()
            by_hand.after(step)
            optimizer.zero_grad()
            torch.cuda.synchronize()  # So that every step arrives in time.
    recording = read(tmp_path)
    assert sorted(recording.tables) == list(range(STEPS))
    for step, table in recording.tables.items():
        assert_equal(table, by_hand.tables[step])


def test_a_watched_training_is_bit_for_bit_the_bare_one(tmp_path):
    def train(watched):
        model = network()
        optimizer = torch.optim.AdamW(model.parameters())
        torch.manual_seed(1)
        with NetVizWriter(tmp_path) as writer:
            if watched:
                writer.watch(model, optimizer, every=1)
            for _ in range(STEPS):
                model(torch.randn(32, 64, device="cuda")).square().mean().backward()
                optimizer.step()
                optimizer.zero_grad()
        return [*model.state_dict().values(), torch.rand(3, device="cuda")]

    torch.use_deterministic_algorithms(True)
    try:
        assert all(torch.equal(one, two) for one, two in zip(train(False), train(True), strict=True))
    finally:
        torch.use_deterministic_algorithms(False)
