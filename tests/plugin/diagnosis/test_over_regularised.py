"""Decay, penalties and dropout that leave nothing to learn with, in short trainings, beside those that do no harm."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from tb_netviz_plugin.diagnosis import Severity

RULE = "over_regularised"
FEATURES, CLASSES = 12, 4


def network(*, drop=0.0):
    torch.manual_seed(0)
    layers = [nn.Linear(FEATURES, 32), nn.ReLU(), nn.Dropout(drop), nn.Linear(32, 32), nn.ReLU(), nn.Dropout(drop)]
    return nn.Sequential(*layers, nn.Linear(32, CLASSES))


def classes(step):
    inputs = torch.randn(64, FEATURES, generator=torch.Generator().manual_seed(step))
    return inputs, inputs[:, :CLASSES].argmax(1)


def guesses(step):
    inputs, targets = classes(step)
    return inputs, targets[torch.randperm(64, generator=torch.Generator().manual_seed(step + 5000))]


@pytest.mark.parametrize(("weight", "expected"), [(0.05, [Severity.WARNING]), (1e-4, [])])
def test_a_penalty_whose_fall_looks_like_learning(train, told, weight, expected):
    model = network()

    def penalised(outputs, targets):
        return functional.cross_entropy(outputs, targets) + weight * sum(one.abs().sum() for one in model.parameters())

    findings = told(train(model, penalised, classes, steps=300, rate=3e-3), RULE)
    assert [finding.severity for finding in findings] == expected


@pytest.mark.parametrize(("weight", "expected"), [(0.03, 1), (2e-3, 0), (0, 0)])
def test_a_penalty_on_magnitudes_of_which_gradients_consist(train, told, weight, expected):
    """The loss falls along with the penalty, and the weights that are left are no small share."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))

    def waves(step):
        inputs, _ = classes(step)
        return inputs, (inputs[:, :1] - inputs[:, 1:2]) / 2 + (2 * inputs[:, 2:3]).sin()

    def penalised(outputs, targets):
        return functional.mse_loss(outputs, targets) + weight * sum(one.abs().sum() for one in model.parameters())

    findings = told(train(model, penalised, waves, steps=300, rate=2e-3), RULE)
    assert [finding.severity for finding in findings] == [Severity.WARNING] * expected
    assert all("magnitudes of the weights" in finding.message for finding in findings)


def test_gradients_that_were_clipped_by_value_are_as_alike(train, told):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer.register_step_pre_hook(lambda *_: nn.utils.clip_grad_value_(model.parameters(), 1e-4))
    assert told(train(model, nn.CrossEntropyLoss(), classes, steps=100, optimizer=optimizer), RULE) == []


@pytest.mark.parametrize(("decay", "expected"), [(0.07, 1), (0.02, 0)])
def test_a_decay_that_outweighs_the_gradient_as_training_begins(train, told, decay, expected):
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=decay)
    findings = told(train(model, nn.CrossEntropyLoss(), classes, steps=300, optimizer=optimizer), RULE)
    assert len(findings) == expected
    assert all("added to the gradients" in finding.message for finding in findings)


def test_a_decay_that_is_kept_out_of_gradients_may_be_as_large(train, told):
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.1)
    assert told(train(model, nn.CrossEntropyLoss(), classes, steps=200, optimizer=optimizer), RULE) == []


@pytest.mark.parametrize(("drop", "batch", "expected"), [(0.8, guesses, 1), (0.8, classes, 0), (0.5, guesses, 0)])
def test_dropouts_one_after_another_that_leave_out_nearly_all_together(train, told, drop, batch, expected):
    findings = told(train(network(drop=drop), nn.CrossEntropyLoss(), batch, steps=150, rate=3e-3), RULE)
    assert [finding.layers for finding in findings] == [(1,)] * expected


def test_smoothed_labels_keep_the_loss_of_training_high_though_all_is_learned(train, told):
    """A decay that shrinks the weights, in front of a normalisation that makes up for it."""
    torch.manual_seed(0)
    blocks = [[nn.Linear(size, 64), nn.BatchNorm1d(64), nn.ReLU()] for size in (FEATURES, 64)]
    model = nn.Sequential(*(layer for block in blocks for layer in block), nn.Linear(64, CLASSES))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=4e-3)
    corners, generator = 1.5 * torch.randn(CLASSES, FEATURES), torch.Generator().manual_seed(0)

    def apart(_):
        targets = torch.randint(CLASSES, (64,), generator=generator)
        return corners[targets] + 0.5 * torch.randn(64, FEATURES, generator=generator), targets

    run = train(model, nn.CrossEntropyLoss(label_smoothing=0.3), apart, steps=600, optimizer=optimizer)
    inputs, targets = apart(600)
    with torch.no_grad():
        assert (model.eval()(inputs).argmax(1) == targets).float().mean() > 0.9
    assert told(run, RULE) == []


@pytest.mark.parametrize(("decay", "smoothing", "expected"), [(25, 0.0, 1), (0.5, 0.5, 0)])
def test_classes_that_are_known_by_outputs_which_a_decay_keeps_small(train, told, decay, smoothing, expected):
    """Normalisations make up for the weights in front of them, but not for those of the head."""
    torch.manual_seed(0)
    blocks = [[nn.Linear(size, 64), nn.BatchNorm1d(64), nn.ReLU()] for size in (FEATURES, 64)]
    model = nn.Sequential(*(layer for block in blocks for layer in block), nn.Linear(64, CLASSES))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=decay)
    corners, generator = 0.5 * torch.randn(CLASSES, FEATURES), torch.Generator().manual_seed(0)

    def near(_):
        targets = torch.randint(CLASSES, (64,), generator=generator)
        return corners[targets] + 0.5 * torch.randn(64, FEATURES, generator=generator), targets

    run = train(model, nn.CrossEntropyLoss(label_smoothing=smoothing), near, steps=300, optimizer=optimizer)
    inputs, targets = near(500)
    with torch.no_grad():
        assert (model.eval()(inputs).argmax(1) == targets).float().mean() > 0.6
    assert len(told(run, RULE)) == expected


@pytest.mark.parametrize(("signal", "decay", "expected"), [(1.0, 0.02, 0), (1.0, 0.5, 1)])
def test_a_decay_that_keeps_from_fitting_noise(train, told, signal, decay, expected):
    """Little of the targets can be known: what the loss began at says nothing of what was learned."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    generator = torch.Generator().manual_seed(1)

    def noisy(_):
        inputs = torch.randn(128, FEATURES, generator=generator)
        known = 0.5 * inputs[:, :1] + 0.4 * inputs[:, 1:2].sin()
        return inputs, signal * known + torch.randn(128, 1, generator=generator)

    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=decay)
    findings = told(train(model, nn.MSELoss(), noisy, steps=300, optimizer=optimizer), RULE)
    assert len(findings) == expected
