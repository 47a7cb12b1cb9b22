"""Units that are likely to be twins, against a comparison of each with each."""

import numpy as np
import pytest

from tb_netviz.statistics.twins import PROJECTIONS, directions, likely_twins


def numbers(rows):
    """Return what is compared of `rows`."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    odd = rows @ directions(rows.shape[1]).astype(np.float64) / np.maximum(norms, 1e-30)
    return odd, np.log(np.maximum(norms, 1e-30))


def found(rows):
    """Return {second unit: (first unit, sign)}."""
    pairs = likely_twins(*numbers(rows))
    return dict(zip(pairs.second.tolist(), zip(pairs.first.tolist(), pairs.signs.tolist(), strict=True), strict=True))


def by_hand(rows):
    """Compare each row with each before it."""
    twins = {}
    for unit, row in enumerate(rows):
        for first in range(unit):
            if first in twins:
                continue
            limit = 1e-5 * max(np.linalg.norm(row), np.linalg.norm(rows[first]))
            for sign in (1.0, -1.0):
                if unit not in twins and np.linalg.norm(row - sign * rows[first]) <= limit:
                    twins[unit] = first, sign
    return twins


@pytest.mark.parametrize("length", [1, 2, 9, 300])
def test_twins_are_those_that_each_with_each_gives(length):
    noise = np.random.default_rng(length)
    rows = noise.standard_normal((200, length)) * np.exp(noise.standard_normal((200, 1)))
    rows = rows[np.abs(np.subtract.outer(*[np.linalg.norm(rows, axis=1)] * 2) + 9 * np.eye(200)).min(1) > 1e-4]
    rows[20], rows[30], rows[41], rows[7] = rows[3], -rows[3], rows[40] * (1 + 5e-6), -rows[90]
    rows[50:60], rows[70:75] = rows[50], 0.0
    assert found(rows) == by_hand(rows)
    assert len(found(rows)) == 4 + 9 + 4


def test_units_that_are_all_the_same_are_one_group():
    assert found(np.full((1000, 30), 0.3)) == dict.fromkeys(range(1, 1000), (0, 1.0))


def test_a_group_that_turns_around_again_and_again_is_one():
    rows = np.resize([1.0, -1.0], (40, 1)) * np.random.default_rng(0).standard_normal(12)
    assert found(rows) == {unit: (0, (-1.0) ** unit) for unit in range(1, 40)}


@pytest.mark.parametrize("units", [512, 20_000])
def test_independent_rows_have_none(units):
    assert found(np.random.default_rng(1).standard_normal((units, 64))) == {}


def test_numbers_that_are_none_are_of_no_unit():
    rows = np.random.default_rng(2).standard_normal((8, 5))
    rows[6], rows[3], rows[5] = rows[1], np.nan, np.inf
    with np.errstate(invalid="ignore"):
        assert found(rows) == {6: (1, 1.0)}


def test_what_an_opposite_unit_shares_has_to_be_equal():
    rows = np.random.default_rng(3).standard_normal((4, 6))
    rows[1], rows[2], rows[3] = -rows[0], rows[0], -rows[0]
    odd, norms = numbers(rows)
    pairs = likely_twins(odd, np.column_stack([norms, [1.0, 1.0, 1.001, 1.001]]))
    assert [list(part) for part in pairs] == [[0, 2], [1, 3], [-1.0, -1.0]]


@pytest.mark.parametrize("units", [0, 1])
def test_fewer_than_two_units_have_none(units):
    assert len(likely_twins(np.zeros((units, PROJECTIONS)), np.zeros((units, 1))).first) == 0
