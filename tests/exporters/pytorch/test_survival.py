"""Whether the gradients of a step are still there as the next backward pass adds to them."""

import math

import pytest
import torch
from torch import nn

from tb_netviz.pytorch import NetVizWriter
from tb_netviz.pytorch import survival as module
from tests.support.clips import network
from tests.support.survival import (
    GONE,
    KEPT,
    PLACES,
    STEPS,
    all_of,
    backward,
    kept,
    of_none,
    sgd,
    train,
    zero_grad,
)
from tests.support.watching import read


@pytest.mark.parametrize("parts", [1, 4])
def test_a_forgotten_zero_grad(tmp_path, parts):
    train(tmp_path, parts=parts)
    assert kept(tmp_path) == all_of(KEPT)


@pytest.mark.parametrize("parts", [1, 4])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("set_to_none", [True, False])
def test_zero_grad(tmp_path, set_to_none, place, parts):
    train(tmp_path, zero_grad(set_to_none), place=place, parts=parts)
    assert kept(tmp_path) == all_of(GONE)


def test_where_they_are_set_to_zero_it_is_looked_at_less_and_less_often(tmp_path):
    train(tmp_path, zero_grad(), steps=40)
    assert kept(tmp_path) == dict.fromkeys([*range(8), 15, 31], GONE)


def test_once_they_were_kept_every_step_is_followed(tmp_path):
    steps = iter(range(40))

    def forget(optimizer, _model):
        if next(steps) < 15:
            optimizer.zero_grad()

    train(tmp_path, forget, steps=40)
    assert kept(tmp_path) == dict.fromkeys(range(8), GONE) | dict.fromkeys(range(15, 39), KEPT)


@pytest.mark.parametrize("options", [{"foreach": True}, {"fused": True}, {"foreach": False}], ids=str)
def test_every_implementation_of_zero_grad_leaves_its_mark(tmp_path, options):
    train(tmp_path, zero_grad(set_to_none=False), optimizer_of=lambda p: torch.optim.Adam(p, **options))
    assert kept(tmp_path) == all_of(GONE)


@pytest.mark.parametrize("place", PLACES)
def test_zeros_that_are_written_through_data_leave_no_mark_and_are_seen(tmp_path, place):
    def forget(_optimizer, model):
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.grad.data.zero_()

    train(tmp_path, forget, place=place)
    assert kept(tmp_path) == all_of(GONE)


def test_momentum_by_hand(tmp_path):
    def decay(_optimizer, model):
        for parameter in model.parameters():
            parameter.grad.mul_(0.9)

    train(tmp_path, decay)
    assert kept(tmp_path) == {}  # Neither kept nor forgotten.


