"""Classifiers that begin by being sure of what they have not learned."""

import pytest
import torch
from torch import nn

from tb_netviz_plugin.diagnosis import Severity

RULE = "poor_init"


def network(scale):
    """Return a classifier whose second layer's weights are that much too large."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))
    with torch.no_grad():
        model[2].weight *= scale
    return model


def batch(step):
    generator = torch.Generator().manual_seed(step)
    return torch.randn(64, 8, generator=generator), torch.randint(4, (64,), generator=generator)


def run(train, scale, criterion=None):
    return train(network(scale), criterion or nn.CrossEntropyLoss(), batch, steps=30, rate=1e-6)


def test_a_first_loss_far_above_that_of_guessing(train, told):
    (finding,) = told(run(train, 2000), RULE)
    assert (finding.layers, finding.first_step, finding.severity) == ((1,), 0, Severity.WARNING)
    assert "guessing among 4 classes costs 1.4" in finding.message


def test_also_where_the_loss_is_a_function(train, told):
    assert told(run(train, 2000, nn.functional.cross_entropy), RULE)


@pytest.mark.parametrize("scale", [1, 50])
def test_a_loss_near_that_of_guessing_is_left_alone(train, told, scale):
    assert told(run(train, scale), RULE) == []


def test_scores_of_another_loss_may_be_of_any_size(train, told):
    assert told(run(train, 2000, nn.MultiMarginLoss()), RULE) == []


def test_large_inputs_are_not_the_weights(train, told):
    def bytes_of(step):
        inputs, targets = batch(step)
        return 2000 * inputs, targets

    assert told(train(network(1), nn.CrossEntropyLoss(), bytes_of, steps=30, rate=1e-6), RULE) == []


class Multiplied(nn.Sequential):
    """Multiplies its scores, as by a temperature."""

    def __init__(self, factor):
        super().__init__(*network(1))
        self.factor = factor

    def forward(self, inputs):
        return self.factor * super().forward(inputs)


@pytest.mark.parametrize(("factor", "expected"), [(20.0, 0), (10_000.0, 1)])
def test_scores_that_are_multiplied_after_all_layers(train, told, factor, expected):
    findings = told(train(Multiplied(factor), nn.CrossEntropyLoss(), batch, steps=30, rate=1e-6), RULE)
    assert ["something multiplies it" in finding.message for finding in findings] == [True] * expected


@pytest.mark.parametrize("deviation", [1.0, 0.2])
def test_weights_that_are_too_large_everywhere_need_less_of_a_first_loss(train, told, deviation):
    model = network(1)
    for layer in model[::2]:
        nn.init.normal_(layer.weight, std=deviation)
    findings = told(train(model, nn.CrossEntropyLoss(), batch, steps=30, rate=1e-6), RULE)
    assert [finding.layers for finding in findings] == ([(0, 1, 2)] if deviation == 1.0 else [])


class Tied(nn.Module):
    """Tells the next of 30 words by the table with which it looks words up."""

    def __init__(self, deviation, *, module):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.mix = nn.Embedding(30, 32), nn.Sequential(nn.Linear(32, 32), nn.LayerNorm(32))
        nn.init.normal_(self.embed.weight, std=deviation)
        self.head = nn.Linear(32, 30, bias=False) if module else None
        if module:
            self.head.weight = self.embed.weight

    def forward(self, words):
        hidden = self.mix(self.embed(words))
        return self.head(hidden) if self.head else nn.functional.linear(hidden, self.embed.weight)


@pytest.mark.parametrize("module", [True, False])
@pytest.mark.parametrize(("deviation", "expected"), [(1.0, 1), (0.02, 0)])
def test_a_head_that_shares_a_table_which_is_too_large(train, told, deviation, expected, module):
    def words(step):
        drawn = torch.randint(30, (64, 2), generator=torch.Generator().manual_seed(step))
        return drawn[:, 0], drawn[:, 1]

    findings = told(train(Tied(deviation, module=module), nn.CrossEntropyLoss(), words, steps=30, rate=1e-6), RULE)
    assert ["guessing among 30 classes costs 3.4" in finding.message for finding in findings] == [True] * expected
    assert [finding.layers for finding in findings] == [(0,)] * expected


@pytest.mark.parametrize("criterion", [nn.MSELoss(), nn.BCELoss()])
@pytest.mark.parametrize(("scale", "expected"), [(300.0, 1), (1.0, 0)])
def test_outputs_of_a_sigmoid_that_begin_decided(train, told, criterion, scale, expected):
    torch.manual_seed(0)
    layer = nn.Linear(8, 1)
    with torch.no_grad():
        layer.weight *= scale
    model = nn.Sequential(layer, nn.Sigmoid())

    def yes_or_no(step):
        inputs, targets = batch(step)
        return inputs, (targets[:, None] > 1).float()

    findings = told(train(model, criterion, yes_or_no, steps=30, rate=1e-6), RULE)
    assert ["begin next to 0 and 1" in finding.message for finding in findings] == [True] * expected


def test_outputs_that_were_learned_before_may_well_be_decided(train, told):
    layer = nn.Linear(8, 1, bias=False)
    with torch.no_grad():
        layer.weight *= 300
    model = nn.Sequential(layer, nn.Sigmoid())

    def learned(step):
        inputs = batch(step)[0]
        return inputs, (layer(inputs) > 0).detach().float()

    findings = told(train(model, nn.MSELoss(), learned, steps=30, rate=1e-6), RULE)
    assert not any("begin next to 0 and 1" in finding.message for finding in findings)
