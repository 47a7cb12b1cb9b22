"""Signals and gradients that both grow, so that the first steps spoil the weights before anything else is seen."""

import pytest
import torch
from torch import nn

from tb_netviz_plugin.diagnosis import Severity

RULE = "exploding_gradient"


class Blocks(nn.Module):
    """Blocks that are added to what comes in, normalised before or not."""

    def __init__(self, *, norm=False, scale=1.0, depth=20):
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.head = nn.Linear(16, 16), nn.Linear(16, 4)
        self.norms = nn.ModuleList(nn.LayerNorm(16) if norm else nn.Identity() for _ in range(depth))
        self.blocks = nn.ModuleList(nn.Linear(16, 16) for _ in range(depth))
        for block in self.blocks:
            nn.init.kaiming_normal_(block.weight)
            block.weight.data.mul_(scale)

    def forward(self, hidden):
        hidden = self.stem(hidden)
        for norm, block in zip(self.norms, self.blocks, strict=True):
            hidden = hidden + block(torch.relu(norm(hidden)))
        return self.head(hidden)


class Adder(nn.Module):
    """A recurrence of one's own that adds up what it gets."""

    def __init__(self, back):
        super().__init__()
        torch.manual_seed(0)
        self.inside, self.back, self.head = nn.Linear(2, 24), nn.Linear(24, 24, bias=False), nn.Linear(24, 1)
        nn.init.eye_(self.back.weight)
        self.back.weight.data.mul_(back)

    def forward(self, sequences):
        state = torch.zeros(len(sequences), 24)
        for place in range(sequences.shape[1]):
            state = torch.relu(self.inside(sequences[:, place]) + self.back(state))
        return self.head(state)


def classes(step):
    generator = torch.Generator().manual_seed(step)
    inputs = torch.randn(64, 16, generator=generator)
    return inputs, inputs[:, :4].argmax(1)


def sequences(step):
    inputs = torch.rand(32, 30, 2, generator=torch.Generator().manual_seed(step))
    return inputs, inputs[:, :, 0].mean(1, keepdim=True)


def steps_of(model, rate):
    return torch.optim.SGD(model.parameters(), lr=rate)


@pytest.mark.parametrize(("norm", "expected"), [(False, [RULE]), (True, [])])
def test_blocks_that_nothing_normalises(train, norm, expected):
    model = Blocks(norm=norm)
    run = train(model, nn.CrossEntropyLoss(), classes, optimizer=steps_of(model, 0.05))
    causes = [one for one in run.report({}).findings if one.severity is Severity.CRITICAL]
    assert [cause.rule for cause in causes] == expected
    assert all(cause.first_step == 0 and cause.subject == "sums" for cause in causes)


@pytest.mark.parametrize(("norm", "expected"), [(False, [RULE]), (True, [])])
def test_where_steps_are_small_only_the_loss_begins_too_large(train, norm, expected):
    model = Blocks(norm=norm)
    run = train(model, nn.CrossEntropyLoss(), classes, optimizer=steps_of(model, 1e-5))
    told = [one for one in run.report({}).findings if one.severity is not Severity.INFO]
    assert [one.rule for one in told] == expected
    assert all(one.severity is Severity.WARNING and "outputs begin so large that" in one.message for one in told)
    assert all([effect.rule for effect in one.consequences] == ["poor_init"] for one in told)


def test_weights_that_are_too_large_are_told_as_that(train, told):
    run = train(Blocks(scale=4.0, depth=6), nn.CrossEntropyLoss(), classes, rate=1e-4)
    assert [one for one in told(run, RULE) if one.subject] == []
    assert told(run, "poor_init")


@pytest.mark.parametrize(("back", "expected"), [(1.4, [(1,)]), (0.9, [])])
def test_a_recurrence_of_ones_own(train, back, expected):
    model = Adder(back)
    run = train(model, nn.MSELoss(), sequences, optimizer=steps_of(model, 1e-2))
    causes = [one for one in run.report({}).findings if one.severity is Severity.CRITICAL]
    assert [cause.layers for cause in causes if cause.rule == RULE] == expected
    assert len(causes) == len(expected)
