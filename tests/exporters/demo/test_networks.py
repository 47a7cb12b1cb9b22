"""The networks of the demo really are healthy and ill, by torch's own gradients."""

import math

import pytest
import torch
from torch import nn

from tb_netviz.demo import digits
from tb_netviz.demo.networks import EXPERIMENTS

BY_NAME = {experiment.name: experiment for experiment in EXPERIMENTS}


def train(name, steps):
    """Train without netviz; return the model, the losses and the norm of each weight's gradient at each step."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    training, _validation = digits.load()
    model, optimizer, scheduler = BY_NAME[name].build(steps)
    losses, norms = [], []
    for batch in digits.batches(training, steps):
        loss = nn.functional.cross_entropy(model(batch.images), batch.labels)
        loss.backward()
        losses.append(float(loss.detach()))
        weights = [p for key, p in model.named_parameters() if key.endswith("weight")]
        norms.append([float(torch.linalg.vector_norm(p.grad)) for p in weights])
        optimizer.step()
        optimizer.zero_grad()
        scheduler.step()
    return model, torch.tensor(losses), torch.tensor(norms)


@pytest.fixture(scope="module")
def raised():
    return train("raised-lr", BY_NAME["raised-lr"].steps)


def accuracy(model):
    _training, validation = digits.load()
    model.eval()
    with torch.no_grad():
        return float((model(validation.images).argmax(1) == validation.labels).float().mean())


def test_the_cnn_learns_and_every_layer_has_its_gradient():
    model, losses, norms = train("cnn", 200)
    assert accuracy(model) > 0.95
    assert losses[-20:].mean() < 0.1 * losses[0]
    assert (norms > 0).all()


def test_the_gradient_of_the_sigmoid_network_vanishes_towards_the_input():
    model, losses, norms = train("sigmoid-mlp", 200)
    assert norms.shape[1] == 20
    assert accuracy(model) < 0.3
    assert float(losses[-20:].mean()) == pytest.approx(math.log(10), abs=0.1)
    assert (norms[:, 0] < 1e-12 * norms[:, -1]).all()
    assert (norms[:, 0] > 0).all()


def test_the_relu_network_learns_before_its_learning_rate_is_raised(raised):
    _model, losses, norms = raised
    half = len(losses) // 2
    assert losses[half - 50 : half].mean() < 0.5
    assert (norms[:half] > 0).all()


def test_the_raised_learning_rate_kills_layers_for_good(raised):
    model, losses, norms = raised
    end = norms[-len(norms) // 6 :]
    assert (end == 0).all()
    assert torch.isfinite(losses).all()
    assert float(losses[-50:].mean()) == pytest.approx(math.log(10), abs=0.1)
    assert accuracy(model) < 0.3


def test_training_repeats_itself():
    _model, once, _norms = train("raised-lr", 20)
    _model, again, _norms = train("raised-lr", 20)
    assert torch.equal(once, again)
