"""Which records a resumed run supersedes, whatever the order in which a loader gives them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tb_netviz_plugin.analysis.grid import survivors
from tb_netviz_plugin.analysis.recording import cost, evicted
from tb_netviz_plugin.analysis.records import distinct, stack, surviving
from tests.support.devruns import record_of

SESSIONS = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 20)), min_size=1, max_size=5)


def records(steps, walls):
    return stack(steps, walls, [np.array([step], np.float32) for step in steps], 1)


def steps_of(spans, interval=1.0):
    """Records of the family `steps`, from (last step, span)."""
    tensors = [np.array([span, 1, 0.1, 0.01, interval, 0], np.float32) for _, span in spans]
    return stack([step for step, _ in spans], range(len(spans)), tensors, 1)


@given(SESSIONS)
def test_what_is_left_is_what_a_replay_leaves(sessions):
    alive: dict[int, float] = {}
    history, wall = [], 0.0
    for first, count in sessions:
        for step in range(first, first + count):
            wall += 1.0
            history.append((step, wall))
            alive = {known: at for known, at in alive.items() if known < step} | {step: wall}
    found = records(*zip(*history, strict=True))
    kept = survivors(found, [found])
    assert dict(zip(found.steps[kept].tolist(), found.walls[kept].tolist(), strict=True)) == alive
    assert np.all(np.diff(found.steps[kept]) > 0)


def test_another_tag_of_the_session_supersedes_too():
    old, new = records([1, 2, 3, 4], [1, 2, 3, 4]), records([3], [10])
    assert surviving(old, [old, new]).tolist() == [True, True, False, False]
    assert surviving(new, [old, new]).tolist() == [True]


def test_of_two_records_of_one_step_the_last_counts():
    twice = records([1, 1], [5.0, 5.0])
    assert surviving(twice, [twice]).tolist() == [False, True]


def test_a_damaged_record_costs_itself_only():
    tensors = [np.zeros(shape, np.float32) for shape in [(1, 4, 2), (1, 4, 2), (1, 3, 2), (3, 4, 2), (), (2, 4, 2)]]
    found = stack(range(6), range(6), tensors, 2)
    assert found.steps.tolist() == [0, 1, 3]
    assert [plane.shape for plane in found.planes] == [(4, 2, 3)] * 3


def test_records_that_fill_the_tag_without_holes_are_complete():
    assert evicted(steps_of([(step, 1) for step in range(50)]), 50) is False
    assert evicted(steps_of([(4 * step, 1) for step in range(50)], interval=4), 50) is False
    assert evicted(steps_of([(8 * step + 7, 8) for step in range(50)]), 50) is False


def test_records_with_holes_in_a_full_tag_are_a_sample():
    sample = steps_of([(3 * step, 1) for step in range(50)])
    assert evicted(sample, 50) is True
    assert evicted(sample, 51) is False
    assert evicted(sample, 0) is False
    assert evicted(sample, None) is False


def test_windows_of_the_wire_format_have_no_holes():
    closing = [step for step in range(20_000) if record_of(step) != record_of(step + 1)]
    spans = [(step, step - before) for before, step in zip([-1, *closing[:-1]], closing, strict=True)]
    assert evicted(steps_of(spans), len(spans)) is False


def test_a_record_costs_all_the_steps_since_the_one_before():
    # Every step is observed at first, later one in a hundred: what a record says is a mean over all of them.
    steps = [0, 1, 2, 3, 103, 203]
    observing = [0.05] * 4 + [0.0005] * 2
    tensors = [np.array([1, 1, 0.1, seconds, 1, 0], np.float32) for seconds in observing]
    took = cost([stack(steps, range(len(steps)), tensors, 1)])
    assert took is not None
    assert took.fraction == pytest.approx((4 * 0.05 + 200 * 0.0005) / (204 * 0.1))


def test_cost_is_that_of_all_models_and_weighs_records_by_their_steps():
    took = cost([steps_of([(0, 1), (9, 9)]), steps_of([(0, 1)])])
    assert took is not None
    assert abs(took.fraction - 0.2) < 1e-6
    assert cost([]) is None
    assert cost([stack((), (), (), 1)]) is None


@pytest.mark.parametrize("other", [np.zeros((4, 2), np.float64), np.array([["a", "b"]] * 4), np.zeros((4, 2), bool)])
def test_a_record_of_another_type_costs_itself_only(other):
    found = stack(range(3), range(3), [np.ones((4, 2), np.float32), other, np.ones((4, 2), np.float32)], 2)
    assert found.steps.tolist() == [0, 2]
    assert found.planes[0].dtype == np.float32


def test_a_tag_of_words_has_no_records():
    assert stack(range(2), range(2), [np.array([["a"]])] * 2, 2).steps.size == 0


@pytest.mark.parametrize("count", [1, 63, 64, 65, 200])
def test_time_stands_last_whatever_the_number_of_records(count):
    tensors = np.arange(count * 3 * 4 * 2, dtype=np.float32).reshape(count, 3, 4, 2)
    found = stack(range(count), range(count), list(tensors), 2)
    np.testing.assert_array_equal(np.stack(found.planes), np.moveaxis(tensors, 0, -1))


@given(st.lists(st.floats(allow_nan=False), max_size=8))
def test_distinct_is_what_numpy_calls_unique(values):
    np.testing.assert_array_equal(distinct(np.array(values)), np.unique(np.array(values)))
