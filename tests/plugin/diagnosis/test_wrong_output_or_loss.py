"""Outputs, targets and losses that go together, and such that don't, in short trainings."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional

from tb_netviz.pytorch import NetVizWriter
from tb_netviz.reading import read_runs
from tb_netviz_plugin.diagnosis import Severity

RULE = "wrong_output_or_loss"
FEATURES, CLASSES = 6, 4
MIX = torch.randn(FEATURES, CLASSES, generator=torch.Generator().manual_seed(3))


def inputs_of(step, count=48):
    return torch.randn(count, FEATURES, generator=torch.Generator().manual_seed(step))


def classes(step):
    inputs = inputs_of(step)
    return inputs, (inputs @ MIX).argmax(1)


def yes_or_no(step):
    inputs = inputs_of(step)
    return inputs, (inputs @ MIX[:, :1] > 0).float()


def numbers(step, scale=1.0, shift=0.0):
    inputs = inputs_of(step)
    return inputs, scale * (inputs @ MIX[:, :1]) / MIX[:, 0].norm() + shift


def network(outputs, *last):
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(FEATURES, 24), nn.Tanh(), nn.Linear(24, outputs), *last)


def bce(outputs, targets):
    return functional.binary_cross_entropy(outputs, targets)


def nll_of_shares(outputs, targets):
    return functional.nll_loss(outputs.log(), targets)


def mse(outputs, targets):
    return functional.mse_loss(outputs, targets)


@pytest.mark.parametrize(
    ("last", "criterion", "words", "severity"),
    [
        (nn.Softmax(1), nn.CrossEntropyLoss(), "shares of 4 classes", Severity.WARNING),
        (nn.Softmax(1), functional.cross_entropy, "shares of 4 classes", Severity.WARNING),
        (nn.Softmax(1), nn.CrossEntropyLoss(torch.arange(1.0, 5.0)), "shares of 4 classes", Severity.WARNING),
        (nn.Sigmoid(), nn.CrossEntropyLoss(), "between 0 and 1", Severity.WARNING),
        (nn.ReLU(), nn.CrossEntropyLoss(), "exactly 0 at all 60 records", Severity.WARNING),
        (nn.ReLU(), functional.cross_entropy, "exactly 0 at all 60 records", Severity.WARNING),
        (nn.Softmax(1), nn.NLLLoss(), "gets probabilities", Severity.WARNING),
        (nn.Softmax(1), functional.nll_loss, "gets probabilities", Severity.WARNING),
        (nn.Identity(), nn.NLLLoss(), "gets scores", Severity.CRITICAL),
    ],
)
def test_outputs_that_the_loss_of_classes_does_not_expect(train, told, last, criterion, words, severity):
    (finding,) = told(train(network(CLASSES, last), criterion, classes), RULE)
    assert words in finding.message
    assert finding.severity is severity
    assert (finding.layers, finding.first_step, finding.last_step) == ((1,), 0, 59)
    assert finding.excluded
    assert finding.remedies
    assert all(len(line.steps) == len(line.values) for line in finding.evidence)


@pytest.mark.parametrize(
    ("last", "criterion"),
    [
        (nn.Identity(), nn.CrossEntropyLoss()),
        (nn.Identity(), functional.cross_entropy),
        (nn.Identity(), nn.CrossEntropyLoss(label_smoothing=0.1)),
        (nn.LogSoftmax(1), nn.NLLLoss()),
        (nn.LogSoftmax(1), functional.nll_loss),
        (nn.LogSoftmax(1), nn.CrossEntropyLoss()),  # It takes the logarithm of shares that add up to 1 already.
        (nn.Softmax(1), nll_of_shares),
        (nn.Tanh(), nn.MultiMarginLoss()),
    ],
)
def test_outputs_that_go_with_the_loss_of_classes(train, told, last, criterion):
    assert told(train(network(CLASSES, last), criterion, classes), RULE) == []


@pytest.mark.parametrize(
    ("last", "criterion", "words"),
    [
        (nn.Sigmoid(), nn.BCEWithLogitsLoss(), "between 0 and 1"),
        (nn.Sigmoid(), nn.BCELoss(), ""),
        (nn.Sigmoid(), bce, ""),
        (nn.Sigmoid(), nn.MSELoss(), ""),
        (nn.Identity(), nn.BCEWithLogitsLoss(), ""),
        (nn.ReLU(), nn.BCEWithLogitsLoss(), "cut off at 0"),
        (nn.Softmax(1), nn.BCELoss(), "single output"),
    ],
)
def test_outputs_of_two_classes(train, told, last, criterion, words):
    findings = told(train(network(1, last), criterion, yes_or_no), RULE)
    assert [words in finding.message for finding in findings] == ([True] if words else [])


def test_a_single_class_is_always_certain(train, told):
    def batch(step):
        return inputs_of(step), torch.zeros(48, dtype=torch.long)

    (finding,) = told(train(network(1), nn.CrossEntropyLoss(), batch), RULE)
    assert finding.severity is Severity.CRITICAL
    assert "single output" in finding.message


def test_scores_that_begin_small_and_positive_are_no_shares(train, told):
    model = network(1)
    with torch.no_grad():
        model[2].weight.mul_(0.1)
        model[2].bias.fill_(0.4)
    assert told(train(model, nn.BCEWithLogitsLoss(), yes_or_no, rate=1e-6), RULE) == []


@pytest.mark.parametrize(
    ("last", "criterion", "scale", "shift", "words"),
    [
        (nn.Sigmoid(), nn.MSELoss(), 3.0, 0.0, "No output is below 0"),
        (nn.Sigmoid(), mse, 3.0, 0.0, "No output is below 0"),
        (nn.Sigmoid(), nn.L1Loss(), 1.0, 5.0, "No output is above 1"),
        (nn.ReLU(), nn.MSELoss(), 1.0, 0.0, "No output is below 0"),
        (nn.Tanh(), nn.SmoothL1Loss(), 5.0, 0.0, "No output is below -1"),
        (nn.Identity(), nn.MSELoss(), 5.0, 0.0, ""),
        (nn.Identity(), nn.MSELoss(), 1.0, 100.0, ""),  # It has not got there yet.
        (nn.ReLU(), nn.MSELoss(), 1.0, 5.0, ""),
        (nn.Sigmoid(), nn.MSELoss(), 0.1, 0.5, ""),
        (nn.Tanh(), nn.MSELoss(), 0.2, 0.0, ""),
        (nn.Softplus(), nn.MSELoss(), 1.0, 3.0, ""),
    ],
)
def test_targets_out_of_reach(train, told, last, criterion, scale, shift, words):
    run = train(network(1, last), criterion, lambda step: numbers(step, scale, shift), steps=120, rate=3e-2)
    findings = told(run, RULE)
    assert [words in finding.message for finding in findings] == ([True] if words else [])


def test_targets_that_are_no_probabilities(train, told):
    def batch(step):
        inputs, targets = yes_or_no(step)
        return inputs, 2 * targets - 1

    (finding,) = told(train(network(1), nn.BCEWithLogitsLoss(), batch), RULE)
    assert finding.severity is Severity.CRITICAL
    assert "from -1 to 1" in finding.message


@pytest.mark.parametrize("criterion", [nn.MSELoss(), nn.L1Loss(), mse])
def test_shapes_that_broadcast(train, told, criterion):
    def batch(step):
        inputs, targets = numbers(step)
        return inputs, targets[:, 0]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of torch, which says so, too.
        (finding,) = told(train(network(1), criterion, batch, steps=200, rate=3e-2), RULE)
    assert finding.severity is Severity.CRITICAL
    assert "differ in shape" in finding.message


def test_one_target_that_is_meant_for_all_outputs(train, told):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = train(network(1), nn.MSELoss(), lambda step: (inputs_of(step), torch.ones(1)), steps=100)
    assert told(run, RULE) == []


def test_the_remedy_names_the_module_to_leave_out(train, told):
    (finding,) = told(train(network(CLASSES, nn.Softmax(1)), nn.CrossEntropyLoss(), classes), RULE)
    assert finding.remedies[0].code == "model[3] = nn.Identity()"


def test_values_that_are_not_finite_do_no_harm(train, told):
    def batch(step):
        inputs, targets = numbers(step)
        return inputs * (torch.nan if step > 20 else 1), targets * (torch.nan if step > 20 else 1)

    assert told(train(network(1), nn.MSELoss(), batch), RULE) == []


def test_probabilities_that_are_only_told_of_are_not_what_the_loss_got(tmp_path, told):
    model = network(CLASSES)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-2)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1, on_finding="ignore")
        for step in range(80):
            inputs, targets = classes(step)
            scores = model(inputs)
            loss = functional.cross_entropy(scores, targets)
            writer.observe(outputs=scores.softmax(1), targets=targets, loss=loss)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    (run,) = read_runs(tmp_path)
    assert told(run, RULE) == []


def test_what_is_needed(train, reason):
    assert "records" in reason(train(network(1), nn.MSELoss(), numbers, steps=3), RULE)


def test_nothing_is_said_where_the_loss_is_not_known(tmp_path, reason):
    model = network(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1, on_finding="ignore")
        for step in range(8):
            model(inputs_of(step)).square().mean().backward()
            optimizer.step()
    (run,) = read_runs(tmp_path)
    assert "observe(outputs=" in reason(run, RULE)
