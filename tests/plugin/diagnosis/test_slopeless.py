"""Losses without a slope, which give the output itself no gradient, beside such as are satisfied or give one."""

import pytest
import torch
from torch import nn

from tb_netviz_plugin.diagnosis import Severity

FEATURES = 6
MIX = torch.randn(FEATURES, 1, generator=torch.Generator().manual_seed(1))


def batch(step):
    inputs = torch.randn(32, FEATURES, generator=torch.Generator().manual_seed(step))
    return inputs, (inputs @ MIX).sign()


def network(*behind):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(FEATURES, 16), nn.Tanh(), nn.Linear(16, 1), *behind)


def rounded(told, known):
    return (told.round() - known).square().mean()


def beyond_the_clamp(told, known):
    return (told - 9).clamp(-1, 1).mul(known.abs()).mean() + 3


def hinge(told, known):
    return (1 - told * known).clamp_min(0).mean()


def far_off(told, known):
    return (10 - told * known).clamp_min(0).mean()


def dead():
    model = network(nn.ReLU())
    nn.init.constant_(model[2].bias, -50.0)
    return model


@pytest.mark.parametrize("criterion", [rounded, beyond_the_clamp])
def test_a_loss_that_gives_the_output_no_gradient(train, criterion):
    (finding,) = train(network(), criterion, batch).report({}).findings
    assert (finding.rule, finding.severity, finding.layers) == ("loss_plateau", Severity.CRITICAL, ())
    assert (finding.first_step, finding.last_step) == (0, 59)
    assert "gives no gradient" in finding.message


def test_a_decay_that_shrinks_weights_meanwhile_follows_from_it(train):
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=2.0)
    causes = train(model, beyond_the_clamp, batch, 120, optimizer=optimizer).report({}).findings
    assert [cause.rule for cause in causes if cause.severity > Severity.INFO] == ["loss_plateau"]


@pytest.mark.parametrize(
    ("model", "criterion"),
    [
        pytest.param(network(), hinge, id="margins that come to be satisfied"),
        pytest.param(network(), far_off, id="a slope"),
        pytest.param(dead(), far_off, id="a dead output, to which the loss gives a gradient"),
    ],
)
def test_losses_that_give_one_or_are_satisfied(train, told, model, criterion):
    findings = told(train(model, criterion, batch, 120, rate=3e-2), "loss_plateau")
    assert [finding for finding in findings if finding.subject == "slopeless"] == []


def test_one_that_was_satisfied_from_the_first_is_left_alone(train):
    findings = train(network(), lambda told, known: hinge(9 * known + told, known), batch).report({}).findings
    assert [finding for finding in findings if finding.severity > Severity.INFO] == []
