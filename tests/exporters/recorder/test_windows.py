"""Folding of steps against the definitions in docs/wire-format.md, in exact sums."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tb_netviz.recorder.windows import Folding, Span, ValueWindow
from tb_netviz_plugin.schema.columns import PARAMETER_COLUMNS, Merge

COLUMNS = [column.id for column in PARAMETER_COLUMNS]
OBSERVATIONS = st.integers(2, 6).flatmap(
    lambda steps: arrays.arrays(
        np.float32, (steps, 2, len(COLUMNS)), elements=st.floats(width=32, allow_infinity=False)
    )
)


def fold(observations):
    window = ValueWindow(1024, Folding(COLUMNS))
    for step, values in enumerate(observations, 1024):
        window.add(step, values)
    return window.planes()


def centre(merge, values):
    if merge is Merge.MAX:
        return max(values)
    if merge is Merge.MIN:
        return min(values)
    if merge is Merge.ROOT_SQUARE:
        return math.sqrt(math.fsum(value * value for value in values) / len(values))
    return math.fsum(values) / len(values)


@given(OBSERVATIONS)
def test_planes_are_centre_lowest_and_highest_of_what_was_measured(observations):
    planes = fold(observations)
    assert planes.dtype == np.float32
    assert planes.shape == (3, *observations.shape[1:])
    for row, column in np.ndindex(observations.shape[1:]):
        measured = [float(value) for value in observations[:, row, column] if not math.isnan(value)]
        got = planes[:, row, column]
        if not measured:
            assert np.isnan(got).all()
            continue
        exact = centre(PARAMETER_COLUMNS[column].merge, measured)
        size = max(map(abs, measured))
        assert got[0] == pytest.approx(exact, rel=1e-6, abs=1e-7 * size + 1e-44)
        assert got[1] == min(measured)
        assert got[2] == max(measured)
        if PARAMETER_COLUMNS[column].merge is not Merge.ROOT_SQUARE or min(measured) >= 0:
            assert got[1] <= got[0] <= got[2]


@given(arrays.arrays(np.float32, (3, len(COLUMNS)), elements=st.floats(width=32)))
def test_one_observation_is_one_plane_unchanged(values):
    planes = fold([values])
    assert planes.shape == (1, *values.shape)
    np.testing.assert_array_equal(planes[0], values)


def test_values_are_copied():
    values = np.ones((2, len(COLUMNS)), np.float32)
    window = ValueWindow(0, Folding(COLUMNS))
    window.add(0, values)
    values[:] = 7
    assert (window.planes() == 1).all()


def test_infinite_values_fold_without_a_warning():
    planes = fold([np.full((1, len(COLUMNS)), np.inf, np.float32), np.full((1, len(COLUMNS)), -np.inf, np.float32)])
    assert (planes[1] == -np.inf).all()
    assert (planes[2] == np.inf).all()


@given(st.integers(0, 10**7), st.integers(0, 10**4))
def test_a_span_holds_the_steps_of_one_window_and_never_goes_back(first, further):
    span = Span(first)
    span.add(first)
    assert span.continues(first)
    assert not span.continues(first - 1)
    width = max(1, 2 ** int(math.log2(max(first, 128) // 128)))
    assert span.continues(first + further) == ((first + further) // width == first // width)


def test_a_written_span_continues_with_the_same_step_only():
    span = Span(1024)
    span.add(1025)
    span.end()
    assert span.continues(1025)
    assert not span.continues(1026)
    span.add(1025)
    assert not span.written
    assert not span.continues(1026)
