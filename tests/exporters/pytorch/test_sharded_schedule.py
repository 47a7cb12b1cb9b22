"""Which steps the processes of a sharded run observe, and what that takes."""

import math
import time

import torch

from tb_netviz.pytorch import NetVizWriter
from tb_netviz.pytorch.measurement import Measurement
from tests.support.sharded import (
    SAMPLES,
    adam,
    assert_only_the_first_process_made_files,
    exchanges,
    loss_of,
    network,
    shard,
    swapped,
    train,
)
from tests.support.watching import read


def few_collectives(rank, folder):
    counted = exchanges()
    model = shard(network())
    optimizer = adam(model)
    seen = []
    with NetVizWriter(folder / "few") as writer:
        writer.watch(model, optimizer, every=3)
        train(model, optimizer, rank, 8, lambda _: seen.append(dict(counted)))
    return seen, dict(counted)


def budget(rank, folder):
    return [delayed(rank, folder, delays) for delays in ((0.01, 0.0), (0.0, 0.01))]


def delayed(rank, folder, delays):
    """The processes cost very different amounts; the first decides."""
    counted = exchanges()
    model = shard(network())
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    take = Measurement.take_weights

    def slowly(*args):
        time.sleep(delays[rank % 2])
        take(*args)

    observed = []
    with swapped(Measurement, "take_weights", slowly), NetVizWriter(folder / f"budget-{delays[0]}") as writer:
        watched = writer.watch(model, optimizer, histograms=False)
        for step in range(160):
            before = counted.total()
            train(model, optimizer, rank, 1)
            if counted.total() > before:
                observed.append(step)
    return observed, watched.interval


def own_numbers(rank, folder):
    """A resumed run, in which each process counts for itself."""
    model = shard(network())
    optimizer = adam(model)
    now = [1000 + 500 * rank]
    with NetVizWriter(folder / "numbers") as writer:
        writer.watch(model, optimizer, every=3, step=lambda: now[0])

        def count(_):
            now[0] += 1

        train(model, optimizer, rank, 10, count)


def skipped(rank, folder):
    """The gradient overflows in one process; torch's scaler leaves the step out in all of them."""
    model = shard(network())
    optimizer = adam(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=1000)
    share = SAMPLES // torch.distributed.get_world_size()
    with NetVizWriter(folder / "skipped") as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(5):
            scaler.scale(loss_of(model, step, rank, share)).backward()
            if step == 2 and rank == 1:
                model.wide.weight.grad.to_local()[0, 0] = math.inf
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()


TWO = (few_collectives, own_numbers, skipped, budget)


def test_a_recorded_step_has_one_sum_and_one_maximum_and_others_nothing(of_two):
    _, outcomes = of_two
    for outcome in outcomes:
        seen, total = outcome.value["few_collectives"]
        before = [0, 1, 1, 1, 2, 2, 2, 3]  # Steps 0, 3 and 6 are recorded.
        assert [calls.get("SUM", 0) for calls in seen] == before
        assert [calls.get("MAX", 0) for calls in seen] == before
        assert total == {"SUM": 3, "MAX": 3}


def test_all_observe_the_steps_that_the_first_process_can_afford(of_two):
    _, outcomes = of_two
    for mine, other in zip(outcomes[0].value["budget"], outcomes[1].value["budget"], strict=True):
        assert mine == other
        steps, interval = mine
        assert steps[:8] == list(range(8))
        assert interval > 1


def test_steps_have_the_numbers_of_the_first_process(of_two):
    folder, _ = of_two
    steps = sorted(read(folder / "numbers").tables)
    assert steps in [list(range(first, 1011, 3)) for first in (1001, 1002, 1003)]


def test_a_step_that_the_scaler_leaves_out_is_no_record(of_two):
    folder, _ = of_two
    assert sorted(read(folder / "skipped").tables) == [0, 1, 3, 4]


def test_only_the_first_process_makes_files(of_two):
    folder, _ = of_two
    assert_only_the_first_process_made_files(folder)
