"""Records of activations and their units, against the reference of one activation at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tb_netviz.recorder.activity import Activities, unit_records_per_octave
from tb_netviz.recorder.schedule import stride
from tb_netviz.statistics.units import UNIT_SUMS, Activity, activation_row, merged, unit_rows, unit_sums
from tb_netviz_plugin.schema.columns import ACTIVATION_COLUMNS

INFINITE = (-np.inf, np.inf)


def activity(seed, units, samples, *, graded=True, nonfinite=False):
    noise = np.random.default_rng(seed)
    output = noise.standard_normal((samples, 2, units))
    if nonfinite and samples:
        output[0, 0, 0] = np.nan
    squares = noise.random(units) if graded and samples else None
    return Activity(unit_sums(output, -1, INFINITE), 2 * samples, 2 * samples, 2 * samples, squares)


def together(activities, units):
    """Return what the recorder makes of the same activities; None was not observed."""
    whole = Activities.none(units)
    for row, one in enumerate(activities):
        if one is None:
            continue
        place = slice(whole.ends[row] - units[row], whole.ends[row])
        whole.sums[:, place] = one.sums
        whole.squares[place] = 0.0 if one.squares is None else one.squares
        whole.counts[row] = 1, one.samples, one.counted, one.values, 0 if one.squares is None else one.counted
    return whole


cases = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 7), st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=5
)


@given(cases, st.integers(0, 9))
def test_all_activations_at_once_are_each_of_them(found, seed):
    units = [count for count, *_ in found]
    activities = [
        activity(seed + row, count, samples, graded=graded, nonfinite=nonfinite and count > 0) if there else None
        for row, (count, samples, graded, nonfinite, there) in enumerate(found)
    ]
    whole = together(activities, units)
    values, rows = whole.values(), whole.unit_values()
    for row, one in enumerate(activities):
        block = rows[whole.ends[row] - units[row] : whole.ends[row]]
        if one is None:
            assert np.isnan(values[row]).all()
            continue
        if units[row]:
            np.testing.assert_allclose(values[row], activation_row(one), rtol=1e-6, equal_nan=True)
        with np.errstate(all="ignore"):
            np.testing.assert_allclose(block, unit_rows(one)[:, : block.shape[1]], rtol=1e-5, atol=1e-7, equal_nan=True)


def test_steps_add_up():
    one, other = activity(1, 3, 5), activity(2, 3, 4)
    whole = together([one, None], [3, 2])
    whole.add(together([other, None], [3, 2]))
    whole.add(together([None, activity(3, 2, 6)], [3, 2]))
    np.testing.assert_allclose(whole.unit_values()[:3], unit_rows(merged([one, other])), rtol=1e-6)
    np.testing.assert_array_equal(whole.counts[:, 0], [2, 1])
    np.testing.assert_array_equal(whole.counts[:, 1], [18, 12])
    within = [column.id for column in ACTIVATION_COLUMNS].index("act_within_norm")
    expected = [activation_row(one)[within] for one in (merged([one, other]), activity(3, 2, 6))]
    np.testing.assert_allclose(whole.values()[:, within], expected, rtol=1e-6)


def test_the_gradient_of_counted_samples_stands_for_all():
    whole = together([activity(1, 3, 8)], [3])
    whole.counts[0, 1] = 64  # Of which 16 are counted.
    column = [column.id for column in ACTIVATION_COLUMNS].index("act_grad_norm")
    np.testing.assert_allclose(whole.values()[0, column], 2 * np.sqrt(whole.squares.sum()), rtol=1e-6)


@pytest.mark.parametrize("units", [1, 1000, 30_000, 1_000_000])
def test_records_of_units_keep_to_their_bytes(units):
    per_octave = unit_records_per_octave(units)
    assert 2 <= per_octave <= 32
    records = sum(1 for step in range(100_000) if step % stride(step, per_octave) == 0)
    if per_octave > 2:
        assert records * units * 4 * len(UNIT_SUMS) <= 90 << 20


def test_the_sums_are_as_the_reference_orders_them():
    assert Activities.none([2]).sums.shape == (len(UNIT_SUMS), 2)
