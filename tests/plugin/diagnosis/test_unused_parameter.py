"""Gradients that never come: of a layer, and of all of them."""

import pytest
import torch
from torch import nn

from tb_netviz.pytorch import NetVizWriter
from tb_netviz.reading import read_runs
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


class BothWays(nn.Module):
    """Reads a sequence both ways and answers by its last place, where the backward half has read one place."""

    def __init__(self):
        super().__init__()
        self.rnn, self.head = nn.GRU(2, 6, batch_first=True, bidirectional=True), nn.Linear(12, 3)

    def forward(self, inputs):
        return self.head(self.rnn(inputs.view(-1, 4, 2))[0][:, -1])


class Weighted(nn.Module):
    """Weighs its inputs, and holds other weights for a sum that `forward` leaves out."""

    def __init__(self):
        super().__init__()
        self.shares, self.spare = nn.Parameter(torch.randn(8, 3)), nn.Parameter(torch.ones(8))

    def forward(self, inputs):
        return inputs @ self.shares


class Adapter(nn.Module):
    """Two matrices, of which the second begins at zero, so that the first has no gradient in the first step."""

    def __init__(self):
        super().__init__()
        self.down, self.up = nn.Parameter(torch.randn(8, 4)), nn.Parameter(torch.zeros(4, 3))

    def forward(self, inputs):
        return inputs @ self.down @ self.up


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


def test_a_recurrence_whose_gradient_is_exactly_zero_in_a_layer_that_learns(train, told):
    (finding,) = told(train(BothWays(), nn.CrossEntropyLoss(), batch), RULE)
    assert (finding.layers, finding.severity) == ((0,), Severity.WARNING)
    assert "rnn.weight_hh_l0_reverse never had a gradient but exactly 0" in finding.message


def test_a_parameter_without_one_in_a_layer_that_learns(train, told):
    (finding,) = told(train(Weighted(), nn.CrossEntropyLoss(), batch), RULE)
    assert (finding.layers, finding.severity) == ((0,), Severity.WARNING)
    assert "spare never had a gradient in 60 records" in finding.message


def test_an_adapter_that_begins_at_zero_is_left_alone(train, told):
    assert told(train(Adapter(), nn.CrossEntropyLoss(), batch), RULE) == []


def test_a_layer_that_gets_zeros_alone_and_learns_by_its_bias_is_left_alone(train, told):
    model = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))
    nn.init.constant_(model[0].bias, -100.0)
    assert told(train(model, nn.CrossEntropyLoss(), batch), RULE) == []


def test_a_bias_that_drops_out_is_left_alone(train, told):
    class Slope(nn.Sequential):
        def forward(self, inputs):
            inputs = inputs.requires_grad_()
            (slope,) = torch.autograd.grad(super().forward(inputs).sum(), inputs, create_graph=True)
            return slope[:, :3]

    model = Slope(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 1))
    assert told(train(model, nn.CrossEntropyLoss(), batch), RULE) == []


@pytest.mark.parametrize("set_to_none", [True, False])
def test_one_that_is_set_to_zero_before_the_step_follows_from_that(tmp_path, set_to_none):
    model = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1, on_finding="ignore")
        for step in range(40):
            inputs, targets = batch(step)
            loss = nn.functional.cross_entropy(model(inputs), targets)
            loss.backward()
            writer.add_scalar("loss/train", loss, writer.step)
            optimizer.zero_grad(set_to_none=set_to_none)
            optimizer.step()
    (run,) = read_runs(tmp_path)
    (finding,) = (one for one in run.report({}).findings if one.severity > Severity.INFO)
    assert (finding.rule, finding.layers) == ("layer_not_training", (0, 1))
    assert [one.rule for one in finding.consequences] == [RULE if set_to_none else "vanishing_gradient"]
