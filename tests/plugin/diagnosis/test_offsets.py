"""Targets that lie far from where outputs begin."""

import pytest
import torch
from torch import nn

from tb_netviz.pytorch import NetVizWriter
from tb_netviz.reading import read_runs
from tb_netviz_plugin.diagnosis import Severity

RULE = "poor_init"


def network(*, bias=0.0, last=None):
    """Return a network of one number, whose last bias begins there."""
    torch.manual_seed(0)
    head = nn.Linear(32, 1)
    nn.init.constant_(head.bias, bias)
    return nn.Sequential(nn.Linear(6, 32), nn.Tanh(), head, *([last] if last else []))


def numbers(mean, spread=1.0):
    """Return batches whose targets have such a mean and deviation."""

    def batch(step):
        inputs = torch.randn(32, 6, generator=torch.Generator().manual_seed(step))
        return inputs, mean + spread * inputs[:, :1]

    return batch


@pytest.mark.parametrize("criterion", [nn.MSELoss(), nn.SmoothL1Loss(), nn.functional.l1_loss, nn.functional.mse_loss])
def test_outputs_that_creep_towards_targets_far_away(train, told, criterion):
    (finding,) = told(train(network(), criterion, numbers(30.0), steps=80, rate=1e-3), RULE)
    assert (finding.severity, finding.layers, finding.first_step) == (Severity.WARNING, (1,), 0)
    assert "The targets lie at 30" in finding.message
    assert "still" in finding.message


@pytest.mark.parametrize(("rate", "expected"), [(1.2e-2, ["they get there at step"]), (0.3, [])])
def test_a_way_that_takes_a_small_part_of_the_run_is_no_harm(train, told, rate, expected):
    findings = told(train(network(), nn.MSELoss(), numbers(30.0), steps=120, rate=rate), RULE)
    assert [word for finding in findings for word in expected if word in finding.message] == expected
    assert len(findings) == len(expected)


def test_a_bias_that_begins_at_their_mean_or_targets_about_zero_are_left_alone(train, told):
    assert told(train(network(bias=30.0), nn.MSELoss(), numbers(30.0), steps=80, rate=1e-3), RULE) == []
    assert told(train(network(), nn.MSELoss(), numbers(3.0), steps=80, rate=1e-3), RULE) == []


def test_large_targets_need_less_of_a_distance(train, told):
    (finding,) = told(train(network(), nn.MSELoss(), numbers(300.0, 150.0), steps=80, rate=1e-2), RULE)
    assert "2 times their deviation" in finding.message


def test_outputs_that_do_not_move_are_held_back_by_something_else(train, told):
    assert told(train(network(), nn.MSELoss(), numbers(30.0), steps=80, rate=1e-7), RULE) == []


def test_outputs_that_are_bounded_never_get_there(train, told):
    assert told(train(network(last=nn.Tanh()), nn.MSELoss(), numbers(30.0), steps=80, rate=1e-3), RULE) == []


def test_the_logarithms_of_another_loss_are_left_alone(train, told):
    criterion = nn.PoissonNLLLoss(log_input=True)
    assert told(train(network(), criterion, numbers(30.0), steps=80, rate=1e-3), RULE) == []


@pytest.mark.usefixtures("_one_thread")
def test_an_offset_that_is_learned_is_no_collapse_where_nobody_tells_what_outputs_are_compared_with(tmp_path, told):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 8))
    optimizer, mixed = torch.optim.Adam(model.parameters(), lr=3e-3), 0.01 * torch.randn(16, 8)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1, histograms=False, on_finding="ignore")
        for _ in range(900):
            inputs = torch.randn(64, 16)
            rates = 1.1 + inputs @ mixed + 0.004 * torch.randn(64, 8)
            loss = nn.functional.mse_loss(model(inputs), rates)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("loss/train", loss, writer.step)
    (run,) = read_runs(tmp_path)
    assert told(run, "representation_collapse") == []
