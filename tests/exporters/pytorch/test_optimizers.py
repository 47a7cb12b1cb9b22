"""Gradients are those that the optimizer applies, once per training step, whoever calls it and how."""

import math

import pytest
import torch
from torch import nn

from tb_netviz.pytorch import NetVizWriter
from tests.support.watching import ByHand, assert_equal, read

LEARNING_RATE = 0.1


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))


def loss_of(model, scale=1.0):
    return (model(torch.randn(16, 6)) * scale).square().mean()


def sgd(model, **options):
    return torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, **options)


def assert_gradients_explain_the_updates(recording, steps):
    """Under plain SGD the norm of a gradient is that of the update over the learning rate."""
    assert sorted(recording.tables) == list(range(steps))
    for table in recording.tables.values():
        for columns in table.values():
            assert columns["grad_norm"] == pytest.approx(columns["update_norm"] / LEARNING_RATE, rel=1e-3)
            assert columns["grad_norm"] > 0


def test_accumulation_is_one_step(tmp_path):
    model = network()
    optimizer = sgd(model)
    by_hand = ByHand(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(3):
            for _ in range(4):
                (loss_of(model) / 4).backward()
                assert writer.step == step
            by_hand.before()
            optimizer.step()
            by_hand.after(step)
            optimizer.zero_grad()
    recording = read(tmp_path)
    assert_gradients_explain_the_updates(recording, 3)
    assert_equal(recording.tables[2], by_hand.tables[2])


def test_clipping_comes_before(tmp_path):
    model = network()
    optimizer = sgd(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for _ in range(3):
            loss_of(model, 100.0).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            optimizer.zero_grad()
    recording = read(tmp_path)
    assert_gradients_explain_the_updates(recording, 3)
    total = math.hypot(*(columns["grad_norm"] for columns in recording.tables[2].values()))
    assert total == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize("set_to_none", [True, False])
def test_a_closure_computes_the_gradients_within_the_step(tmp_path, set_to_none):
    model = network()
    optimizer = sgd(model)

    def closure():
        optimizer.zero_grad(set_to_none)
        loss = loss_of(model)
        loss.backward()
        return loss

    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(3):
            optimizer.step(closure) if step else optimizer.step(closure=closure)
    assert_gradients_explain_the_updates(read(tmp_path), 3)


def test_lbfgs(tmp_path):
    model = network()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=3)
    batch = torch.randn(16, 6)

    def closure():
        optimizer.zero_grad()
        loss = model(batch).square().mean()
        loss.backward()
        return loss

    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for _ in range(4):
            optimizer.step(closure)
    recording = read(tmp_path)
    assert sorted(recording.tables) == [0, 1, 2, 3]
    assert recording.tables[3]["0.weight"]["grad_norm"] > 0


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("unscales", [False, True])
def test_a_loss_scale_is_removed(tmp_path, unscales, fused):
    model = network()
    optimizer = sgd(model, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for _ in range(3):
            scaler.scale(loss_of(model)).backward()
            if unscales:
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
    assert_gradients_explain_the_updates(read(tmp_path), 3)


@pytest.mark.parametrize("fused", [False, True])
def test_a_step_that_the_scaler_leaves_out_is_not_recorded(tmp_path, fused):
    model = network()
    optimizer = sgd(model, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(4):
            scaler.scale(loss_of(model, math.inf if step == 1 else 1.0)).backward()
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
    tables = read(tmp_path).tables
    assert len(tables) == 3
    assert all(columns["grad_nonfinite"] == 0 for table in tables.values() for columns in table.values())


@pytest.mark.parametrize("given", [True, False])
def test_two_optimizers_share_the_record_of_a_step(tmp_path, given):
    model = network()
    optimizers = [
        torch.optim.SGD(model[0].parameters(), lr=LEARNING_RATE),
        torch.optim.SGD(model[2].parameters(), lr=LEARNING_RATE),
    ]
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizers if given else None, every=1)
        for step in range(3):
            loss_of(model).backward()
            for optimizer in optimizers:
                optimizer.step()
                assert writer.step == step
            model.zero_grad()
    recording = read(tmp_path)
    assert_gradients_explain_the_updates(recording, 3)
    assert [row.group for row in recording.description.parameters] == [0, 0, 1, 1]


def test_an_optimizer_made_after_watch_is_found_and_a_stranger_is_not(tmp_path):
    model, stranger = network(), nn.Linear(2, 2)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, every=1)
        other = sgd(stranger)
        optimizer = sgd(model)
        for _ in range(3):
            loss_of(model).backward()
            optimizer.step()
            optimizer.zero_grad()
            stranger(torch.randn(3, 2)).sum().backward()
            other.step()
    recording = read(tmp_path)
    assert_gradients_explain_the_updates(recording, 3)
    assert len(recording.description.groups) == 1


def test_an_optimizer_per_parameter_that_steps_in_the_backward_pass(tmp_path):
    model = network()
    optimizers = {p: torch.optim.SGD([p], lr=LEARNING_RATE) for p in model.parameters()}

    def step_at_once(parameter):
        optimizers[parameter].step()
        optimizers[parameter].zero_grad()

    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(step_at_once)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, every=1)
        for step in range(3):
            loss_of(model).backward()
            assert writer.step == step
    assert_gradients_explain_the_updates(read(tmp_path), 3)


