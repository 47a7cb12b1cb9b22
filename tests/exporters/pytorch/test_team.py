"""Processes that hold shards of a model settle whether they record together, and merge what they have measured."""

import time
from datetime import timedelta

import numpy as np
import pytest
import torch
from torch import nn

from tb_netviz.pytorch import exchange
from tb_netviz.pytorch.shards import holders, is_sharded, local
from tb_netviz.pytorch.team import APART, LATE, Team, TeamError
from tb_netviz.recorder import Plan
from tests.support.processes import run_processes


def sharded(mesh=None, rows=3):
    """Return a model of which some of four processes hold no row."""
    from torch.distributed.fsdp import fully_shard

    torch.manual_seed(0)
    return fully_shard(nn.Linear(5, rows), mesh=mesh)


def train(model):
    model(torch.ones(2, 5)).sum().backward()


def signed_up(model, terms):
    team = Team()
    team.sign_up(model, terms)
    return team


def joined(model, terms=""):
    """Sign up, train, and settle, as a watch does."""
    team = signed_up(model, terms)
    train(model)
    team.settle(model, 0, 0)
    return team


def merge_ones(team):
    return team.merge(np.ones((2, 3)), np.ones(2), Plan(1, 0), measured=True)


def merge(rank):
    team = joined(sharded())
    sums, largest = np.full((2, 3), 10.0**rank), np.array([rank, -rank + 3.0])
    merged = team.merge(sums, largest, Plan(rank + 4, rank + 100), measured=True)
    again = team.merge(sums, largest, Plan(1, 0), measured=rank != 2)
    return merged, again, team.position(7)


def be_refused(rank):
    first_alone = None
    model = sharded()
    if rank == 0:
        first_alone = signed_up(model, "first alone")
    train(model)
    if first_alone is not None:
        first_alone.settle(model, 0, 0)
    other_settings = joined(sharded(), terms=min(rank, 1))
    last_is_missing = sharded()
    team = signed_up(last_is_missing, "all but one") if rank != 3 else None
    train(last_is_missing)
    if team is not None:
        team.settle(last_is_missing, 0, 0)
    teams = [one for one in (first_alone, other_settings, team) if one is not None]
    return [(one.together, one.refusal) for one in teams]


def count_from(rank):
    """Each process has a number of its own for the step at which they settle."""
    model = sharded()
    team = signed_up(model, "")
    train(model)
    team.settle(model, 5, 1000 + rank)
    return [team.position(ordinal) for ordinal in (5, 6, 9)]


def leave(rank, reason):
    team = joined(sharded(), f"leave {reason}")
    merge_ones(team)
    torch.distributed.barrier()
    if rank == 2:
        team.leave(reason)
        return None
    return fail(team)


def stay_away(rank):
    exchange.PATIENCE = timedelta(seconds=1)
    team = joined(sharded(), "away")
    errors = None if rank == 1 else fail(team)
    torch.distributed.barrier()  # Training's own connections are as they were.
    return errors if rank != 1 else fail(team)


def fail(team):
    began = time.monotonic()
    with pytest.raises(TeamError) as caught:
        merge_ones(team)
    team.leave()
    return str(caught.value), time.monotonic() - began


def four(rank):
    from torch.distributed.device_mesh import init_device_mesh

    results = {
        "merge": merge(rank),
        "refused": be_refused(rank),
        "positions": count_from(rank),
        "left": leave(rank, ""),
        "failed": leave(rank, "ValueError: no such thing"),
        "away": stay_away(rank),
    }
    torch.distributed.barrier()
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("replicate", "shard"))
    model = sharded(mesh)
    team = joined(model, "hybrid")
    results["hybrid"] = team.together, team.measures(model.weight), sorted(holders(model.weight))
    if team.together:
        results["hybrid sum"] = merge_ones(team).sums[0, 0]
    results["rows"] = len(local(model.weight))
    return results


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    return [outcome.value for outcome in run_processes(four, 4, tmp_path_factory.mktemp("four"))]


def test_sums_are_added_and_magnitudes_compared(outcomes):
    for outcome in outcomes:
        merged, *_ = outcome["merge"]
        np.testing.assert_array_equal(merged.sums, np.full((2, 3), 1111.0))
        np.testing.assert_array_equal(merged.largest, [3.0, 3.0])
        assert merged.complete


def test_the_plan_is_that_of_the_first_process(outcomes):
    assert {outcome["merge"][0].plan for outcome in outcomes} == {(4, 100)}


def test_all_hear_that_one_has_not_measured(outcomes):
    assert not any(outcome["merge"][1].complete for outcome in outcomes)


def test_the_first_alone_is_refused_and_so_are_other_settings_and_a_missing_process(outcomes):
    assert [len(outcome["refused"]) for outcome in outcomes] == [3, 2, 2, 1]
    assert {refusal for outcome in outcomes for refusal in outcome["refused"]} == {(False, APART)}


def test_steps_have_the_same_numbers_everywhere(outcomes):
    (first, *others) = {tuple(outcome["positions"]) for outcome in outcomes}
    assert not others
    assert first in {(1000 + rank, 1001 + rank, 1004 + rank) for rank in range(4)}


def test_who_leaves_is_missed_at_once(outcomes):
    for rank in (0, 1, 3):
        message, seconds = outcomes[rank]["left"]
        assert message == "another process has stopped recording, or steps at other times"
        assert seconds < 5


def test_the_reason_of_who_fails_is_told(outcomes):
    assert outcomes[0]["failed"][0] == "process 2 has stopped: ValueError: no such thing"


def test_who_stays_away_is_not_waited_for_without_end(outcomes):
    for outcome in outcomes:
        message, seconds = outcome["away"]
        assert "has stopped recording" in message
        assert seconds < 5


def test_of_a_hybrid_mesh_only_one_copy_is_measured(outcomes):
    assert [outcome["hybrid"] for outcome in outcomes] == [
        (True, True, [0, 1]),
        (True, True, [0, 1]),
        (False, False, [2, 3]),
        (False, False, [2, 3]),
    ]
    assert [outcome.get("hybrid sum") for outcome in outcomes] == [2.0, 2.0, None, None]
    assert [outcome["rows"] for outcome in outcomes] == [2, 1, 2, 1]


def test_a_model_that_is_whole_needs_nobody():
    model = nn.Linear(2, 2)
    team = signed_up(model, "")
    team.settle(model, 0, 0)
    assert not team.together
    assert team.refusal == LATE
    assert not is_sharded(model.weight)
    assert local(model.weight) is model.weight
