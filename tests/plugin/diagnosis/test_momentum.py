"""A momentum that carries the weights past where they ought to end, on all data at once."""

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam

FEATURES = 6


def everything(_):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(64, FEATURES, generator=generator)
    return inputs, inputs.sum(dim=1, keepdim=True)


@pytest.mark.parametrize(
    ("make", "told_of"),
    [
        (lambda parameters: SGD(parameters, lr=0.05, momentum=0.995), "momentum of 0.995"),
        (lambda parameters: SGD(parameters, lr=0.05, momentum=0.9), None),
        (lambda parameters: SGD(parameters, lr=1e-5, momentum=0.995), None),
        (lambda parameters: Adam(parameters, lr=1e-3, betas=(0.99, 0.999)), None),
    ],
)
def test_a_heavy_momentum(train, told, make, told_of):
    torch.manual_seed(0)
    model = nn.Linear(FEATURES, 1)
    run = train(model, nn.MSELoss(), everything, steps=200, optimizer=make(model.parameters()))
    found = [finding for finding in told(run, "loss_oscillation") if "momentum" in finding.message]
    assert [told_of in finding.message for finding in found] == ([True] if told_of else [])
    assert all(finding.remedies[0].code.endswith("momentum=0.5)") for finding in found)


def test_batches_of_two_kinds_that_take_turns_are_no_swings(train, told):
    generator = torch.Generator().manual_seed(0)

    def in_turn(step):
        inputs = (1.0 + 2.0 * (step % 2)) * torch.randn(64, FEATURES, generator=generator) + step % 2
        return inputs, inputs.sum(dim=1, keepdim=True) + (step % 2) * torch.randn(64, 1, generator=generator)

    torch.manual_seed(0)
    model = nn.Linear(FEATURES, 1)
    run = train(model, nn.MSELoss(), in_turn, steps=300, optimizer=SGD(model.parameters(), lr=1e-4, momentum=0.98))
    assert told(run, "loss_oscillation") == []
