"""The bins cover every magnitude once."""

import math

from hypothesis import given
from hypothesis import strategies as st

from tb_netviz_plugin.schema import bins


def place(magnitude):
    """Return the bin of a magnitude, by the words of docs/wire-format.md."""
    if magnitude == 0:
        return 0
    if not math.isfinite(magnitude):
        return 1
    if magnitude < 2.0**-104:
        return 2
    if magnitude >= 2.0**20:
        return 127
    return next(3 + k for k in range(124) if 2.0 ** (k - 104) <= magnitude < 2.0 ** (k - 103))


def test_there_are_128():
    assert bins.COUNT == 128
    assert bins.ABOVE == 127


def test_special_bins_stand_first():
    assert (place(0.0), place(math.inf), place(2.0**-105), 3) == (bins.ZERO, bins.NONFINITE, bins.BELOW, bins.FIRST)


@given(st.floats(min_value=2.0**-104, max_value=2.0**20, exclude_max=True))
def test_a_bin_is_the_exponent_of_a_float(magnitude):
    exponent = math.frexp(magnitude)[1] - 1
    assert bins.FIRST + exponent - bins.LOWEST_EXPONENT == place(magnitude)
    assert bins.LOWEST_EXPONENT <= exponent <= bins.HIGHEST_EXPONENT


def test_a_row_fits_into_uint16():
    assert bins.SAMPLES < 2**16
