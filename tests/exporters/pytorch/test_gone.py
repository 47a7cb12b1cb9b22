"""Gradients of which nothing is left as their optimizer steps."""

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam

from tb_netviz.pytorch import NetVizWriter
from tests.support.clips import network
from tests.support.watching import read

STEPS = 12


def gone(folder):
    """Returns by tag what was recorded of gradients that are gone."""
    metrics = read(folder).metrics
    return {
        name.removeprefix("netviz/"): {step: mean for _, step, mean in records}
        for name, records in metrics.items()
        if "gone_gradients" in name
    }


def train(folder, between, optimizers_of=lambda model: [SGD(model.parameters(), lr=0.1)], every=1):
    model = network()
    optimizers = optimizers_of(model)
    with NetVizWriter(folder) as writer:
        writer.watch(model, optimizers, every=every)
        for step in range(STEPS):
            model(torch.ones(4, 6)).square().mean().backward()
            between(step, model, optimizers)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()


@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("every", [1, 3])
def test_zero_grad_between_backward_and_step(tmp_path, set_to_none, every):
    train(tmp_path, lambda _step, _model, all_: all_[0].zero_grad(set_to_none=set_to_none), every=every)
    assert gone(tmp_path) == {"gone_gradients": dict.fromkeys(range(0, STEPS, every), 1.0)}
    assert not any("clipped" in name for name in read(tmp_path).metrics)


@pytest.mark.parametrize("set_to_none", [True, False])
def test_of_one_of_two_optimizers(tmp_path, set_to_none):
    def two(model):
        return [SGD(model[0].parameters(), lr=0.1), Adam(model[2].parameters())]

    train(tmp_path, lambda _step, _model, all_: all_[1].zero_grad(set_to_none=set_to_none), two)
    assert gone(tmp_path) == {"gone_gradients/1": dict.fromkeys(range(STEPS), 1.0)}


def test_from_some_step_on(tmp_path):
    train(tmp_path, lambda step, _model, all_: all_[0].zero_grad() if step == 5 else None)
    (steps,) = gone(tmp_path).values()
    assert steps == {step: float(step == 5) for step in range(5, STEPS)}


def cancelled(_step, model, _optimizers):
    """As recipes do that keep one layer as it is for a while."""
    model[2].weight.grad = None


def masked(_step, model, _optimizers):
    model[0].weight.grad.zero_()


def nothing(_step, _model, _optimizers):
    pass


@pytest.mark.parametrize("between", [cancelled, masked, nothing])
def test_what_is_left_of_others_in_the_group_is_enough(tmp_path, between):
    train(tmp_path, between)
    assert gone(tmp_path) == {}


def test_a_step_without_a_backward_pass(tmp_path):
    model = network()
    optimizer = SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for _ in range(STEPS):
            optimizer.step()
    assert gone(tmp_path) == {}


def test_gradients_that_are_zero_by_themselves(tmp_path):
    model = network()
    nn.init.zeros_(model[2].weight)
    optimizer = SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for _ in range(STEPS):
            (0 * model(torch.ones(4, 6))).mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    assert gone(tmp_path) == {}


def test_what_is_zero_by_itself_is_not_left(tmp_path):
    first = nn.Linear(6, 8)
    model = nn.Sequential(first, nn.ReLU(), nn.Linear(8, 2))
    nn.init.constant_(first.bias, -100.0)  # Its gradient is zero, and so is that of the second layer's weights.
    optimizer = SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for _ in range(STEPS):
            model(torch.ones(4, 6)).square().mean().backward()
            optimizer.zero_grad(set_to_none=False)
            optimizer.step()
    assert gone(tmp_path) == {"gone_gradients": dict.fromkeys(range(STEPS), 1.0)}
