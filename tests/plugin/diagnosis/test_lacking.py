"""Runs that lack what rules look at: these are then not checked, and none of them fails."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from tb_netviz.pytorch import NetVizWriter
from tb_netviz.reading import read_runs
from tb_netviz_plugin.diagnosis.checking import FAILED
from tests.support.modelled import Model, falling, flat, report

FEATURES, CLASSES = 6, 4


def deep():
    dense = [(nn.Linear(FEATURES, FEATURES), nn.BatchNorm1d(FEATURES, momentum=1e-4), nn.ReLU()) for _ in range(3)]
    return nn.Sequential(*(one for part in dense for one in part), nn.Dropout(0.9), nn.Linear(FEATURES, CLASSES))


def failed(report):
    return [skipped.reason for skipped in report.skipped if skipped.reason.startswith(FAILED)]


def trained(folder, *models, steps=40, targets=True, **about):
    """Return a recorded run of classifiers, validated as well as trained, without what `about` leaves out."""
    optimizers = [torch.optim.SGD(model.parameters(), lr=1e-6) for model in models]
    with NetVizWriter(folder) as writer:
        for at, (model, optimizer) in enumerate(zip(models, optimizers, strict=True)):
            name = f"model{at}" if len(models) > 1 else None
            writer.watch(model, optimizer, name=name, every=1, on_finding="ignore", **about)
        for step in range(steps):
            inputs = torch.randn(16, FEATURES, generator=torch.Generator().manual_seed(step))
            classes = torch.arange(16) % CLASSES
            for at, (model, optimizer) in enumerate(zip(models, optimizers, strict=True)):
                name = f"model{at}" if len(models) > 1 else None
                optimizer.zero_grad()
                outputs = model(inputs)
                loss = functional.cross_entropy(outputs, classes) if targets else outputs.square().mean()
                writer.observe(outputs=outputs, targets=classes if targets else None, loss=loss, model=name)
                loss.backward()
                optimizer.step()
            writer.add_scalar("loss/train", loss, writer.step)
            writer.add_scalar("loss/val", 3 * loss, writer.step)
    return read_runs(folder)


@pytest.mark.parametrize(
    "about",
    [
        {"updates": False},
        {"gradients": False},
        {"activations": False},
        {"gradients": False, "updates": False, "activations": False},
        {"targets": False},
        {"targets": False, "updates": False},
        {"steps": 1},
    ],
    ids=str,
)
def test_what_was_not_recorded(tmp_path, about):
    (run,) = trained(tmp_path, deep(), **about)
    assert failed(run.report({})) == []


@pytest.mark.parametrize("models", [[nn.Linear(FEATURES, CLASSES)], [deep(), nn.Linear(FEATURES, CLASSES)]])
def test_one_layer_and_several_models(tmp_path, models):
    (run,) = trained(tmp_path, *models)
    assert failed(run.report({})) == []


@pytest.mark.parametrize("records", [0, 1, 2, 21])
@pytest.mark.parametrize("loss", [falling, flat, lambda count: 0 * flat(count), lambda count: -falling(count)])
def test_few_records_and_losses_about_zero(records, loss):
    model = Model(records=records)
    assert failed(report(model, train=loss(records), val=loss(records))) == []


def test_weights_that_are_zero_or_not_finite():
    for weights in (0.0, float("nan")):
        for since in (0, 30):
            model = Model()
            model.weights[since:] = weights
            model.ratios[:5] = 0.7
            assert failed(report(model, train=flat(), val=flat())) == []
