"""Which units of a layer are likely to have equal or opposite weights, from a few numbers of each.

A row of weights as long as one is projected onto a few fixed directions, which show by how much two rows differ as well
as the rows themselves do, about. Rows that are alike are so in each projection, hence neighbours when sorted by one.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tb_netviz.statistics.partials import Array

TOLERANCE = 1e-5
"""By how much rows of weights may differ that count as equal, as a share of their length."""
PROJECTIONS = 8
_LIKELY = 2 * TOLERANCE
"""Of rows that are equal, the root mean square of the differences in PROJECTIONS directions hardly ever exceeds it."""
_REACH = 1e-4
"""Nor does the difference in what they are sorted by exceed this one."""
_LAGS = 16
"""Neighbours with which a row is compared: others come between two that are equal only by chance."""
_SPREAD = 0.6180339887
"""By which the numbers without a sign count in the sorting, one more than the other."""


class Pairs(NamedTuple):
    """Units that are likely to be twins, each of them once as the second.

    Attributes:
        first: The first unit of each group, [pairs].
        second: Another one, [pairs].
        signs: 1 for equal, -1 for opposite, [pairs].
    """

    first: npt.NDArray[np.intp]
    second: npt.NDArray[np.intp]
    signs: Array


@functools.lru_cache(maxsize=8)
def directions(length: int) -> npt.NDArray[np.float32]:
    """Return the directions, float32 [length, PROJECTIONS]: the same in each process."""
    return np.random.default_rng(length).standard_normal((length, PROJECTIONS), dtype=np.float32)


def likely_twins(odd: Array, even: Array) -> Pairs:
    """Return which units are likely to be twins.

    Args:
        odd: Projections of rows of length one, [units, PROJECTIONS]; an opposite unit has them with the other sign.
        even: Numbers that an opposite unit has with the same sign, [units, any].
    """
    key = np.abs(odd[:, 0]) + even @ (_SPREAD * np.arange(1, even.shape[1] + 1))
    key = np.where(np.isfinite(odd).all(1) & np.isfinite(even).all(1), key, np.nan)
    order = np.argsort(key, kind="stable")
    before, signs = np.arange(len(key)), np.ones(len(key))
    for lag in range(1, min(_LAGS, len(key) - 1) + 1):
        near = key[order[lag:]] - key[order[:-lag]] <= _REACH
        if not near.any():
            break
        near &= before[order[lag:]] == order[lag:]
        _link(odd, even, order[:-lag][near], order[lag:][near], before, signs)
    return _grouped(before, signs)


def _link(
    odd: Array,
    even: Array,
    first: npt.NDArray[np.intp],
    second: npt.NDArray[np.intp],
    before: npt.NDArray[np.intp],
    signs: Array,
) -> None:
    """Note of those of `second` that are likely to equal, or oppose, those of `first` that these come before them."""
    level = (np.abs(even[first] - even[second]) <= _LIKELY).all(1)
    equal = level & _close(odd[first], odd[second])
    twins = equal | (level & _close(odd[first], -odd[second]))
    before[second[twins]] = first[twins]
    signs[second[twins]] = np.where(equal[twins], 1.0, -1.0)


def _close(rows: Array, others: Array) -> npt.NDArray[np.bool_]:
    close: npt.NDArray[np.bool_] = np.square(rows - others).mean(1) <= _LIKELY**2
    return close


def _grouped(before: npt.NDArray[np.intp], signs: Array) -> Pairs:
    """Return the pairs with the first unit of each group, given which comes before which."""
    while (before[before] != before).any():
        signs, before = signs * signs[before], before[before]
    units = np.arange(len(before))
    firsts = np.full(len(before), len(before))
    np.minimum.at(firsts, before, units)
    first = firsts[before]
    second = np.flatnonzero(first != units)
    return Pairs(first[second], second, signs[second] * signs[first[second]])
