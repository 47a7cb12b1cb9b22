"""Training loops of every kind: what is recorded is what the optimizer was given."""

import math

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from tb_netviz.pytorch import NetVizWriter, transfers
from tests.support.loops import check, network, sgd, train
from tests.support.watching import ByHand, read


@pytest.mark.parametrize("reentrant", [True, False])
def test_activation_checkpointing(tmp_path, reentrant):
    torch.manual_seed(1)

    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Linear(6, 6)
            self.body = network()
            self.drop = nn.Dropout(0.3)

        def forward(self, x):
            return self.drop(checkpoint(self.body, self.stem(x), use_reentrant=reentrant))

    recording = train(tmp_path, Checkpointed(), lambda m: m(torch.randn(8, 6)).square().mean())
    modules = [module.name for module in recording.description.modules]
    assert modules == ["Checkpointed", "stem", "body", *(f"body.{place}" for place in range(5)), "drop"]
    assert recording.description.modules[4].output_shape == (8, 8)


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointed_sequences(tmp_path, reentrant):
    torch.manual_seed(2)
    model = network()
    by_hand, optimizer = ByHand(model), sgd(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(3):
            x = torch.randn(8, 6, requires_grad=True)
            checkpoint_sequential(model, 2, x, use_reentrant=reentrant).square().mean().backward()
            by_hand.before()
            optimizer.step()
            by_hand.after(step)
            optimizer.zero_grad()
    check(tmp_path, by_hand, 3)


def test_a_gradient_penalty(tmp_path):
    torch.manual_seed(3)

    def loss_of(model):
        x = torch.randn(8, 6, requires_grad=True)
        scores = model(x)
        (slope,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
        return scores.mean() + 10 * (slope.norm(dim=1) - 1).square().mean()

    train(tmp_path, network(), loss_of)


def test_gradients_that_are_set_by_hand(tmp_path):
    torch.manual_seed(4)
    model = network()
    by_hand, optimizer = ByHand(model), sgd(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(3):
            loss = model(torch.randn(8, 6)).square().mean()
            for parameter, gradient in zip(
                model.parameters(), torch.autograd.grad(loss, list(model.parameters())), strict=True
            ):
                parameter.grad = gradient * 2
            by_hand.before()
            optimizer.step()
            by_hand.after(step)
    check(tmp_path, by_hand, 3)


def test_steps_without_gradients_and_with_those_of_the_step_before(tmp_path):
    torch.manual_seed(5)
    model = network()
    by_hand, optimizer = ByHand(model), sgd(model)

    def step(number):
        by_hand.before()
        optimizer.step()
        by_hand.after(number)

    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        step(0)  # Before any backward pass.
        model(torch.randn(8, 6)).square().mean().backward()
        step(1)
        step(2)  # The same gradients again.
        optimizer.zero_grad(set_to_none=False)
        step(3)
        optimizer.zero_grad(set_to_none=True)
        step(4)
    recording = check(tmp_path, by_hand, 5)
    table = recording.tables
    assert [table[number]["0.weight"]["present"] for number in range(5)] == [0, 1, 1, 1, 0]
    assert table[2]["0.weight"]["grad_norm"] == table[1]["0.weight"]["grad_norm"] > 0
    assert table[3]["0.weight"]["grad_norm"] == 0
    assert table[3]["0.weight"]["grad_zeros"] == 48
    assert math.isnan(table[4]["0.weight"]["grad_norm"])


def test_gradients_that_nobody_resets(tmp_path):
    torch.manual_seed(6)
    model = network()
    by_hand, optimizer = ByHand(model), sgd(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(3):
            model(torch.randn(8, 6)).square().mean().backward()
            by_hand.before()
            optimizer.step()
            by_hand.after(step)
    check(tmp_path, by_hand, 3)


@pytest.mark.parametrize("watch_the_wrapper", [True, False])
def test_data_parallel_without_devices(tmp_path, watch_the_wrapper):
    torch.manual_seed(14)
    model = network()
    wrapper = nn.DataParallel(model)
    by_hand, optimizer = ByHand(model), sgd(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(wrapper if watch_the_wrapper else model, optimizer, every=1)
        for step in range(3):
            wrapper(torch.randn(8, 6)).square().mean().backward()
            assert writer.step == step
            by_hand.before()
            optimizer.step()
            by_hand.after(step)
            optimizer.zero_grad()
    recording = check(tmp_path, by_hand, 3)
    assert recording.description.modules[0].name == "Sequential"


def test_modules_that_run_twice_and_in_place_activations(tmp_path):
    torch.manual_seed(16)

    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 6)
            self.act = nn.ReLU(inplace=True)

        def forward(self, x):
            return self.act(self.layer(self.act(self.layer(x))))

    recording = train(tmp_path, Shared(), lambda m: m(torch.randn(8, 6)).square().mean())
    assert [module.name for module in recording.description.modules] == ["Shared", "layer", "act"]


def test_two_backward_passes_over_one_graph(tmp_path):
    torch.manual_seed(17)

    def loss_of(model):
        loss = model(torch.randn(8, 6)).square().mean()
        loss.backward(retain_graph=True)
        return loss

    train(tmp_path, network(), loss_of)


def test_training_in_inference_mode_and_without_gradients_beside(tmp_path):
    torch.manual_seed(19)

    def loss_of(model):
        with torch.inference_mode():
            model(torch.randn(3, 6))
        with torch.no_grad():
            model(torch.randn(3, 6))
        return model(torch.randn(8, 6)).square().mean()

    train(tmp_path, network(), loss_of)


def test_values_that_arrive_late_are_recorded_all_the_same(tmp_path, monkeypatch):
    """As from a device that is ten steps behind."""
    clock = 0
    sent = transfers.Transfer.__init__

    def send(self, tensor):
        sent(self, tensor)
        self.due = clock + 10

    monkeypatch.setattr(transfers.Transfer, "__init__", send)
    monkeypatch.setattr(transfers.Transfer, "ready", property(lambda self: clock >= self.due))
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    by_hand = ByHand(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1, updates=False)
        for clock in range(60):
            model(torch.randn(8, 4)).square().mean().backward()
            by_hand.before()
            optimizer.step()
            by_hand.after(clock)
            optimizer.zero_grad()
    tables = read(tmp_path).tables
    assert len(tables) >= 60 * 4 // 12
    for step, table in tables.items():
        assert table["weight"]["grad_norm"] == pytest.approx(by_hand.tables[step]["weight"]["grad_norm"], rel=1e-5)
