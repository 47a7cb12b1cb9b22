"""Several optimizers, in turn or for the same parameters."""

import math

import pytest
import torch
from torch import nn

from tb_netviz.pytorch import NetVizWriter
from tests.support.loops import RATE, check, network, sgd
from tests.support.watching import ByHand, assert_equal, read


@pytest.mark.parametrize("given", [True, False])
def test_a_gan(tmp_path, given):
    torch.manual_seed(9)
    generator, critic = network(), nn.Sequential(nn.Linear(2, 8), nn.LeakyReLU(), nn.Linear(8, 1))
    first, second = sgd(generator), sgd(critic)
    hands = {"generator": ByHand(generator), "critic": ByHand(critic)}
    with NetVizWriter(tmp_path) as writer:
        writer.watch(generator, first if given else None, name="generator", every=1)
        writer.watch(critic, second if given else None, name="critic", every=1)
        for step in range(4):
            fake = generator(torch.randn(8, 6))
            second.zero_grad()
            (critic(fake.detach()).mean() - critic(torch.randn(8, 2)).mean()).backward()
            hands["critic"].before()
            second.step()
            hands["critic"].after(step)
            first.zero_grad()
            (-critic(fake).mean()).backward()  # Leaves gradients in the critic, too.
            hands["generator"].before()
            first.step()
            hands["generator"].after(step)
    for name, by_hand in hands.items():
        recording = check(tmp_path, by_hand, 4, name)
        assert all(columns["present"] == 1 for columns in recording.tables[3].values())


def test_two_optimizers_of_which_one_steps_more_rarely(tmp_path):
    torch.manual_seed(10)
    model = network()
    often, rarely = sgd(model[0]), sgd(model[4])
    by_hand = ByHand(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, [often, rarely], every=1)
        for step in range(6):
            model(torch.randn(8, 6)).square().mean().backward()
            by_hand.before()
            often.step()
            if step % 3 == 2:
                rarely.step()
            by_hand.after(step)
            model.zero_grad()
    recording = read(tmp_path)
    assert sorted(recording.tables) == list(range(6))
    for step, table in recording.tables.items():
        for row in ("0.weight", "0.bias"):
            assert_equal({row: table[row]}, {row: by_hand.tables[step][row]})
        columns = table["4.weight"]
        if step % 3 == 2:
            assert columns["update_norm"] == pytest.approx(RATE * columns["grad_norm"], rel=1e-3)
        else:  # Nobody said what became of it.
            assert math.isnan(columns["update_norm"])


def test_an_optimizer_per_parameter_in_the_backward_pass(tmp_path):
    torch.manual_seed(15)
    model = network()
    gradients: dict[str, list[float]] = {}
    updates: dict[str, list[float]] = {}
    for name, parameter in model.named_parameters():
        optimizer = torch.optim.SGD([parameter], lr=RATE)

        def step(tensor, name=name, optimizer=optimizer):
            before = tensor.detach().double()
            gradients.setdefault(name, []).append(tensor.grad.double().norm().item())
            optimizer.step()
            updates.setdefault(name, []).append((tensor.detach().double() - before).norm().item())
            optimizer.zero_grad()

        parameter.register_post_accumulate_grad_hook(step)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, every=1)
        for number in range(4):
            model(torch.randn(8, 6)).square().mean().backward()
            assert writer.step == number
    tables = read(tmp_path).tables
    assert sorted(tables) == [0, 1, 2, 3]
    for name, norms in gradients.items():
        assert [tables[step][name]["grad_norm"] for step in range(4)] == pytest.approx(norms, rel=1e-5)
        assert [tables[step][name]["update_norm"] for step in range(4)] == pytest.approx(updates[name], rel=1e-4)


def test_a_parameter_that_two_optimizers_step_has_moved_since_the_first_of_them(tmp_path):
    model = nn.Linear(4, 3)
    first, second = (torch.optim.SGD(model.parameters(), lr=0.5) for _ in range(2))
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, [first, second], every=1, histograms=False)
        model(torch.randn(8, 4)).square().mean().backward()
        before = model.weight.detach().clone()
        first.step()
        second.step()
        moved = (model.weight.detach() - before).double().norm().item()
    assert read(tmp_path).tables[0]["weight"]["update_norm"] == pytest.approx(moved, rel=1e-5)