def test_two_models_have_each_their_own_steps_and_names(tmp_path):
    generator, critic = network(), network()
    first, second = sgd(generator), sgd(critic)
    with NetVizWriter(tmp_path) as writer:
        one = writer.watch(generator, name="generator", every=1)
        two = writer.watch(critic, name="critic", every=1)
        for _ in range(3):
            for _ in range(2):
                loss_of(critic).backward()
                second.step()
                second.zero_grad()
            loss_of(generator).backward()
            first.step()
            first.zero_grad()
        assert (writer.step, one.step, two.step) == (2, 2, 5)
    assert_gradients_explain_the_updates(read(tmp_path, "generator"), 3)
    assert_gradients_explain_the_updates(read(tmp_path, "critic"), 6)


def test_models_without_a_name_are_told_apart(tmp_path):
    models = [network() for _ in range(3)]
    with NetVizWriter(tmp_path) as writer:
        for model in models:
            writer.watch(model, every=1)
        for model in models:
            loss_of(model).backward()
            sgd(model).step()
        with pytest.raises(ValueError, match="Sequential 2"):
            writer.watch(network(), name="Sequential 2")
    for name in ("", "Sequential", "Sequential 2"):
        assert sorted(read(tmp_path, name).tables) == [0]


def test_an_optimizer_that_does_not_hold_the_model_is_named_and_passed_over(tmp_path):
    model = network()
    wrong = torch.optim.Adam(network().parameters())
    right = sgd(model)
    with NetVizWriter(tmp_path) as writer:
        with pytest.warns(UserWarning, match="Adam holds no parameter of Sequential"):
            writer.watch(model, wrong, every=1)
        loss_of(model).backward()
        wrong.step()
        right.step()
    assert_gradients_explain_the_updates(read(tmp_path), 1)


def test_an_optimizer_inside_another(tmp_path):
    model = network()

    class Accelerated(torch.optim.Optimizer):
        def __init__(self, optimizer):
            self.optimizer = optimizer
            self.param_groups = optimizer.param_groups

        def step(self, closure=None):
            self.optimizer.step(closure)

    outer = Accelerated(sgd(model))
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, outer, every=1)
        for _ in range(2):
            loss_of(model).backward()
            outer.step()
            model.zero_grad()
    assert_gradients_explain_the_updates(read(tmp_path), 2)


def test_parameters_that_are_added_later_get_rows(tmp_path):
    model = network()
    optimizer = sgd(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(4):
            if step == 2:
                model.append(nn.Linear(2, 2))
                optimizer.add_param_group({"params": model[3].parameters(), "lr": LEARNING_RATE})
            loss_of(model).backward()
            optimizer.step()
            optimizer.zero_grad()
    recording = read(tmp_path)
    assert_gradients_explain_the_updates(recording, 4)
    assert set(recording.tables[3]) - set(recording.tables[1]) == {"3.weight", "3.bias"}
    assert len(recording.description.groups) == 2


def test_an_optimizer_that_takes_the_place_of_the_one_given_is_named(tmp_path):
    model = nn.Linear(3, 2)
    old, new, stranger = (torch.optim.SGD(m.parameters(), lr=0.1) for m in (model, model, nn.Linear(2, 2)))
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, old, every=1)
        stranger.step()
        with pytest.warns(UserWarning, match="an optimizer that watch was not given"):
            new.step()
        new.step()  # Where another warning would be an error.
    assert not read(tmp_path).tables
