"""When a probe is run: thinned by steps, put off by its cost, and held within its bytes."""

import itertools

import pytest

from tb_netviz.recorder.budget import HEAD_START_STEPS
from tb_netviz.recorder.probing import BYTES_OF_A_TAG, SHARE, ProbeSchedule, TimeBudget


def schedule_of(every, budget_bytes):
    return ProbeSchedule(every, TimeBudget(0.02), budget_bytes)


def run(schedule, steps, *, cost=0.0, **options):
    """Return the steps at which the probe ran."""
    (ran,) = run_all([schedule], steps, [cost], **options)
    return ran


def run_all(schedules, steps, costs, *, size=100, training=0.01, largest=None):
    """Return the steps at which each of several probes ran that share a budget."""
    ran: list[list[int]] = [[] for _ in schedules]
    time = schedules[0]._time
    for step in steps:
        for schedule in time.afforded([one for one in schedules if one.due(step)]):
            number = schedules.index(schedule)
            schedule.ran(step)
            schedule.limit(size, largest or size)
            if not schedule.exhausted:
                ran[number].append(step)
                schedule.wrote(size)
                schedule.cost(costs[number])
        time.trained(training)
    return ran


def test_there_are_eight_records_to_each_doubling_at_most():
    ran = run(schedule_of(None, 10**9), range(20_000))
    assert ran[:5] == [0, 1, 2, 3, 4]
    for octave in range(4, 13):
        assert 7 <= sum(2**octave <= step < 2 ** (octave + 1) for step in ran) <= 9


@pytest.mark.parametrize("records", [4, 12, 30, 60])
def test_few_bytes_last_to_the_horizon(records):
    steps = sorted({*range(2000), *range(2000, 2**18, 50)})
    ran = run(schedule_of(None, records * 100 + 99), steps)
    assert len(ran) <= records
    assert ran[-1] >= 2**16
    growth = [later / earlier for earlier, later in itertools.pairwise(ran[3:])]
    assert max(growth, default=1) <= max(2.0, (2**17) ** (1.5 / (records - 2)))


def test_no_more_bytes_are_written_than_there_are():
    schedule = schedule_of(None, 1050)
    assert len(run(schedule, range(0, 10**7, 100))) == 10
    assert schedule.exhausted


def test_a_record_larger_than_the_budget_is_none():
    schedule = schedule_of(None, 99)
    assert run(schedule, range(10)) == []
    assert schedule.exhausted


def test_a_tag_stays_below_what_tensorboard_hands_over_at_once():
    schedule = schedule_of(1, 10**12)
    size = BYTES_OF_A_TAG // 5
    assert len(run(schedule, range(100), size=2 * size, largest=size)) == 5


def test_every_is_kept_and_halved_as_the_bytes_run_out():
    ran = run(schedule_of(10, 1600), range(10_000), cost=10.0)
    assert ran[:8] == [0, 10, 20, 30, 40, 50, 60, 70]
    gaps = [later - earlier for earlier, later in itertools.pairwise(ran)]
    assert gaps == sorted(gaps)
    assert {20, 40, 80} <= set(gaps)
    assert len(ran) == 16


@pytest.mark.parametrize("cost", [0.001, 0.02, 0.5])
def test_what_costs_too_much_is_put_off(cost):
    training, steps = 0.01, 100_000
    ran = run(schedule_of(None, 10**9), range(steps), cost=cost, training=training)
    allowed = 0.02 * training * (HEAD_START_STEPS + SHARE * steps)
    assert len(ran) * cost <= allowed + 2 * cost  # The first run is free, and the price of the second was unknown.
    assert len(ran) >= 0.3 * min(allowed / cost, 117)
    assert sum(step >= steps // 2 for step in ran) >= min(7, 0.4 * 0.02 * training * SHARE * steps / cost)


def test_a_training_that_goes_back_is_probed_again():
    schedule = schedule_of(None, 10**9)
    before = run(schedule, range(1000))
    again = run(schedule, range(500, 1000))
    assert again[0] == 500
    assert len(again) <= len([step for step in before if step >= 500]) + 2


@pytest.mark.parametrize("every", [0, -1, 1.5, True])
def test_every_is_a_positive_whole_number(every):
    with pytest.raises(ValueError, match="every must be a whole number"):
        schedule_of(every, 100)


def shared(costs, steps=100_000, every=None):
    """Return the steps at which probes of these costs ran that share a budget of 2 % of steps of 10 ms."""
    time = TimeBudget(0.02)
    return run_all([ProbeSchedule(every, time, 10**9) for _ in costs], range(steps), costs)


@pytest.mark.parametrize("costs", [(0.5, 0.5), (0.02, 0.5), (0.5, 0.5, 0.5, 0.5, 0.5), (0.001, 3.0, 0.1)])
def test_several_share_what_one_may_cost(costs):
    ran = shared(costs)
    allowed = 0.02 * 0.01 * (HEAD_START_STEPS + SHARE * 100_000)
    spent = sum(cost * max(0, len(steps) - 1) for cost, steps in zip(costs, ran, strict=True))
    assert spent <= allowed + sum(costs)  # The first run is free, and the price of the second was unknown.
    assert spent >= 0.3 * min(allowed, sum(117 * cost for cost in costs))


def test_the_same_cost_lets_them_run_equally_often():
    one, two, three = map(len, shared((0.5, 0.5, 0.5)))
    assert max(one, two, three) - min(one, two, three) <= 1


def test_what_is_dear_waits_but_not_for_ever_and_what_is_cheap_is_as_often_as_alone():
    (alone,) = shared((0.001,))
    cheap, dear = shared((0.001, 0.5))
    assert len(cheap) >= 0.9 * len(alone)
    assert len(dear) >= 0.8 * len(shared((0.5,))[0])


def test_with_every_it_takes_nothing_from_the_others():
    time = TimeBudget(0.02)
    schedules = [ProbeSchedule(1, time, 10**9), ProbeSchedule(None, time, 10**9)]
    often, seldom = run_all(schedules, range(5000), (1.0, 0.02))
    assert often == list(range(5000))
    assert seldom == shared((0.02,), 5000)[0]
