"""Targets that a copy of the network makes, renewed now and then, whereupon the loss leaps."""

import copy

import pytest
import torch
from torch import nn

RULE, PLACES, SYNC = "loss_oscillation", 14, 30


def walk(step, count=96):
    """Return places, moves (0 back, 1 on), what follows, what is earned (-1, and 10 at the end), and where it ends."""
    generator = torch.Generator().manual_seed(step)
    place = torch.randint(PLACES - 1, (count,), generator=generator)
    move = torch.randint(2, (count,), generator=generator)
    after = (place + 2 * move - 1).clamp(0)
    ends = after == PLACES - 1
    return place, move, after, torch.where(ends, 10.0, -1.0), ends


class Values(nn.Module):
    """Tells what the moves at a place are worth, in one number for the move that was made."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(PLACES, 48), nn.ELU(), nn.Linear(48, 2))

    def of(self, place):
        return self.body(nn.functional.one_hot(place, PLACES).float())

    def forward(self, pair):
        return self.of(pair[:, 0]).gather(1, pair[:, 1:])[:, 0]


@pytest.fixture
def found(train, told):
    """Returns what is told of values that are learned from a copy which is renewed every so many steps."""

    def of():
        model = Values()
        held = copy.deepcopy(model)

        def batch(step):
            if step % SYNC == 0:
                held.load_state_dict(model.state_dict())
            place, move, after, earned, ends = walk(step)
            with torch.no_grad():
                later = held.of(after).max(1).values * ~ends
            return torch.stack([place, move], 1), earned + 0.9 * later

        run = train(model, nn.SmoothL1Loss(), batch, steps=400, rate=5e-3)
        return [finding for finding in told(run, RULE) if finding.severity.id != "info"]

    return of


def test_a_loss_that_leaps_as_targets_are_renewed_is_no_swing(found):
    assert found() == []
