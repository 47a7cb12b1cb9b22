"""Gradients that grow so far that the first step overwrites weights, leap all the time, or make a loss begin huge."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.support.modelled import RECORDS, Model, falling, flat, found

RULE = "exploding_gradient"


def deep(*, grows=1.35, step=0.9):
    """Return a model of 16 layers whose first gradient grows with each, so that the first step overwrites the first."""
    model = Model(layers={f"conv{at}": {"weight": (8, 8)} for at in range(16)}, decay=1.0)
    model.norms[0] = grows ** np.arange(16)[::-1]
    model.ratios[0] = step * grows ** -np.arange(16.0)
    return model


def test_a_first_step_that_overwrites_the_layers_next_to_the_input():
    (finding,) = found(RULE, deep(grows=1.5), train=flat())
    assert finding.layers[0] == 0
    assert (finding.first_step, finding.last_step) == (0, 0)
    assert "leaves little of those of 2 layers" in finding.message


@pytest.mark.parametrize(
    ("about", "loss"),
    [({"grows": 1.3}, flat()), ({"grows": 1.5, "step": 0.3}, flat()), ({"grows": 1.5}, falling())],
)
def test_first_steps_that_leave_most_of_the_weights_or_do_no_harm(about, loss):
    assert found(RULE, deep(**about), train=loss) == []


def test_a_rate_that_is_too_high_for_all_layers_is_no_growth():
    model = deep(grows=1.5)
    model.ratios[0] = 0.9
    assert found(RULE, model, train=flat()) == []


def leaping(decades, size):
    """Return a model whose gradient is so many decades larger or smaller at each record, and so large at the median."""
    model = Model()
    signs = np.where(np.arange(RECORDS) % 2, 0.5, -0.5)
    model.norms *= size * 10 ** (decades * signs)[:, None]
    return model


@pytest.mark.parametrize(
    ("decades", "size", "loss", "expected"),
    [
        (1.2, 1e7, None, 1),
        (0.4, 1e7, None, 0),
        (1.2, 1.0, None, 0),
        (0.5, 1e5, flat(), 1),
        (0.5, 1e5, falling(), 0),
        (0.5, 1.0, flat(), 0),
        (0.2, 1e5, flat(), 0),
    ],
)
def test_gradients_that_leap_all_the_time(decades, size, loss, expected):
    findings = found(RULE, leaping(decades, size), train=loss)
    assert ["From record to record" in one.message for one in findings] == [True] * expected


class Rhythms(nn.Module):
    """A plain RNN with ReLU whose weights begin that large."""

    def __init__(self, limit):
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.head = nn.RNN(2, 48, nonlinearity="relu", batch_first=True), nn.Linear(48, 4)
        for value in self.parameters():
            nn.init.uniform_(value, -limit, limit)

    def forward(self, sequences):
        return self.head(self.rnn(sequences)[0][:, -1])


def rhythms(step):
    generator = torch.Generator().manual_seed(step)
    kind = torch.randint(4, (32,), generator=generator)
    signal = (0.3 * (1 + kind[:, None]) * torch.arange(40) + torch.rand(32, 1, generator=generator)).sin()
    return torch.stack([signal, signal.roll(1, 1)], 2), kind


def test_a_loss_that_begins_huge_may_fall_far_to_no_avail(train, told):
    """Growth through time steps is told all the same, and what is too loud is the layer that has them."""
    run = train(Rhythms(0.5), nn.CrossEntropyLoss(), rhythms, 80, 1e-3)
    assert [one.layers for one in told(run, RULE)] == [(0,)]
    assert [one.layers for one in told(run, "poor_init")] == [(0,)]


def test_a_recurrence_of_a_common_scale_is_left_alone(train, told):
    run = train(Rhythms(0.14), nn.CrossEntropyLoss(), rhythms, 80, 1e-3)
    assert told(run, RULE) + told(run, "poor_init") == []
