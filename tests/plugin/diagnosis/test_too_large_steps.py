"""What becomes of short trainings whose first steps overwrite the weights, beside the same ones at sound rates."""

import pytest
import torch
from torch import nn
from torch.nn import functional

FEATURES, CLASSES = 10, 4
MIX = torch.randn(FEATURES, CLASSES, generator=torch.Generator().manual_seed(3))


def drawn(step):
    inputs = torch.randn(64, FEATURES, generator=torch.Generator().manual_seed(step))
    return inputs, (inputs @ MIX).argmax(1)


def earns(scores, best):
    """Return the loss of a policy whose actions are drawn, each of which earns 1 where it is the best."""
    actions = torch.distributions.Categorical(logits=scores.detach()).sample()
    earned = (actions == best).float()
    return -((earned - earned.mean()) * functional.log_softmax(scores, 1).gather(1, actions[:, None])[:, 0]).mean()


@pytest.mark.parametrize(("rate", "expected"), [(1.0, ["lr_too_high"]), (5e-3, [])])
def test_units_that_get_stuck_at_the_ends_of_their_function_show_it_without_a_loss_that_tells(train, rate, expected):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, CLASSES))
    run = train(model, earns, drawn, steps=150, rate=rate)
    found = [finding for finding in run.report({}).findings if finding.severity.id != "info"]
    assert [finding.rule for finding in found] == expected
    assert all("Tanh are at the ends of their function since step" in finding.message for finding in found)


@pytest.mark.parametrize(("rate", "expected"), [(1e-6, ["lr_too_low"]), (3e-3, [])])
def test_a_new_head_on_a_frozen_network_that_gets_nowhere(train, rate, expected):
    torch.manual_seed(1)
    backbone = nn.Sequential(nn.Linear(FEATURES, 128), nn.ReLU()).requires_grad_(requires_grad=False)
    model = nn.Sequential(backbone, nn.Linear(128, CLASSES))
    optimizer = torch.optim.Adam(model[1].parameters(), lr=rate)
    run = train(model, nn.CrossEntropyLoss(), drawn, steps=150, optimizer=optimizer)
    found = [finding for finding in run.report({}).findings if finding.severity.id != "info"]
    assert [finding.rule for finding in found] == expected
