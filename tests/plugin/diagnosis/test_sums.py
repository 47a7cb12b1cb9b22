"""A signal that grows with each layer by sums over neighbours, though the weights are of a common scale."""

import pytest
import torch
from torch import nn

from tb_netviz_plugin.diagnosis import Severity

RULE = "exploding_gradient"
NODES, NEIGHBOURS, WIDTH, DEPTH = 60, 24, 16, 6


def graph():
    drawn = torch.rand(NODES, NODES, generator=torch.Generator().manual_seed(5)).topk(NEIGHBOURS).indices
    return torch.zeros(NODES, NODES).scatter_(1, drawn, 1.0)


class Sums(nn.Module):
    """Adds up what the neighbours put out, at some scale."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(DEPTH))
        self.head = nn.Linear(WIDTH, 1)
        self.register_buffer("edges", graph() * scale)

    def forward(self, hidden):
        for layer in self.layers:
            hidden = torch.relu(layer(self.edges @ hidden))
        return self.head(hidden)


def drawn(step):
    inputs = torch.rand(NODES, WIDTH, generator=torch.Generator().manual_seed(step))
    return inputs, inputs[:, :1]


@pytest.fixture
def trained(train):
    def of(model, loss=nn.MSELoss):
        return train(model, loss(), drawn, 60, rate=1e-3)

    return of


def test_sums_over_neighbours_are_the_one_cause(trained):
    torch.manual_seed(0)
    (cause,) = (one for one in trained(Sums()).report({}).findings if one.severity > Severity.INFO)
    assert (cause.rule, cause.severity, cause.first_step) == (RULE, Severity.CRITICAL, 0)
    assert cause.message.startswith("The signal grows ")
    assert cause.layers == (1, 2, 3, 4, 5)
    assert cause.beyond.measured == pytest.approx(cause.evidence[1].values[0] / cause.evidence[0].values[0])


def test_means_over_neighbours_keep_the_scale(trained, told):
    torch.manual_seed(0)
    assert told(trained(Sums(1 / NEIGHBOURS)), RULE) == []


def test_weights_that_begin_too_large_are_told_as_that(trained, told):
    torch.manual_seed(0)
    model = Sums(1 / NEIGHBOURS)
    with torch.no_grad():
        for layer in model.layers:
            layer.weight.mul_(24)
    run = trained(model)
    assert [finding for finding in told(run, RULE) if finding.subject] == []
    assert "poor_init" in {finding.rule for finding in run.report({}).findings}


def test_a_signal_that_grows_under_a_small_gradient_does_no_harm(trained, told):
    torch.manual_seed(0)
    run = trained(Sums(), loss=lambda: lambda outputs, _targets: nn.functional.softsign(outputs).mean())
    assert [finding for finding in told(run, RULE) if finding.subject] == []


def test_a_gradient_that_is_large_in_its_unit_is_no_explosion_where_the_loss_falls(train, told):
    torch.manual_seed(0)
    steps = iter(range(60))
    run = train(Sums(), lambda outputs, _targets: 0.9 ** next(steps) * outputs.square().mean(), drawn, 60, rate=1e-9)
    assert [finding for finding in told(run, RULE) if finding.subject] == []