def test_micro_batches_that_are_clipped_one_by_one_are_not_told(tmp_path):
    model = network()
    optimizer = sgd(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for _ in range(STEPS):
            for _part in range(2):
                backward(model)
                nn.utils.clip_grad_norm_(model.parameters(), 0.01)
            optimizer.step()
    assert kept(tmp_path) == {}


def test_gradients_that_are_assigned_before_each_step_are_not_kept(tmp_path):
    """As of a judge whose gradients are asked for, while a generator's passes leave some in it."""
    model = network()
    optimizer = sgd(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for _ in range(STEPS):
            parameters = list(model.parameters())
            gradients = torch.autograd.grad(model(torch.randn(16, 6)).square().mean(), parameters)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            optimizer.step()
            backward(model)
    assert kept(tmp_path) == all_of(GONE)


def test_a_group_of_which_a_part_is_forgotten(tmp_path):
    train(tmp_path, lambda _optimizer, model: next(iter(model.children())).zero_grad())
    assert kept(tmp_path) == all_of(KEPT)


def test_gradients_that_are_replaced(tmp_path):
    def replace(_optimizer, model):
        for parameter in model.parameters():
            parameter.grad = parameter.grad * 0.5

    train(tmp_path, replace)
    assert kept(tmp_path) == all_of(GONE)


@pytest.mark.parametrize(
    "clip",
    [
        lambda model: nn.utils.clip_grad_norm_(model.parameters(), 0.1),
        lambda model: nn.utils.clip_grad_value_(model.parameters(), 0.01),
    ],
)
def test_clipping_forgets_nothing(tmp_path, clip):
    train(tmp_path, clip=clip)
    assert kept(tmp_path) == all_of(KEPT)


@pytest.mark.parametrize("forgotten", [0, 1])
def test_one_of_two_optimizers(tmp_path, forgotten):
    model = network()
    optimizers = [sgd(model[0]), sgd(model[2])]
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizers, every=1)
        for _ in range(STEPS):
            backward(model)
            for optimizer in optimizers:
                optimizer.step()
            optimizers[1 - forgotten].zero_grad()
    assert kept(tmp_path, place=forgotten) == all_of(KEPT)
    assert kept(tmp_path, place=1 - forgotten) == all_of(GONE)
    assert not kept(tmp_path)


def test_groups_apart(tmp_path):
    def optimizer_of(_):
        return torch.optim.SGD([{"params": model[0].parameters()}, {"params": model[2].parameters()}], lr=0.01)

    model = network()
    train(tmp_path, lambda *_: model[2].zero_grad(), optimizer_of=optimizer_of, model=model)
    assert kept(tmp_path, place=0) == all_of(KEPT)
    assert kept(tmp_path, place=1) == all_of(GONE)


def test_as_many_groups_as_have_a_learning_rate_on_record(tmp_path):
    model = nn.Sequential(*(nn.Linear(6, 6) for _ in range(10)))
    groups = [{"params": [parameter]} for parameter in model.parameters()]
    train(tmp_path, model=model, optimizer_of=lambda _: torch.optim.SGD(groups, lr=0.01), steps=2)
    found = read(tmp_path).metrics
    rates = {name.replace("learning_rate", "kept_gradients") for name in found if "learning_rate" in name}
    assert {name for name in found if "kept_gradients" in name} == rates
    assert len(rates) == 16


@pytest.mark.parametrize("through_data", [False, True])
@pytest.mark.parametrize("judge_is_forgotten", [False, True])
def test_a_gan(tmp_path, judge_is_forgotten, through_data):
    torch.manual_seed(0)
    maker, judge = nn.Linear(4, 2), nn.Linear(2, 1)
    makes, judges = sgd(maker), sgd(judge)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(maker, makes, name="maker", every=1)
        writer.watch(judge, judges, name="judge", every=1)
        for _ in range(STEPS):
            made = maker(torch.randn(8, 4))
            if not judge_is_forgotten:
                _set_to_zero(judge) if through_data else judges.zero_grad()
            (judge(made.detach()).mean() - judge(torch.randn(8, 2)).square().mean()).backward()
            judges.step()
            makes.zero_grad()
            (-judge(made)).mean().backward()  # Adds to the gradients of the judge.
            makes.step()
    assert kept(tmp_path, "maker") == all_of(GONE)
    assert kept(tmp_path, "judge") == all_of(KEPT if judge_is_forgotten else GONE)


def _set_to_zero(model):
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad.data.zero_()


def test_an_optimizer_that_steps_more_rarely(tmp_path):
    model = network()
    often, rarely = sgd(model[0]), sgd(model[2])
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, [often, rarely], every=1)
        for step in range(7):
            backward(model)
            often.step()
            often.zero_grad()
            if step % 3 == 0:
                rarely.step()
    assert set(kept(tmp_path, place=0).values()) == {GONE}
    assert kept(tmp_path, place=1) == {0: KEPT, 3: KEPT}


def test_every_third_step(tmp_path):
    model = network()
    hooks = []

    def look(model):
        hooks.append(len(model[0].weight._backward_hooks or ()))

    train(tmp_path, clip=look, model=model, steps=9, every=3)
    assert kept(tmp_path) == {0: KEPT, 3: KEPT, 6: KEPT}
    assert hooks == [0, 1, 0, 0, 1, 0, 0, 1, 0]
    assert of_none(model)


def test_nothing_is_said_of_closures(tmp_path):
    model = network()
    inputs = torch.randn(16, 6)
    with NetVizWriter(tmp_path) as writer:
        for name, optimizer in {
            "lbfgs": torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=3),
            "sgd": sgd(model),
        }.items():
            with writer.watch(model, optimizer, name=name, every=1):
                for _ in range(STEPS):
                    optimizer.step(lambda: _loss_of(model, inputs, optimizer))  # noqa: B023  Called at once.
    assert not any("kept_gradients" in name for name in read(tmp_path).metrics)
    assert of_none(model)


def _loss_of(model, inputs, optimizer):
    optimizer.zero_grad()
    loss = model(inputs).square().mean()
    loss.backward()
    return loss


