"""Batches of one source each, over which a network normalises, beside batches drawn from all sources."""

import pytest
import torch
from torch import nn
from torch.nn import functional

RULE = "train_eval_mismatch"
SOURCES, FEATURES, EVERY, STEPS = 12, 6, 20, 160
OFFSETS = 4 * torch.randn(SOURCES, FEATURES, generator=torch.Generator().manual_seed(5))


def drawn(step, *, apart, count=48):
    generator = torch.Generator().manual_seed(step)
    inputs = torch.randn(count, FEATURES, generator=generator)
    targets = (inputs[:, 0] * inputs[:, 1] + inputs[:, 2] > 0).long()
    source = torch.randint(SOURCES, (1 if apart else count,), generator=generator)
    return inputs + OFFSETS[source], targets


def network(norm):
    torch.manual_seed(0)
    layers = [nn.Linear(FEATURES, 64), norm(64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 2)]
    return nn.Sequential(*layers)


@pytest.fixture
def found(train, told):
    """Returns what is told of a network whose batches are of one source each, or of all."""

    def of(*, apart, norm=nn.BatchNorm1d):
        model, held_out = network(norm), drawn(10_000, apart=False, count=400)

        def validate(step):
            if step % EVERY != EVERY - 1:
                return None
            model.eval()
            with torch.no_grad():
                loss = functional.cross_entropy(model(held_out[0]), held_out[1])
            model.train()
            return loss

        run = train(model, nn.CrossEntropyLoss(), lambda step: drawn(step, apart=apart), STEPS, validate=validate)
        return [finding for finding in told(run, RULE) if finding.severity.id != "info"]

    return of


def test_batches_of_one_source_each_are_told_with_the_normalisation(found):
    (finding,) = found(apart=True)
    assert "Each batch is of a kind of its own" in finding.message
    assert "the inputs lies between batches" in finding.message
    assert finding.layers == (1,)
    assert "shuffle=True" in finding.remedies[0].code
    assert finding.first_step == 0


def test_batches_of_all_sources_are_not(found):
    assert found(apart=False) == []


def test_batches_of_one_source_each_are_not_where_nothing_normalises_over_them(found):
    assert found(apart=True, norm=nn.LayerNorm) == []
