"""Processes that fail, leave, pause or step at other times are not waited for."""

from collections import Counter
from datetime import timedelta

import pytest
import torch

from tb_netviz.pytorch import NetVizWriter, exchange
from tb_netviz.pytorch.measurement import Measurement
from tb_netviz.pytorch.observer import Observer
from tests.support.sharded import (
    SAMPLES,
    adam,
    assert_only_the_first_process_made_files,
    loss_of,
    network,
    omitted,
    shard,
    swapped,
    train,
)
from tests.support.watching import read


def first_alone(rank, folder):
    model = shard(network())
    optimizer = adam(model)
    if rank == 0:
        with NetVizWriter(folder / "alone") as writer:
            writer.watch(model, optimizer, every=1)
            train(model, optimizer, rank)
    else:
        train(model, optimizer, rank)


def one_fails(rank, folder):
    model = shard(network())
    optimizer = adam(model)
    take = Measurement.take_weights
    calls: Counter[str] = Counter()

    def fail(*args):
        calls["weights"] += 1
        if rank == 1 and calls["weights"] == 3:
            raise ZeroDivisionError("injected")
        take(*args)

    with swapped(Measurement, "take_weights", fail), NetVizWriter(folder / "fails") as writer:
        writer.watch(model, optimizer, every=1)
        train(model, optimizer, rank, 6)
    return calls["weights"]


def first_fails(rank, folder):
    model = shard(network())
    optimizer = adam(model)
    before_step = Observer.before_step
    calls: Counter[str] = Counter()

    def fail(*args):
        calls["steps"] += 1
        if rank == 0 and calls["steps"] == 3:
            raise ZeroDivisionError("injected")
        before_step(*args)

    with swapped(Observer, "before_step", fail), NetVizWriter(folder / "first-fails") as writer:
        writer.watch(model, optimizer, every=1)
        train(model, optimizer, rank, 6)


def one_pauses(rank, folder):
    model = shard(network())
    optimizer = adam(model)
    with NetVizWriter(folder / "pauses") as writer:
        watched = writer.watch(model, optimizer, every=1)

        def before(step):
            if rank == 1 and step == 1:
                watched.pause()
            if rank == 1 and step == 4:
                watched.resume()
            if rank == 0 and step == 5:
                watched.pause()
            if rank == 0 and step == 7:
                watched.resume()

        train(model, optimizer, rank, 9, before)


def either_detaches(rank, folder):
    for who in (0, 1):
        one_detaches(rank, folder, who)


def one_detaches(rank, folder, who):
    model = shard(network())
    optimizer = adam(model)
    with NetVizWriter(folder / f"detaches-{who}") as writer:
        watched = writer.watch(model, optimizer, every=1)
        train(model, optimizer, rank, 6, lambda step: watched.detach() if (rank, step) == (who, 2) else None)


def steps_apart(rank, folder):
    """One process leaves out a step of its optimizer, as no process should; it is waited for, but not for ever."""
    exchange.PATIENCE = timedelta(seconds=1)
    model = shard(network())
    optimizer = adam(model)
    share = SAMPLES // torch.distributed.get_world_size()
    with NetVizWriter(folder / "apart") as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(6):
            loss_of(model, step, rank, share).backward()
            if (rank, step) != (1, 3):
                optimizer.step()
            optimizer.zero_grad()


TWO = (first_alone, one_fails, first_fails, one_pauses, either_detaches, steps_apart)
FOUR = (first_alone, one_fails)


def test_the_first_process_alone_records_no_shards_and_says_so_once(of_several):
    folder, outcomes = of_several
    recording = read(folder / "alone")
    assert not recording.description.parameters
    assert "not all of them watch the model" in omitted(recording)["wide.weight"]
    warnings = [text for text in outcomes[0].warnings if "not all of them watch" in text]
    assert len(warnings) == 1
    assert "call watch in every process" in warnings[0]


def test_the_failure_of_one_process_ends_it_for_all_with_one_warning(of_several):
    folder, outcomes = of_several
    recording = read(folder / "fails")
    assert {step: bool(table) for step, table in recording.tables.items()} == {0: True, 1: True}
    told = [text for outcome in outcomes for text in outcome.warnings if "ZeroDivisionError: injected" in text]
    assert [text for text in told if "process 1 has stopped" in text]
    assert "process 1 has stopped" in omitted(recording)["wide.weight"]
    assert not any(outcome.warnings for outcome in outcomes[1:])


def test_the_failure_of_the_first_process_ends_it_too(of_two):
    folder, outcomes = of_two
    assert sorted(read(folder / "first-fails").tables) == [0, 1]
    assert len([text for text in outcomes[0].warnings if "The model Net: no longer recorded" in text]) == 1


def test_a_process_that_pauses_is_not_waited_for(of_two):
    folder, _ = of_two
    assert sorted(read(folder / "pauses").tables) == [0, 4, 7, 8]


@pytest.mark.parametrize("who", [0, 1])
def test_a_process_that_detaches_is_not_waited_for(of_two, who):
    folder, outcomes = of_two
    assert [step for step, table in read(folder / f"detaches-{who}").tables.items() if table] == [0, 1]
    assert len([text for text in outcomes[0].warnings if "another process has stopped" in text]) == 2


def test_processes_that_step_at_other_times_are_not_waited_for_without_end(of_two):
    folder, _ = of_two
    assert [step for step, table in read(folder / "apart").tables.items() if table] == [0, 1, 2]


def test_only_the_first_process_makes_files(of_several):
    folder, _ = of_several
    assert_only_the_first_process_made_files(folder)