def test_steps_that_a_loss_scaler_leaves_out(tmp_path):
    model, scaler, overflows = network(), torch.amp.GradScaler("cpu", init_scale=1024.0), {0, 3, 4}
    optimizer = sgd(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for attempt in range(9):
            optimizer.zero_grad()
            loss = model(torch.randn(16, 6)).square().mean()
            scaler.scale(loss * (math.inf if attempt in overflows else 1.0)).backward()
            scaler.step(optimizer)
            scaler.update()
    assert sorted(read(tmp_path).tables) == [1, 2, 5, 6, 7, 8]
    assert kept(tmp_path) == {1: GONE, 2: GONE, 5: GONE, 6: GONE, 7: GONE}


def test_steps_that_are_left_out_by_hand(tmp_path):
    model = network()
    optimizer = sgd(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for attempt in range(3 * STEPS):
            backward(model)
            if attempt % 3 != 1:
                optimizer.step()
    assert kept(tmp_path) == all_of(KEPT, 2 * STEPS)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("forgotten", [False, True])
def test_other_precisions(tmp_path, dtype, forgotten):
    model = network().to(dtype)
    train(tmp_path, None if forgotten else zero_grad(), model=model, dtype=dtype)
    assert kept(tmp_path) == all_of(KEPT if forgotten else GONE)


@pytest.mark.parametrize("size", [1e-30, math.nan])
def test_gradients_are_neither_too_small_nor_no_numbers(tmp_path, size):
    model = nn.Linear(6, 2)
    optimizer = sgd(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for _ in range(STEPS):
            (model(torch.randn(8, 6)).mean() * size).backward()
            optimizer.step()
    assert kept(tmp_path) == all_of(KEPT)


def test_complex_gradients(tmp_path):
    model = nn.Linear(6, 2, dtype=torch.complex64)
    optimizer = sgd(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for _ in range(STEPS):
            model(torch.randn(8, 6, dtype=torch.complex64)).abs().mean().backward()
            optimizer.step()
    assert kept(tmp_path) == all_of(KEPT)


def test_of_sparse_gradients_nothing_is_said(tmp_path):
    model = nn.EmbeddingBag(20, 4, sparse=True)
    optimizer = sgd(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for _ in range(STEPS):
            model(torch.randint(0, 20, (5, 3))).square().sum().backward()
            optimizer.step()
    assert len(read(tmp_path).tables) == STEPS
    assert kept(tmp_path) == {}
    assert of_none(model)


def test_of_gradients_that_are_parts_of_one_tensor_nothing_is_said(tmp_path):
    class Joined(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = (nn.Parameter(torch.randn(rows, 6)) for rows in (2, 3))

        def forward(self, inputs):
            return nn.functional.linear(inputs, torch.cat([self.one, self.two]))

    one, two = (parameter.grad for parameter in train(tmp_path, model=Joined()).parameters())
    assert one is not None
    assert two is not None
    assert one.untyped_storage().data_ptr() == two.untyped_storage().data_ptr()
    assert kept(tmp_path) == {}


def test_frozen_parameters_are_passed_over(tmp_path):
    model = network()
    model[0].requires_grad_(False)
    train(tmp_path, model=model)
    assert kept(tmp_path) == all_of(KEPT)


@pytest.mark.filterwarnings("ignore:Using backward:UserWarning")
@pytest.mark.parametrize("forgotten", [False, True])
def test_gradients_with_a_graph_are_added_to_in_new_tensors(tmp_path, forgotten):
    train(tmp_path, None if forgotten else zero_grad(), parts=2, create_graph=True)
    assert kept(tmp_path) == all_of(KEPT if forgotten else GONE)


@pytest.mark.parametrize("forgotten", [False, True])
def test_gradients_that_are_asked_for_and_not_added(tmp_path, forgotten):
    def ask(_optimizer, model):
        if not forgotten:
            model.zero_grad()
        torch.autograd.grad(model(torch.randn(4, 6)).sum(), [*model.parameters()])

    train(tmp_path, ask)
    assert kept(tmp_path) == all_of(KEPT if forgotten else GONE)


def test_where_gradients_are_only_asked_for_nothing_is_said(tmp_path):
    model = network()
    optimizer = sgd(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for _ in range(STEPS):
            gradients = torch.autograd.grad(model(torch.randn(4, 6)).sum(), [*model.parameters()])
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                parameter.grad = gradient
            optimizer.step()
    assert len(read(tmp_path).tables) == STEPS
    assert kept(tmp_path) == {}


def test_of_more_passes_than_are_looked_at_nothing_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PASSES", 3)
    train(tmp_path / "few", parts=3)
    train(tmp_path / "many", parts=4)
    assert kept(tmp_path / "few") == all_of(KEPT)
    assert kept(tmp_path / "many") == {}


def test_after_a_pass_that_was_broken_off_nothing_is_said_of_that_step(tmp_path):
    model = network()
    optimizer = sgd(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(STEPS):
            if step == 2:
                handle = model[0].weight.register_post_accumulate_grad_hook(_break_off)
                with pytest.raises(RuntimeError, match="broken off"):
                    backward(model)
                handle.remove()
            backward(model)
            optimizer.step()
    assert kept(tmp_path) == {step: KEPT for step in range(STEPS - 1) if step != 1}


def _break_off(_parameter):
    raise RuntimeError("broken off")
