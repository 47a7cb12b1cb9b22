"""Training loops that check every column of every step by hand."""

import torch
from torch import nn

from tb_netviz.pytorch import NetVizWriter
from tests.support.watching import ByHand, assert_equal, read

RATE = 0.1


def network():
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2))


def sgd(model, **options):
    return torch.optim.SGD(model.parameters(), lr=RATE, **options)


def train(folder, model, loss_of, *, steps=4, optimizer=None, **options):
    """Train with plain SGD; check each column of each step by hand."""
    optimizer = sgd(model) if optimizer is None else optimizer
    by_hand = ByHand(model)
    with NetVizWriter(folder) as writer:
        writer.watch(model, optimizer, every=1, **options)
        for step in range(steps):
            loss_of(model).backward()
            assert writer.step == step
            by_hand.before()
            optimizer.step()
            by_hand.after(step)
            optimizer.zero_grad()
    return check(folder, by_hand, steps)


def check(folder, by_hand, steps, model=""):
    recording = read(folder, model)
    assert sorted(recording.tables) == list(range(steps))
    for step, table in recording.tables.items():
        assert_equal(table, by_hand.tables[step])
    return recording
