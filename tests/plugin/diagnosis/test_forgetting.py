"""Plain recurrent layers over sequences that are too long for a gradient."""

import pytest
import torch
from torch import nn

from tb_netviz_plugin.diagnosis import Severity

RULE = "vanishing_gradient"


class Reader(nn.Module):
    """Tells a number from the last state of a recurrent layer."""

    def __init__(self, kind=nn.RNN, *, batch_first=True):
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.head = kind(2, 16, batch_first=batch_first), nn.Linear(16, 1)
        self.batch_first = batch_first

    def forward(self, sequences):
        states = self.rnn(sequences if self.batch_first else sequences.transpose(0, 1))[0]
        return self.head(states[:, -1] if self.batch_first else states[-1])


def what_came(place, length=60):
    """Return batches that ask for what stood at a place."""

    def batch(step):
        inputs = torch.randn(20, length, 2, generator=torch.Generator().manual_seed(step))
        return inputs, inputs[:, place, :1]

    return batch


@pytest.mark.parametrize("batch_first", [True, False])
def test_what_came_first_is_out_of_reach(train, told, batch_first):
    (finding,) = told(train(Reader(batch_first=batch_first), nn.MSELoss(), what_came(0), 200, rate=1e-3), RULE)
    assert (finding.severity, finding.layers, finding.subject) == (Severity.WARNING, (0,), "time")
    assert "the first of the 60 time steps of rnn" in finding.message


@pytest.mark.parametrize(("kind", "place", "length"), [(nn.RNN, -1, 60), (nn.GRU, 0, 60), (nn.RNN, 0, 12)])
def test_what_came_last_gates_and_short_sequences_are_left_alone(train, told, kind, place, length):
    assert told(train(Reader(kind), nn.MSELoss(), what_came(place, length), rate=3e-2), RULE) == []


@pytest.mark.parametrize(("carries", "expected"), [(False, 1), (True, 0)])
def test_last_time_steps_that_are_learned_by_heart_carry_nothing_over(train, told, carries, expected):
    """The last time step tells a tenth of what is asked in training, and as much or nothing of what is held out."""

    def asked(inputs, last):
        return inputs[:, 0, :1] + last * inputs[:, -1, :1]

    def batch(step):
        inputs = torch.randn(64, 60, 2, generator=torch.Generator().manual_seed(step))
        return inputs, asked(inputs, 0.35)

    model, held_out = Reader(), torch.randn(256, 60, 2, generator=torch.Generator().manual_seed(1000))
    targets = asked(held_out, 0.35 if carries else -0.35)

    def validate(step):
        return nn.functional.mse_loss(model(held_out), targets).item() if step % 50 == 49 else None

    run = train(model, nn.MSELoss(), batch, 400, rate=5e-3, validate=validate)
    assert len(told(run, RULE)) == expected


def test_a_matrix_that_keeps_the_state_is_left_alone(train, told):
    model = Reader()
    nn.init.orthogonal_(model.rnn.weight_hh_l0)
    assert told(train(model, nn.MSELoss(), what_came(0), rate=1e-4), RULE) == []
