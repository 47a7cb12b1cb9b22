"""Losses that swing since the batches hold one kind of targets after the other."""

import pytest
import torch
from torch import nn

RULE = "loss_oscillation"
EACH = 15
"""Steps for which batches of one kind come."""


def drawn(step, kind, size=32):
    """Return points of one class, or of both, about places that lie near each other."""
    generator = torch.Generator().manual_seed(step)
    classes = torch.randint(2, (size,), generator=generator) if kind is None else torch.full((size,), kind)
    return classes[:, None] - 0.5 + torch.randn(size, 8, generator=generator), classes


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))


@pytest.fixture
def found(train, told):
    def of(batch, steps=180, **about):
        optimizer = torch.optim.SGD((model := network()).parameters(), lr=0.1, momentum=0.5)
        return told(
            train(model, about.pop("criterion", nn.CrossEntropyLoss()), batch, steps, optimizer=optimizer), RULE
        )

    return of


def test_sorted_data_are_named(found):
    (finding,) = found(lambda step: drawn(step, step // EACH % 2))
    assert (finding.first_step, finding.severity.id, finding.subject) == (0, "warning", "sorted")
    assert finding.message.startswith("The targets of a batch are of one kind, which changes 11 times")
    assert finding.remedies[0].code == "DataLoader(dataset, shuffle=True)"


def test_so_are_numbers_in_order(found):
    def batch(step):
        inputs, classes = drawn(step, step // EACH % 2)
        return inputs, 3.0 * classes[:, None].expand(-1, 2) + 0.1 * inputs[:, :2]

    (finding,) = found(batch, criterion=nn.MSELoss())
    assert finding.subject == "sorted"


def test_data_that_are_shuffled_are_left_alone(found):
    assert found(lambda step: drawn(step, None)) == []


def test_single_samples_are_of_one_kind_by_themselves(found):
    assert all(finding.subject != "sorted" for finding in found(lambda step: drawn(step, None, size=1)))


def test_a_few_targets_far_out_make_no_order(found):
    def batch(step):
        inputs, _ = drawn(step, None)
        targets = inputs[:, :2].clone()
        targets[0] -= 10_000.0 * (step % 12 == 5)
        return inputs, targets

    assert all(finding.subject != "sorted" for finding in found(batch, criterion=nn.L1Loss()))


def test_a_stream_that_changes_now_and_then_only_is_left_alone(found):
    assert found(lambda step: drawn(step, step // 60 % 2)) == []


class Tasks(nn.Module):
    """A body, and a head for each of two tasks; the first input says which one it is."""

    def __init__(self):
        super().__init__()
        self.body, self.heads = nn.Linear(8, 16), nn.ModuleList(nn.Linear(16, 1) for _ in range(2))

    def forward(self, inputs):
        return self.heads[int(inputs[0, 0] > 50)](self.body(inputs[:, 1:]).tanh())


def test_tasks_that_take_turns_and_each_have_a_loss_of_their_own_are_left_alone(train, told):
    def batch(step):
        other, generator = step // 10 % 2, torch.Generator().manual_seed(step)
        inputs, noise = (torch.randn(32, size, generator=generator) for size in (8, 1))
        targets = (5 + 0.5 * noise) if other else (0.05 * noise)
        return torch.cat([torch.full((32, 1), 100.0 * other), inputs], 1), targets

    findings = told(train(Tasks(), nn.MSELoss(), batch, 200, rate=2e-2), RULE)
    assert all(finding.subject != "sorted" for finding in findings)


def test_what_the_order_brings_about_stands_below_it(train):
    optimizer = torch.optim.SGD((model := network()).parameters(), lr=0.3, momentum=0.9)
    run = train(model, nn.CrossEntropyLoss(), lambda step: drawn(step, step // EACH % 2), 180, optimizer=optimizer)
    report = run.report({})
    assert "lr_too_high" in {finding.rule for finding in report.every}
    (cause,) = (finding for finding in report.findings if finding.rule == RULE)
    assert "lr_too_high" in {finding.rule for finding in cause.consequences}
