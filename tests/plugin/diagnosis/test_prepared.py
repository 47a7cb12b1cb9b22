"""Evaluations on data that are prepared otherwise than in training, and on others that differ for good reasons."""

import numpy as np
import pytest
import torch
from torch import nn

from tb_netviz_plugin.analysis.evaluations import Evaluations, Inputs
from tb_netviz_plugin.diagnosis import Severity
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.prepared import larger, prepared
from tests.support.modelled import Model, ModelledRun, falling, found

RULE = "train_eval_mismatch"
FEATURES, CLASSES, STEPS = 6, 3, 120
MIX = torch.randn(FEATURES, CLASSES, generator=torch.Generator().manual_seed(3))
PLACES = torch.tensor([40.0, 0.0, 0.0, 0.0, 0.0, 0.0])


def drawn(seed, count=64):
    inputs = torch.randn(count, FEATURES, generator=torch.Generator().manual_seed(seed))
    return inputs, (inputs @ MIX).argmax(1)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(FEATURES, 32), nn.ReLU(), nn.Linear(32, CLASSES))


def validating(model, inputs, targets, every=15, criterion=nn.functional.cross_entropy):
    def validate(step):
        if step % every != every - 1:
            return None
        model.eval()
        with torch.no_grad():
            loss = criterion(model(inputs), targets)
        model.train()
        return loss

    return validate


def judged(train, told, batch, prepare, every=15):
    """Return what is told of a training whose held-out data are prepared in a way of their own."""
    model, (inputs, targets) = network(), drawn(10_000, 256)
    validate = validating(model, prepare(inputs), targets, every)
    return told(train(model, nn.CrossEntropyLoss(), batch, STEPS, validate=validate), RULE)


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda inputs: 10 * inputs + 5, "in evaluations, and a mean of"),
        (lambda inputs: 0.02 * inputs, "in evaluations, and a mean of"),
        (lambda inputs: 60 * inputs.sigmoid(), "differs from what it is trained on"),
        (lambda inputs: (inputs.clamp(-2, 2) + 2) / 12, "differs from what it is trained on"),
        (lambda inputs: inputs + PLACES, "; the means of one feature lie "),
        (
            lambda inputs: torch.cat([1000 * inputs[:, :1], inputs[:, 1:]], 1),
            "; one feature deviates 970 times as much",
        ),
    ],
    ids=["larger", "smaller", "raw", "to one", "a feature's place", "a feature's scale"],
)
def test_held_out_data_that_are_prepared_otherwise(train, told, prepare, words):
    (finding,) = judged(train, told, drawn, prepare)
    assert finding.severity > Severity.INFO
    assert words in finding.message
    assert "loss/val" in finding.message
    assert finding.first_step == 0


def test_overfitting_is_what_follows_from_it(train):
    model, (inputs, targets) = network(), drawn(10_000, 256)
    run = train(model, nn.CrossEntropyLoss(), drawn, STEPS, validate=validating(model, 30 * inputs + 9, targets, 10))
    (cause,) = [finding for finding in run.report({}).findings if finding.severity > Severity.INFO]
    assert cause.rule == RULE
    assert "overfitting" in {finding.rule for finding in cause.consequences}


@pytest.mark.parametrize(
    "augment",
    [
        lambda inputs: inputs + torch.randn_like(inputs),
        lambda inputs: inputs * (torch.rand_like(inputs) > 0.5),
        lambda inputs: inputs * (0.5 + torch.rand(len(inputs), 1)),
        lambda inputs: 0.7 * inputs + 0.3 * inputs.flip(0),
    ],
    ids=["noise", "left out", "brighter or darker", "mixed"],
)
def test_augmentation_in_training_only(train, told, augment):
    def batch(step):
        inputs, targets = drawn(step % 2, 24)  # Few, so that they are learned by heart.
        return augment(inputs), targets

    assert judged(train, told, batch, lambda inputs: inputs) == []


def test_another_scale_that_does_no_harm(train, told):
    def scaled(step):
        inputs, targets = drawn(step)
        return inputs * 8.0 ** (step % 3), targets

    assert judged(train, told, scaled, lambda inputs: 64 * inputs) == []


def test_without_a_validation_loss_it_is_info(train, told):
    model, (inputs, targets) = network(), drawn(10_000, 256)
    evaluate = validating(model, 20 * inputs, targets)

    def silently(step):
        evaluate(step)

    (finding,) = told(train(model, nn.CrossEntropyLoss(), drawn, STEPS, validate=silently), RULE)
    assert finding.severity is Severity.INFO


