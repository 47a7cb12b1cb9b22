"""Strides, and which steps are observed."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tb_netviz.recorder import BudgetSchedule, FixedSchedule, stride, window_start
from tb_netviz_plugin.loader import SAMPLES


def run(schedule, steps, cost, training, first=0):
    """Train for `steps` steps; costs and durations are functions of the step. Returns the observed steps."""
    observed = []
    for step in range(first, first + steps):
        seen = schedule.observes(step)
        if seen:
            observed.append(step)
        schedule.finish(step, observed=seen, training=training(step), cost=cost(step) if seen else 0.0)
    return observed


def share(observed, cost, training, steps):
    return sum(map(cost, observed)) / sum(map(training, range(steps)))


@given(st.integers(-10, 10**15))
def test_stride_is_that_of_the_wire_format(step):
    exact = 1 if step < 128 else 2 ** (step // 128).bit_length() // 2
    assert stride(step) == exact
    start = window_start(step)
    assert start <= step < start + stride(step)
    assert stride(start) == stride(step)


@pytest.mark.parametrize(("steps", "records"), [(100_000, 1_348), (1_000_000, 1_781)])
def test_records_stay_below_what_tensorboard_keeps(steps, records):
    starts = {window_start(step) for step in range(steps)}
    assert len(starts) == records < SAMPLES


@pytest.mark.parametrize("every", [1, 3, 10, np.int64(7)])
def test_every_is_exact(every):
    assert run(FixedSchedule(every), 50, lambda _: 1.0, lambda _: 1.0) == list(range(0, 50, every))


@pytest.mark.parametrize("every", [0, -1, 2.5, math.nan, "3", None, True])
def test_every_that_is_no_positive_whole_number_is_refused(every):
    with pytest.raises(ValueError, match="every must be a whole number of steps, at least 1, got"):
        FixedSchedule(every)


@pytest.mark.parametrize("budget", [0, -0.1, 1.5, math.nan, math.inf, "0.02", None, True])
def test_budget_that_is_no_share_is_refused(budget):
    with pytest.raises(ValueError, match="budget must be a share of the training time, above 0 and at most 1, got"):
        BudgetSchedule(budget)


@pytest.mark.parametrize("ratio", [0.001, 0.017, 0.02, 0.3, 1.0, 10.0])
def test_cost_converges_below_the_budget(ratio):
    steps = 60_000
    observed = run(BudgetSchedule(0.02), steps, lambda _: ratio, lambda _: 1.0)
    settled = [step for step in observed if step > steps // 2]
    assert share(settled, lambda _: ratio, lambda _: 1.0, steps // 2) <= 0.02
    if ratio <= 1:
        assert share(observed, lambda _: ratio, lambda _: 1.0, steps) <= 0.0205
    assert share(settled, lambda _: ratio, lambda _: 1.0, steps // 2) >= min(0.005, ratio / 2)


@pytest.mark.parametrize("ratio", [0.02, 0.3, 1.0, 10.0])
def test_the_beginning_exceeds_the_budget_by_a_bounded_amount(ratio):
    steps = 2_000
    observed = run(BudgetSchedule(0.02), steps, lambda _: ratio, lambda _: 1.0)
    spent = sum(ratio for step in observed if step > 0)
    assert spent <= 0.02 * (steps + 512) + 4 * ratio


def test_a_short_run_of_a_small_network_shows_its_first_steps():
    observed = run(BudgetSchedule(0.02), 300, lambda step: 0.4 if step else 30.0, lambda _: 1.0)
    assert observed[:8] == list(range(8))
    assert len(observed) >= 20


@pytest.mark.parametrize("training", [0.0005, 0.002, 0.02])
def test_a_short_run_of_short_steps_is_recorded_through_its_beginning(training):
    cost = 2 * training
    observed = run(BudgetSchedule(0.02), 300, lambda step: cost if step else 1.0, lambda _: training)
    assert len(observed) >= min(130, 0.98 / cost)
    assert len(observed) * cost <= 1.0 + 300 * 0.02 * training + 4 * cost


def test_a_longer_run_of_short_steps_pays_a_second_and_then_keeps_the_budget():
    observed = run(BudgetSchedule(0.02), 100_000, lambda _: 0.02, lambda _: 0.001)
    assert 1.0 <= len(observed) * 0.02 <= 1.1 + 0.02 * 100


def test_the_warm_up_is_no_estimate():
    quiet = run(BudgetSchedule(0.02), 5_000, lambda _: 0.1, lambda _: 1.0)
    slow_start = run(BudgetSchedule(0.02), 5_000, lambda step: 0.1 if step else 1e6, lambda _: 1.0)
    assert slow_start == quiet


@pytest.mark.parametrize("ratio", np.geomspace(0.05, 5, 12))
@pytest.mark.parametrize("seed", range(3))
def test_noise_does_not_make_the_interval_flutter(ratio, seed):
    noise = np.random.default_rng(seed)
    schedule = BudgetSchedule(0.02)

    def cost(_):
        return ratio * noise.lognormal(0, 0.25) * (50.0 if noise.random() < 0.05 else 1.0)

    def training(_):
        return noise.lognormal(0, 0.1)

    run(schedule, 4_000, cost, training)
    intervals = []
    for step in range(4_000, 60_000, 8):
        run(schedule, 8, cost, training, step)
        intervals.append(schedule.interval_at(step))
    changes = sum(a != b for a, b in itertools.pairwise(intervals))
    assert changes <= 3
    assert max(intervals) <= 2 * min(intervals)


def test_intervals_are_powers_of_two_and_change_only_where_a_window_begins():
    noise = np.random.default_rng(1)
    schedule = BudgetSchedule(0.02)
    before = schedule.interval_at(0)
    changes = 0
    for step in range(30_000):
        seen = schedule.observes(step)
        interval = schedule.interval_at(step)
        assert interval & (interval - 1) == 0
        if interval != before:
            changes += 1
            assert window_start(step) == step
        before = interval
        schedule.finish(step, observed=seen, training=1.0, cost=noise.lognormal(0, 2) * (1 + step / 3000))
    assert changes >= 4


def test_what_is_said_of_the_next_step_holds():
    noise = np.random.default_rng(2)
    schedule = BudgetSchedule(0.02)
    said = schedule.observes(0)
    for step in range(20_000):
        assert schedule.observes(step) == said
        said = schedule.observes(step + 1)
        schedule.finish(step, observed=schedule.observes(step), training=1.0, cost=noise.lognormal(0, 2))


def test_the_step_that_keeps_the_gradient_counts_into_the_cost():
    steps = 20_000
    schedule = BudgetSchedule(0.02)
    cost = 0.0
    for step in range(steps):
        now = 0.1 * schedule.observes(step) + 0.3 * schedule.observes(step + 1)
        cost += now
        schedule.finish(step, observed=schedule.observes(step), training=1.0, cost=now)
    assert cost / steps <= 0.0205


def test_the_interval_follows_a_lasting_change_both_ways():
    schedule = BudgetSchedule(0.02)
    run(schedule, 5_000, lambda _: 0.1, lambda _: 1.0)
    cheap = schedule.interval_at(5_000)
    run(schedule, 20_000, lambda _: 1.0, lambda _: 1.0, first=5_000)
    dear = schedule.interval_at(25_000)
    run(schedule, 20_000, lambda _: 0.1, lambda _: 1.0, first=25_000)
    assert dear == 8 * cheap
    assert schedule.interval_at(45_000) in {cheap, 2 * cheap}


def test_an_interval_is_no_shorter_than_the_least():
    schedule = BudgetSchedule(0.5)
    schedule.least = 16
    observed = run(schedule, 2048, lambda _: 1e-6, lambda _: 1.0)
    assert observed[-64:] == list(range(1024, 2048, 16))
    schedule.least = 1
    observed = run(schedule, 2048, lambda _: 1e-6, lambda _: 1.0, first=2048)
    assert observed[-64:] == list(range(4096 - 64, 4096))


@pytest.mark.parametrize("training", [0.0, -1.0])
def test_steps_that_took_no_time_do_not_break_it(training):
    observed = run(BudgetSchedule(0.02), 100, lambda _: 0.0, lambda _: training)
    assert observed == list(range(100))


def test_a_run_that_is_resumed_late_begins_densely():
    observed = run(BudgetSchedule(0.02), 300, lambda _: 0.4, lambda _: 1.0, first=100_003)
    assert observed[:8] == list(range(100_003, 100_011))
