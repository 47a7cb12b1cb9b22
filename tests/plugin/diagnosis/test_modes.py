"""Models that are evaluated in training mode, or trained in evaluation mode."""

import pytest
import torch
from torch import nn
from torch.nn import functional

RULE = "train_eval_mismatch"
FEATURES, CLASSES, EVERY = 10, 4, 20
MIX = torch.randn(FEATURES, CLASSES, generator=torch.Generator().manual_seed(3))


def drawn(step, count=64):
    inputs = torch.randn(count, FEATURES, generator=torch.Generator().manual_seed(step))
    return inputs, (inputs @ MIX).argmax(1)


def network(norm=nn.BatchNorm1d):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(FEATURES, 32), norm(32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, CLASSES))


def validating(model, *, to_evaluation=True, back=True, logs=True):
    inputs, targets = drawn(10_000, 256)

    def validate(step):
        if step % EVERY != EVERY - 1:
            return None
        if to_evaluation:
            model.eval()
        with torch.no_grad():
            loss = functional.cross_entropy(model(inputs), targets)
        if back:
            model.train()
        return loss if logs else None

    return validate


@pytest.fixture
def found(train, told):
    """Returns what is told of a model that is evaluated now and then."""

    def of(model, steps=120, **how):
        return told(train(model, nn.CrossEntropyLoss(), drawn, steps, validate=validating(model, **how)), RULE)

    return of


def test_validation_in_training_mode(found):
    (finding,) = found(network(), to_evaluation=False)
    assert finding.severity.id == "warning"
    assert "100% of the 6 evaluations since step 20 ran in training mode" in finding.message
    assert "BatchNorm1d and Dropout do something else" in finding.message
    assert "loss/val" in finding.message
    assert "model.eval()" in finding.remedies[0].code


def test_samples_in_training_mode_that_no_loss_is_logged_of(found):
    (finding,) = found(network(), to_evaluation=False, logs=False)
    assert finding.severity.id == "info"


def test_modes_that_are_switched(found):
    assert found(network()) == []


def test_two_evaluations_are_no_habit(train, reason):
    model = network()
    run = train(model, nn.CrossEntropyLoss(), drawn, 50, validate=validating(model, to_evaluation=False))
    assert "there are 2 so far" in reason(run, RULE)


def test_training_that_stays_in_evaluation_mode(found):
    (finding,) = found(network(), back=False)
    assert finding.severity.id == "warning"
    assert finding.first_step == EVERY
    assert "is trained in evaluation mode" in finding.message


def test_no_loss_has_to_be_logged_for_that(train, told):
    model = network()
    run = train(model, nn.CrossEntropyLoss(), drawn, 120, validate=validating(model, back=False, logs=False), log=False)
    (finding,) = told(run, RULE)
    assert finding.severity.id == "warning"


def test_a_new_network_in_evaluation_mode_from_the_first_step(found):
    (finding,) = found(network().eval(), back=False)
    assert finding.severity.id == "warning"
    assert finding.first_step == 0


def test_a_trained_network_in_evaluation_mode_from_the_first_step(found):
    model = network()
    nn.init.uniform_(model[1].weight, 0.3, 3.0)
    (finding,) = found(model.eval(), back=False)
    assert finding.severity.id == "info"


def test_dropout_alone_in_evaluation_mode_from_the_first_step(found):
    (finding,) = found(network(nn.LayerNorm).eval(), back=False)
    assert finding.severity.id == "info"
