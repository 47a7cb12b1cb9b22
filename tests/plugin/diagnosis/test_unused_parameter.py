"""Gradients that never come: of a layer, and of all of them."""

import torch
from torch import nn

from tb_netviz_plugin.diagnosis import Severity

RULE = "unused_parameter"


class Spared(nn.Module):
    """Two layers, of which the second is not called."""

    def __init__(self):
        super().__init__()
        self.used, self.spare = nn.Linear(8, 3), nn.Linear(8, 3)

    def forward(self, inputs):
        return self.used(inputs)


def batch(step):
    return torch.randn(32, 8, generator=torch.Generator().manual_seed(step)), torch.arange(32) % 3


def cut(outputs, targets):
    """Return the loss as a tensor made anew, which `backward` takes without a word."""
    return torch.tensor(nn.functional.cross_entropy(outputs, targets).item(), requires_grad=True)


def test_a_layer_without_one_beside_others(train, told):
    (finding,) = told(train(Spared(), nn.CrossEntropyLoss(), batch), RULE)
    assert (finding.layers, finding.severity) == ((1,), Severity.WARNING)
    assert "spare never had a gradient" in finding.message


def test_a_loss_that_is_cut_off_from_the_whole_network(train, told):
    (finding,) = told(train(Spared(), cut, batch), RULE)
    assert (finding.layers, finding.severity, finding.first_step) == ((0, 1), Severity.CRITICAL, 0)
    assert "No layer of 2 had a gradient in 60 records" in finding.message
    assert finding.remedies[0].code == "assert loss.grad_fn is not None"


def test_a_network_that_is_frozen_is_left_alone(train, told):
    model = Spared().requires_grad_(False)
    assert told(train(model, cut, batch, optimizer=torch.optim.SGD(model.parameters(), lr=0.1)), RULE) == []


class Guessing(torch.optim.Optimizer):
    """Moves weights at random, and asks for no gradient."""

    def __init__(self, parameters):
        super().__init__(parameters, {})

    @torch.no_grad()
    def step(self, closure=None):
        for value in self.param_groups[0]["params"]:
            value.add_(1e-3 * torch.randn_like(value))


def test_an_optimizer_that_needs_no_gradient_is_left_alone(train, told):
    model = Spared()
    assert told(train(model, cut, batch, optimizer=Guessing(model.parameters())), RULE) == []
