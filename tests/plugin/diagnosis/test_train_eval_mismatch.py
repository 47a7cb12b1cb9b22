"""Validation losses of networks that do something else in evaluation, and of others."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.support.modelled import Model, falling, flat, found

RULE = "train_eval_mismatch"
FEATURES, CLASSES = 10, 4
MIX = torch.randn(FEATURES, CLASSES, generator=torch.Generator().manual_seed(3))


def drawn(step, count=64, scale=1.0):
    inputs = torch.randn(count, FEATURES, generator=torch.Generator().manual_seed(step))
    return scale * inputs, (inputs @ MIX).argmax(1)


def network(momentum=0.1, *, norm=True):
    torch.manual_seed(0)
    layers = [nn.Linear(FEATURES, 32), nn.BatchNorm1d(32, momentum=momentum) if norm else nn.Identity(), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(32, CLASSES))


def validating(model, inputs, targets, every=15, reduction="mean", *, copied=False):
    def validate(step):
        if step % every != every - 1:
            return None
        used = copy.deepcopy(model) if copied else model  # Of a copy, what goes into it is not seen.
        used.eval()
        with torch.no_grad():
            loss = functional.cross_entropy(used(inputs), targets, reduction=reduction)
        used.train()
        return loss

    return validate


def test_running_statistics_that_stay_where_they_began(train, told):
    model = network(momentum=1e-5)

    def shifted(step, count=64):
        inputs, targets = drawn(step, count)
        return inputs + 30, targets

    validate = validating(model, *shifted(10_000, 256))
    run = train(model, nn.CrossEntropyLoss(), shifted, 150, validate=validate)
    (finding,) = told(run, RULE)
    assert finding.severity.id == "warning"
    assert finding.first_step == 0
    assert "the running statistics of 1 still hold 100%" in finding.message


def test_statistics_that_lag_behind_are_named_though_both_losses_fall_alike():
    (finding,) = found(RULE, normalised(), train=QUICK, val=40 * QUICK)
    assert "With a momentum of 0.0001" in finding.message


@pytest.mark.parametrize(("first", "expected"), [(20.0, 1), (8.0, 0)])
def test_a_validation_far_worse_than_ignorance_however_much_was_learned_by_then(first, expected):
    model = normalised(momentum="")
    trained = np.concatenate([np.full(6, 2.3), np.geomspace(2.3, 0.1, 6), np.geomspace(0.1, 0.001, 48)])
    held_out = np.where(np.arange(60) < 12, np.nan, first)
    assert len(found(RULE, model, train=trained, val=held_out)) == expected


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_network_that_is_as_good_in_evaluation(train, told, reduction):
    model = network()
    validate = validating(model, *drawn(10_000, 256), reduction=reduction)
    assert told(train(model, nn.CrossEntropyLoss(), drawn, 150, validate=validate), RULE) == []


@pytest.mark.parametrize("count", [16, 64])
def test_learning_by_heart(train, told, count):
    def batch(_step):
        inputs, _ = drawn(0, count)
        return inputs, torch.arange(count) % CLASSES  # Nothing else can be learned.

    model = network()
    validate = validating(model, drawn(1, 256)[0], torch.arange(256) % CLASSES)
    assert told(train(model, nn.CrossEntropyLoss(), batch, 200, validate=validate), RULE) == []


def test_without_a_module_that_differs_between_modes(train, told):
    model = network(norm=False)
    inputs, targets = drawn(10_000, 256, 10.0)
    validate = validating(model, inputs, (targets + 1) % CLASSES, copied=True)  # Other labels are another fault.
    assert told(train(model, nn.CrossEntropyLoss(), drawn, 150, validate=validate), RULE) == []


def test_data_that_are_prepared_differently_without_such_a_module(train, told):
    model, (inputs, targets) = network(norm=False), drawn(10_000, 256)
    validate = validating(model, 0.01 * inputs, targets, copied=True)
    (finding,) = told(train(model, nn.CrossEntropyLoss(), drawn, 150, validate=validate), RULE)
    assert finding.severity.id == "warning"
    assert "not prepared as it is in training" in finding.message


QUICK = np.append(falling(20), flat(40, 0.14))


def normalised(momentum=", momentum 0.0001", scale=1.0, **about):
    """Return a model whose normalisations say so of their momentum, and whose scales begin at `scale`."""
    model = Model(**about)
    modules = [
        replace(one, type="BatchNorm2d", detail=f"16 channels{momentum}") if one.name.endswith("norm") else one
        for one in model.description.modules
    ]
    model.description = replace(model.description, modules=tuple(modules))
    sizes = np.array([row.elements for row in model.description.parameters])
    rows = [row.name.endswith("norm.weight") for row in model.description.parameters]
    model.weights[:, rows] = scale * np.sqrt(sizes[rows])
    return model


def test_running_statistics_that_lag_behind():
    (finding,) = found(RULE, normalised(), train=QUICK, val=falling(end=1.0))
    assert (finding.first_step, finding.last_step, finding.severity.id) == (0, 590, "warning")
    assert "With a momentum of 0.0001" in finding.message
    assert finding.layers == tuple(range(2, 17, 2))
    assert finding.beyond.measured == pytest.approx((1 - 1e-4) ** 591)


@pytest.mark.parametrize(
    ("about", "end"),
    [
        ({"momentum": ""}, 1.0),  # The usual one.
        ({"momentum": ", momentum 0.01"}, 1.0),  # They had time enough.
        ({"momentum": ", cumulative"}, 1.0),
        ({"scale": 0.5}, 1.0),  # Trained before: so were the statistics.
        ({"interval": 1}, 1.0),  # A few steps.
        ({}, 0.1),  # It does no harm.
    ],
)
def test_running_statistics_that_follow_or_do_no_harm(about, end):
    assert found(RULE, normalised(**about), train=QUICK, val=falling(end=end)) == []


def test_a_momentum_is_read_from_what_a_module_says_of_itself(train, told):
    model = nn.Sequential(nn.Linear(FEATURES, 32), nn.BatchNorm1d(32, momentum=1e-4), nn.ReLU(), nn.Linear(32, CLASSES))
    run = train(model, nn.CrossEntropyLoss(), drawn, 5)
    assert [one.detail for one in run.network.descriptions[0].modules if "Norm" in one.type] == [
        "32 channels, momentum 0.0001"
    ]
