"""Optimizers that get a closure: what is recorded is the gradient of its last evaluation."""

import pytest
import torch

from tb_netviz.pytorch import NetVizWriter
from tests.support.loops import RATE, network, sgd
from tests.support.watching import ByHand, read


def test_lbfgs_takes_the_gradient_of_its_last_evaluation(tmp_path):
    torch.manual_seed(7)
    model = network()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=4)
    by_hand = ByHand(model)
    x = torch.randn(16, 6)

    def closure():
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        return loss

    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(4):
            by_hand.before()
            optimizer.step(closure)
            by_hand.after(step)
            assert writer.step == step
    recording = read(tmp_path)
    assert sorted(recording.tables) == [0, 1, 2, 3]
    # The gradient that is there after a step is what the next one finds before it.
    for step in range(3):
        found, later = recording.tables[step], by_hand.tables[step + 1]
        for name, columns in found.items():
            assert columns["grad_norm"] == pytest.approx(later[name]["grad_norm"], rel=1e-5)
            assert columns["update_norm"] == pytest.approx(by_hand.tables[step][name]["update_norm"], rel=1e-5)


def test_a_closure_under_accumulation(tmp_path):
    torch.manual_seed(8)
    model = network()
    optimizer = sgd(model)

    def closure():
        optimizer.zero_grad()
        for _ in range(4):
            (model(torch.randn(4, 6)).square().mean() / 4).backward()

    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for _ in range(3):
            optimizer.step(closure)
    tables = read(tmp_path).tables
    assert len(tables) == 3
    for columns in (columns for table in tables.values() for columns in table.values()):
        assert columns["grad_norm"] == pytest.approx(columns["update_norm"] / RATE, rel=1e-3)


def test_a_step_that_the_user_breaks_off(tmp_path):
    """An exception in the optimizer's step is the user's to handle; what follows is recorded."""
    torch.manual_seed(18)
    model = network()
    optimizer = sgd(model)
    fails = [False]

    def closure():
        if fails[0]:
            raise ArithmeticError("theirs")
        optimizer.zero_grad()
        loss = model(torch.randn(8, 6)).square().mean()
        loss.backward()
        return loss

    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for number in range(5):
            fails[0] = number == 2
            if fails[0]:
                with pytest.raises(ArithmeticError, match="theirs"):
                    optimizer.step(closure)
            else:
                optimizer.step(closure)
    tables = read(tmp_path).tables
    assert len(tables) == 4
    for columns in (columns for table in tables.values() for columns in table.values()):
        assert columns["grad_norm"] == pytest.approx(columns["update_norm"] / RATE, rel=1e-3)
