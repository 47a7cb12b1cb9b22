"""Clipping in training loops of every kind."""

import math

import pytest
import torch
from torch import nn

from tb_netviz.pytorch import NetVizWriter
from tests.support.clips import BEFORE, MAX_NORM, MAX_VALUE, backward, by_norm, found, network, whole
from tests.support.watching import read


def test_two_optimizers_each_with_its_own_backward_pass(tmp_path):
    model = network()
    optimizers = [torch.optim.SGD(model[0].parameters(), lr=0.01), torch.optim.SGD(model[2].parameters(), lr=0.01)]
    expected = []
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizers, every=2)
        for _ in range(12):
            squares = 0.0
            outputs = model(torch.randn(16, 6))
            for part, optimizer in zip((model[0], model[2]), optimizers, strict=True):
                optimizer.zero_grad()
                outputs.square().mean().backward(inputs=list(part.parameters()), retain_graph=True)
                squares += whole(part) ** 2
                nn.utils.clip_grad_norm_(part.parameters(), 0.01)
                optimizer.step()
            expected.append(math.sqrt(squares))
    records = found(tmp_path)
    assert list(records) == list(range(0, 12, 2))
    for step, (norm, _) in records.items():
        assert norm == pytest.approx(expected[step], rel=1e-5)


def test_the_two_models_of_a_gan_are_apart(tmp_path):
    generator, critic = network(), nn.Sequential(nn.Linear(2, 1))
    first, second = (torch.optim.SGD(m.parameters(), lr=0.01) for m in (generator, critic))
    norms: dict[str, list[float]] = {"generator": [], "critic": []}
    with NetVizWriter(tmp_path) as writer:
        writer.watch(generator, first, name="generator", every=1)
        writer.watch(critic, second, name="critic", every=1)
        for _ in range(12):
            fake = generator(torch.randn(16, 6))
            critic(fake.detach()).square().mean().backward()
            norms["critic"].append(whole(critic))
            second.step()
            second.zero_grad()
            (critic(fake) - 1).square().mean().backward()
            norms["generator"].append(whole(generator))
            nn.utils.clip_grad_norm_(generator.parameters(), 0.01)
            first.step()
            first.zero_grad()
            second.zero_grad()
    records = found(tmp_path, "generator")
    assert [norm for norm, _ in records.values()] == pytest.approx(norms["generator"], rel=1e-5)
    assert all(clipped for _, clipped in records.values())
    assert found(tmp_path, "critic") == {}


def test_a_closure_that_clips(tmp_path):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    norms: list[float] = []

    def closure():
        optimizer.zero_grad()
        backward(model, len(norms))
        norms.append(whole(model))
        by_norm(model)

    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for _ in range(12):
            optimizer.step(closure)
    records = found(tmp_path)
    assert [norm for norm, _ in records.values()] == pytest.approx(norms, rel=1e-5)
    assert [clipped for _, clipped in records.values()] == [norm > MAX_NORM for norm in norms]


def test_parameters_that_come_later_and_those_of_no_optimizer(tmp_path):
    model = network()
    model[0].bias.requires_grad_(False)
    optimizer = torch.optim.SGD(model[:1].parameters(), lr=0.01)  # The last layer is nobody's.
    norms = []
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(10):
            if step == 4:
                model[0].bias.requires_grad_(True)
            if step == 7:
                model.append(nn.Linear(2, 2))
                optimizer.add_param_group({"params": model[3].parameters()})
            model.zero_grad()
            backward(model, step)
            held = [parameter for parameter in model.parameters() if parameter.grad is not None]
            norms.append(math.hypot(*(float(parameter.grad.double().norm()) for parameter in held)))
            nn.utils.clip_grad_norm_(held, MAX_NORM)
            optimizer.step()
    records = found(tmp_path)
    assert {0, 1, 2, 3, 5, 6, 8, 9} <= set(records)
    for step, (norm, _) in records.items():
        assert norm == pytest.approx(norms[step], rel=1e-5)


def test_a_step_within_the_backward_pass_says_nothing(tmp_path):
    model = network()
    optimizers = {p: torch.optim.SGD([p], lr=0.01) for p in model.parameters()}

    def step_at_once(parameter):
        parameter.grad.clamp_(-MAX_VALUE, MAX_VALUE)
        optimizers[parameter].step()
        optimizers[parameter].zero_grad()

    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(step_at_once)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, every=1)
        for step in range(6):
            backward(model, step)
    recording = read(tmp_path)
    assert sorted(recording.tables) == list(range(6))
    assert BEFORE not in recording.metrics


def test_a_backward_pass_that_breaks_off_does_not_deafen(tmp_path):
    class Fails(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            raise RuntimeError("theirs")

    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    norms = []
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(6):
            if step == 2:
                broken = model[2](torch.tanh(model[0](Fails.apply(torch.randn(4, 6, requires_grad=True)))))
                with pytest.raises(RuntimeError, match="theirs"):
                    broken.sum().backward()
                optimizer.zero_grad()
            backward(model, step)
            norms.append(whole(model))
            by_norm(model)
            optimizer.step()
            optimizer.zero_grad()
    records = found(tmp_path)
    assert {0, 1, 3, 4, 5} <= set(records)
    for step, (norm, _) in records.items():
        assert norm == pytest.approx(norms[step], rel=1e-5)
