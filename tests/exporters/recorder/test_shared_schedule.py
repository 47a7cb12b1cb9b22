"""Several processes that observe the same steps: the first proposes, all adopt."""

import numpy as np
import pytest

from tb_netviz.recorder import BudgetSchedule, FixedSchedule, bins_due, stride
from tb_netviz_plugin.schema.bins import EVERY_RECORDS


def run_together(schedules, steps, costs, first=0):
    """Train in lockstep; at observed steps all adopt what the first proposes. Returns the observed steps of each."""
    observed: list[list[int]] = [[] for _ in schedules]
    for step in range(first, first + steps):
        seen = [schedule.observes(step) for schedule in schedules]
        if all(seen):
            plan = schedules[0].proposal(step)
            for schedule in schedules:
                schedule.adopt(plan)
        for schedule, steps_seen, sees, cost in zip(schedules, observed, seen, costs, strict=True):
            if sees:
                steps_seen.append(step)
            schedule.finish(step, observed=sees, training=1.0, cost=cost(step) if sees else 0.0)
    return observed


def noisy(seed, scale):
    noise = np.random.default_rng(seed)
    return lambda step: scale * noise.lognormal(0, 1) * (1 + step / 2000)


@pytest.mark.parametrize("first", [0, 7, 100_003])
def test_all_observe_the_same_steps_whatever_each_of_them_costs(first):
    schedules = [BudgetSchedule(0.02, shared=True) for _ in range(3)]
    observed = run_together(schedules, 20_000, [noisy(0, 0.1), noisy(1, 1e-3), noisy(2, 50.0)], first)
    assert observed[0] == observed[1] == observed[2]
    assert len(set(np.diff(observed[0]))) >= 2  # The interval did change.


def test_the_first_keeps_the_budget_as_it_does_alone():
    together = [BudgetSchedule(0.02, shared=True) for _ in range(2)]
    observed, _ = run_together(together, 60_000, [lambda _: 0.3, lambda _: 0.0])
    settled = [step for step in observed if step > 30_000]
    assert 0.005 <= 0.3 * len(settled) / 30_000 <= 0.02


def test_what_is_not_adopted_does_not_hold():
    schedule = BudgetSchedule(0.02, shared=True)
    for step in range(200):
        schedule.finish(step, observed=True, training=1.0, cost=1.0)
    assert schedule.interval_at(10**6) == 1
    plan = schedule.proposal(200)
    assert plan.interval > 1
    assert plan.start >= 202
    schedule.adopt(plan)
    assert schedule.interval_at(plan.start - 1) == 1
    assert schedule.interval_at(plan.start) == plan.interval
    assert schedule.proposal(201) == plan


def test_every_is_exact_in_all_of_them():
    observed = run_together([FixedSchedule(7, shared=True) for _ in range(2)], 100, [lambda _: 1.0, lambda _: 0.0])
    assert observed[0] == observed[1] == list(range(0, 100, 7))


@pytest.mark.parametrize("every", [1, 2, 3, 7, 64])
def test_one_record_in_eight_has_bins_and_has_them_once(every):
    steps = range(0, 20_000, every)
    with_bins = [step for step in steps if bins_due(step, every)]
    records = {(stride(step), step // max(stride(step), every)) for step in steps}
    share = len(with_bins) / len(records)
    assert 0.5 / EVERY_RECORDS <= share <= 2 / EVERY_RECORDS
    assert len({(stride(step), step // max(stride(step), every)) for step in with_bins}) == len(with_bins)
