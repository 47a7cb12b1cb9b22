"""Every column against a float64 computation by hand, on real training steps."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tb_netviz.pytorch import NetVizWriter
from tb_netviz.statistics.gradient import COLUMNS as GRADIENT_COLUMNS
from tests.support.watching import ByHand, assert_equal, read

STEPS = 6


def mlp():
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))


def train(folder, model, optimizer, loss_of, *, steps=STEPS, around=lambda step: step(), **options):
    """Train `steps` steps, watched; return what was recorded and what it should be."""
    by_hand = ByHand(model)
    with NetVizWriter(folder) as writer:
        writer.watch(model, optimizer, every=1, **options)
        for step in range(steps):
            loss_of(model).backward()
            by_hand.before()
            around(optimizer.step)
            by_hand.after(step)
            optimizer.zero_grad()
    return read(folder), by_hand.tables


def regression(model):
    return model(torch.randn(32, 12)).square().mean()


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "nesterov, which overwrites gradients": lambda p: torch.optim.SGD(
        p, lr=0.1, momentum=0.9, nesterov=True, foreach=True
    ),
    "adam": torch.optim.Adam,
    "adam, fused": lambda p: torch.optim.Adam(p, fused=True),
    "adamw": lambda p: torch.optim.AdamW(p, foreach=True),
    "adagrad, which overwrites gradients": lambda p: torch.optim.Adagrad(p, foreach=True),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_columns_are_those_of_the_gradients_that_the_optimizer_was_given(tmp_path, optimizer):
    torch.manual_seed(1)
    model = mlp()
    recording, expected = train(tmp_path, model, optimizer(model.parameters()), regression)
    assert sorted(recording.tables) == list(range(STEPS))
    for step, table in recording.tables.items():
        assert_equal(table, expected[step])
    assert math.isnan(recording.tables[0]["0.weight"]["grad_dot_last"])
    assert not math.isnan(recording.tables[1]["0.weight"]["grad_dot_last"])


def test_large_tensors_are_reduced_in_blocks(tmp_path):
    torch.manual_seed(2)
    model = nn.Linear(700, 600)
    recording, expected = train(
        tmp_path,
        model,
        torch.optim.SGD(model.parameters(), lr=0.1),
        lambda m: m(torch.randn(4, 700)).relu().square().mean(),
        steps=2,
    )
    assert_equal(recording.tables[1], expected[1])


def test_channels_last_gradients(tmp_path):
    torch.manual_seed(3)
    model: Any = nn.Conv2d(8, 16, 3)
    model = model.to(memory_format=torch.channels_last)

    def loss(m):
        return m(torch.randn(2, 8, 9, 9).to(memory_format=torch.channels_last)).square().mean()

    loss(model).backward()
    assert not model.weight.grad.is_contiguous()
    model.zero_grad()
    recording, expected = train(tmp_path, model, torch.optim.SGD(model.parameters(), lr=0.1), loss, steps=2)
    assert_equal(recording.tables[1], expected[1])


@pytest.mark.parametrize(("dtype", "relative"), [(torch.float16, 2e-5), (torch.bfloat16, 2e-5), (torch.float64, 1e-6)])
def test_other_types_are_accumulated_in_float32_or_wider(tmp_path, dtype, relative):
    torch.manual_seed(4)
    model = nn.Linear(64, 64).to(dtype)

    def loss(m):
        return (m(torch.randn(8, 64).to(dtype)).double() * 30).square().sum()

    model.weight.grad = None
    recording, expected = train(tmp_path, model, torch.optim.SGD(model.parameters(), lr=1e-6), loss, steps=2)
    assert expected[1]["weight"]["grad_norm"] > 300  # Its square is beyond float16.
    assert_equal(recording.tables[1], expected[1], relative)


@pytest.mark.parametrize("scale", [1e-25, 1e-38, 1e-30, 1e-14, 1e17, 1e25])
def test_no_underflow_and_no_overflow(tmp_path, scale):
    torch.manual_seed(5)
    model = nn.Linear(20, 30, bias=False)
    recording, expected = train(
        tmp_path,
        model,
        torch.optim.SGD(model.parameters(), lr=0.0),
        lambda m: (m(torch.randn(4, 20)) * scale).sum(),
        steps=2,
    )
    found, wanted = recording.tables[1]["weight"], expected[1]["weight"]
    for column in ("grad_norm", "grad_abs_sum", "grad_abs_max", "grad_norm_last"):
        assert found[column] > 0
        assert found[column] == pytest.approx(wanted[column], rel=1e-4)
    if 1e-37 < wanted["grad_norm"] * wanted["grad_norm_last"] < 1e38:
        assert found["grad_dot_last"] == pytest.approx(wanted["grad_dot_last"], rel=1e-3)
    else:
        assert found["grad_dot_last"] != 0  # A right angle would be a lie.


def test_non_finite_gradients_are_counted_exactly_and_blank_the_rest(tmp_path):
    torch.manual_seed(6)
    model = mlp()

    def loss(m):
        value = regression(m)
        m[0].weight.register_hook(
            lambda g: g.index_put(
                (torch.tensor([0, 1, 2]), torch.tensor([0, 0, 5])), torch.tensor([math.nan, math.inf, -math.inf])
            )
        )
        return value

    recording, expected = train(tmp_path, model, torch.optim.SGD(model.parameters(), lr=0.0), loss, steps=3)
    table = recording.tables[0]
    assert table["0.weight"]["grad_nonfinite"] == 3
    assert table["0.weight"]["present"] == 1
    assert all(math.isnan(table["0.weight"][c]) for c in ("grad_norm", "grad_sum", "grad_zeros", "grad_dot_last"))
    assert_equal({"0.bias": table["0.bias"]}, {"0.bias": expected[0]["0.bias"]})


def test_finite_gradients_whose_sums_overflow_are_not_called_non_finite(tmp_path):
    model = nn.Linear(100, 100, bias=False)
    recording, _ = train(
        tmp_path,
        model,
        torch.optim.SGD(model.parameters(), lr=0.0),
        lambda m: (m.weight * 1e37).sum(),
        steps=1,
    )
    assert recording.tables[0]["weight"]["grad_nonfinite"] == 0
    assert recording.tables[0]["weight"]["grad_norm"] == pytest.approx(1e39, rel=1e-5) or math.isinf(
        recording.tables[0]["weight"]["grad_norm"]
    )


def test_frozen_unused_and_later_unfrozen_parameters(tmp_path):
    torch.manual_seed(7)
    model = mlp()
    model[0].weight.requires_grad_(False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    by_hand = ByHand(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(4):
            if step == 2:
                model[0].weight.requires_grad_(True)
            regression(model).backward()
            by_hand.before()
            optimizer.step()
            by_hand.after(step)
            optimizer.zero_grad()
    recording = read(tmp_path)
    for step, table in recording.tables.items():
        assert_equal(table, by_hand.tables[step])
    assert recording.tables[1]["0.weight"]["present"] == 0
    assert math.isnan(recording.tables[1]["0.weight"]["grad_norm"])
    assert recording.tables[1]["0.weight"]["weight_norm"] > 0
    assert recording.tables[3]["0.weight"]["present"] == 1
    frozen = [description.parameters[0].frozen for description in recording.descriptions]
    assert frozen == [True, False]


def test_tied_parameters_have_one_row(tmp_path):
    torch.manual_seed(8)
    model = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6))
    model[2].weight = model[0].weight
    recording, expected = train(
        tmp_path,
        model,
        torch.optim.SGD(model.parameters(), lr=0.1),
        lambda m: m(torch.randn(3, 6)).square().mean(),
    )
    assert [row.name for row in recording.description.parameters] == ["0.weight", "0.bias", "2.bias"]
    assert_equal(recording.tables[3], expected[3])


def test_sparse_gradients_count_their_implicit_zeros(tmp_path):
    torch.manual_seed(9)
    model = nn.Embedding(50, 4, sparse=True)
    recording, expected = train(
        tmp_path,
        model,
        torch.optim.SGD(model.parameters(), lr=0.1),
        lambda m: m(torch.tensor([1, 1, 7, 30])).square().mean(),
    )
    found = recording.tables[3]["weight"]
    assert found["grad_zeros"] == 47 * 4
    assert math.isnan(found["grad_dot_last"])  # A pair of sparse gradients is not kept.
    wanted = expected[3]["weight"] | {"grad_dot_last": math.nan, "grad_norm_last": math.nan}
    assert_equal({"weight": found}, {"weight": wanted})
    counts = recording.bins[0]["weight"]
    assert counts.sum() == 200
    assert counts[0] == 47 * 4


def test_complex_parameters(tmp_path):
    torch.manual_seed(10)

    class Rotation(nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = nn.Parameter(torch.randn(9, 5, dtype=torch.complex64))

        def forward(self, x):
            return (x * self.factor).abs().square().mean()

    model = Rotation()
    recording, expected = train(
        tmp_path,
        model,
        torch.optim.SGD(model.parameters(), lr=0.1),
        lambda m: m(torch.randn(9, 5, dtype=torch.complex64)),
    )
    assert_equal(recording.tables[2], expected[2])


def test_a_parameter_that_has_no_gradient_for_a_while(tmp_path):
    torch.manual_seed(11)
    model = mlp()
    recording, expected = train(
        tmp_path,
        model,
        torch.optim.Adam(model.parameters()),
        lambda m: m[0](torch.randn(8, 12)).square().mean(),
    )
    for step, table in recording.tables.items():
        assert_equal(table, expected[step])
    assert recording.tables[2]["4.weight"]["present"] == 0
    assert recording.tables[2]["4.weight"]["update_norm"] == 0


def test_parameters_that_no_optimizer_holds(tmp_path):
    torch.manual_seed(12)
    model = mlp()
    recording, expected = train(tmp_path, model, torch.optim.SGD(model[4].parameters(), lr=0.1), regression)
    # Nobody zeroes the gradients of the others, so they add up; they are shown as they are.
    assert_equal(recording.tables[3], expected[3])
    assert [row.group for row in recording.description.parameters] == [None, None, None, None, 0, 0]


def test_columns_that_are_switched_off_are_not_written(tmp_path):
    torch.manual_seed(13)
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    without, _ = train(tmp_path / "a", model, optimizer, regression, updates=False)
    assert list(without.tables[1]["0.weight"]) == ["present", *GRADIENT_COLUMNS, "weight_norm"]
    weights, _ = train(tmp_path / "b", model, optimizer, regression, gradients=False)
    assert set(weights.tables[1]["0.weight"]) == {"weight_norm", "update_norm"}
    assert not weights.bins


def test_bins_count_a_strided_sample(tmp_path):
    torch.manual_seed(14)
    model = nn.Linear(300, 100)
    gradients = {}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        model(torch.randn(4, 300)).relu().square().mean().backward()
        gradients = {
            name: p.grad.double().flatten().numpy().copy() for name, p in model.named_parameters() if p.grad is not None
        }
        optimizer.step()
    found = read(tmp_path).bins[0]
    sample = np.abs(gradients["weight"][::11])  # Of 30,000, with which 8, 9 and 10 share a divisor.
    expected = np.zeros(128, dtype=int)
    for value in sample:
        expected[0 if value == 0 else 3 + 104 + math.floor(math.log2(value))] += 1
    assert found["weight"].tolist() == expected.tolist()
    assert found["bias"].sum() == 100
