"""Functional calls, and gradients inside transforms of functions."""

import torch
from torch import nn
from torch.func import functional_call, grad, vmap

from tb_netviz.pytorch import NetVizWriter
from tests.support.loops import check, network, sgd
from tests.support.watching import ByHand, read


def test_functional_calls_and_transforms(tmp_path):
    torch.manual_seed(11)
    model = network()
    by_hand, optimizer = ByHand(model), sgd(model)
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}

    def loss_of(weights, x):
        return functional_call(model, weights, (x[None],)).square().mean()

    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(3):
            batch = torch.randn(8, 6)
            each = vmap(grad(loss_of), (None, 0))(parameters, batch)
            torch.func.jacrev(loss_of)(parameters, batch[0])
            model(batch).square().mean().backward()
            for name, parameter in model.named_parameters():
                torch.testing.assert_close(each[name].mean(0), parameter.grad)
            by_hand.before()
            optimizer.step()
            by_hand.after(step)
            optimizer.zero_grad()
            parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    check(tmp_path, by_hand, 3)


def test_gradients_per_sample_that_are_set_from_a_transform(tmp_path):
    """The forward pass is seen inside vmap only, where a tensor has no value to look at."""
    torch.manual_seed(12)
    model = network()
    by_hand, optimizer = ByHand(model), sgd(model)

    def loss_of(weights, x):
        return functional_call(model, weights, (x[None],)).square().mean()

    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, nn.MSELoss(), every=1)
        for step in range(3):
            weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
            each = vmap(grad(loss_of), (None, 0))(weights, torch.randn(8, 6))
            for name, parameter in model.named_parameters():
                norms = each[name].flatten(1).norm(dim=1).clamp(min=1.0)
                parameter.grad = (each[name] / norms.view(-1, *[1] * parameter.ndim)).mean(0)
            assert writer.step == step
            by_hand.before()
            optimizer.step()
            by_hand.after(step)
    check(tmp_path, by_hand, 3)


def test_a_criterion_inside_vmap(tmp_path):
    torch.manual_seed(13)
    model, criterion = nn.Linear(6, 2), nn.MSELoss()
    optimizer = sgd(model)
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}

    def loss_of(weights, x):
        return criterion(functional_call(model, weights, (x,)), torch.zeros(2))

    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, criterion, every=1)
        for _ in range(3):
            each = vmap(grad(loss_of), (None, 0))(weights, torch.randn(8, 6))
            for name, parameter in model.named_parameters():
                parameter.grad = each[name].mean(0)
            optimizer.step()
    assert sorted(read(tmp_path).tables) == [0, 1, 2]