class Drawn(nn.Module):
    """Adds up what it hears from a few in training, and from all in evaluation."""

    def __init__(self):
        super().__init__()
        self.own, self.head = nn.Linear(FEATURES, 32), nn.Linear(32, CLASSES)

    def forward(self, inputs):
        heard = self.own(inputs).relu()
        return self.head(heard + (heard[:4] if self.training else heard).sum(0))


def test_outputs_that_are_far_larger_of_inputs_that_are_alike(train, told):
    torch.manual_seed(0)
    model, (inputs, targets) = Drawn(), drawn(10_000, 256)
    (finding,) = told(
        train(model, nn.CrossEntropyLoss(), drawn, STEPS, validate=validating(model, inputs, targets)), RULE
    )
    assert finding.severity > Severity.INFO
    assert "times as large as in training" in finding.message
    assert "though the inputs are alike" in finding.message


@pytest.mark.parametrize("alone", [True, False])
def test_normalisations_are_named_where_they_make_outputs_larger(train, told, alone):
    """A batch of a single graph is centred by its own mean, as no batch is in evaluation."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 32), nn.BatchNorm1d(32), nn.Linear(32, 1))

    def graphs(seed, count):
        generator = torch.Generator().manual_seed(seed)
        places = 10 * torch.randn(count, 1, FEATURES, generator=generator)
        nodes = torch.randn(count, 16, FEATURES, generator=generator)
        return (places + nodes).flatten(0, 1), nodes[..., :1].tanh().flatten(0, 1)

    validate = validating(model, *graphs(10_000, 64), criterion=nn.functional.mse_loss)
    run = train(model, nn.MSELoss(), lambda step: graphs(step, 1 if alone else 64), STEPS, validate=validate)
    findings = told(run, RULE)
    assert [finding.layers for finding in findings if "times as large" in finding.message] == [(1,)] * alone


def measured(count=6, samples=64.0, kind=2, ratio=1.0, **about):
    """Return evaluations on inputs of mean 0 and deviation 1, of which `about` says how they differ."""
    ones = np.ones(count)
    side = {"kind": kind * ones, "mean": 0 * ones, "size": ones, "smallest": -3 * ones, "largest": 3 * ones}
    side["zeros"] = 0 * ones
    sides = [Inputs(samples=samples * ones, **side)] * 2
    names = ("shift", "shift_largest", "factor", "factor_largest", "output_size")
    numbers = {name: about.get(name, float("shift" not in name)) * ones for name in names}
    return Evaluations(np.arange(count) * 90.0, *sides, **numbers, trained_output_size=ones / ratio)


class Measured(ModelledRun):
    """A run of a model with evaluations that were measured."""

    def __init__(self, evaluations):
        super().__init__([Model()], {})
        self._evaluations = evaluations

    @property
    def evaluations(self):
        return {"": self._evaluations}


@pytest.mark.parametrize(
    ("evaluations", "inputs", "outputs"),
    [
        (measured(factor=5.0), 1, 0),
        (measured(factor=3.0), 0, 0),  # Of another source.
        (measured(factor=0.2), 0, 0),  # Of a narrow choice of the data.
        (measured(factor=0.1), 1, 0),
        (measured(factor=5.0, count=2), 0, 0),  # Too few to tell.
        (measured(factor=5.0, samples=8.0), 0, 0),
        (measured(factor=5.0, kind=1), 0, 0),  # Indices of tokens.
        (measured(shift_largest=9.0), 0, 0),  # As large in all.
        (measured(factor_largest=50.0), 0, 0),  # A rare feature, within what was met.
        (measured(ratio=5.0), 0, 1),
        (measured(ratio=5.0, kind=1), 0, 1),
        (measured(ratio=0.2), 0, 0),  # Shares rather than logits.
        (measured(ratio=5.0, factor=3.0), 0, 0),  # Of other inputs other outputs follow.
        (measured(ratio=5.0, shift_largest=2.0), 0, 0),
    ],
)
def test_what_is_far_beyond_two_samples_of_the_same_data(evaluations, inputs, outputs):
    case = Case(Measured(evaluations))
    assert (len(prepared(case)), len(larger(case))) == (inputs, outputs)


def test_runs_of_writers_that_measured_no_evaluations():
    assert found(RULE, Model(), train=falling(), val=falling(end=0.2)) == []
