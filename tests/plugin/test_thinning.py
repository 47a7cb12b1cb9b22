"""Points are left out where a drawing does not need them, and nowhere else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tb_netviz_plugin.analysis.thinning import thin


def test_a_short_series_is_left_whole():
    assert thin(np.arange(400.0), np.zeros(400), 400).tolist() == list(range(400))


@given(
    st.lists(st.floats(width=32, allow_nan=True, allow_infinity=True), min_size=1, max_size=3000),
    st.integers(7, 400),
    st.floats(-10, 4000) | st.just(float("nan")),
)
def test_what_is_kept_is_ordered_few_and_has_the_ends(values, most, onset):
    values = np.array(values)
    kept = thin(np.arange(len(values), dtype=np.float64), values, most, onset)
    assert len(kept) <= most or len(values) <= most
    assert (np.diff(kept) > 0).all()
    assert (kept[0], kept[-1]) == (0, len(values) - 1)


@pytest.mark.parametrize("place", [1, 777, 1998])
def test_a_spike_a_dip_and_a_hole_of_one_record_are_kept(place):
    for odd in (1e6, -1e6, np.nan, np.inf):
        values = np.random.default_rng(0).standard_normal(2000)
        values[place] = odd
        assert place in thin(np.arange(2000.0), values, 400)


def test_the_records_on_both_sides_of_an_onset_are_kept():
    steps = 10 * np.arange(2000.0)
    kept = steps[thin(steps, np.ones(2000), 100, onset=8125)].tolist()
    assert {8120, 8130} <= set(kept)
