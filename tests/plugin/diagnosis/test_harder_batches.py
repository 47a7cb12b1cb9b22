"""A loss that goes up and down with how hard its batches are, as where they come by size or season."""

import torch
from torch import nn

RULE, FEATURES, PERIOD = "loss_oscillation", 8, 24


def seasons(step):
    """Return a batch whose targets are farther apart in every other season."""
    generator = torch.Generator().manual_seed(step)
    inputs = torch.randn(64, FEATURES, generator=generator)
    wide = 1 + 2 * (step % PERIOD < PERIOD // 2)
    targets = wide * (torch.sin(2 * inputs[:, :1]) + 0.5 * torch.randn(64, 1, generator=generator))
    return inputs, targets


def test_a_loss_that_follows_its_batches_is_not_swung_by_its_steps(train, told):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 32), nn.Tanh(), nn.Linear(32, 1))
    run = train(model, nn.MSELoss(), seasons, steps=300, rate=5e-3)
    assert told(run, RULE) == []
