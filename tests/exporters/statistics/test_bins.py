"""The bins of magnitudes against their definition."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tb_netviz.statistics import count_bins, sampled
from tb_netviz.statistics.bins import stride
from tb_netviz_plugin.schema import bins


def bin_of(value):
    """The bin of one number by comparison with exact powers of two."""
    if not math.isfinite(value):
        return bins.NONFINITE
    if value == 0:
        return bins.ZERO
    magnitude = abs(Fraction(value))
    for exponent in range(bins.LOWEST_EXPONENT, bins.HIGHEST_EXPONENT + 2):
        if magnitude < Fraction(2) ** exponent:
            return bins.BELOW + exponent - bins.LOWEST_EXPONENT
    return bins.ABOVE


@given(
    st.one_of(
        arrays.arrays(np.float32, st.integers(0, 50), elements=st.floats(width=32)),
        arrays.arrays(np.float16, st.integers(0, 50), elements=st.floats(width=16)),
        arrays.arrays(np.float64, st.integers(0, 50)),
        arrays.arrays(np.int32, st.integers(0, 50)),
    )
)
def test_every_element_falls_into_its_bin(array):
    expected = np.zeros(bins.COUNT, np.uint16)
    for value in array:
        expected[bin_of(float(value))] += 1
    assert count_bins(array).tolist() == expected.tolist()


@pytest.mark.parametrize("exponent", range(bins.LOWEST_EXPONENT, bins.HIGHEST_EXPONENT + 1))
def test_powers_of_two_open_their_bin(exponent):
    power = np.float64(2.0) ** exponent
    index = bins.FIRST + exponent - bins.LOWEST_EXPONENT
    assert count_bins([power]).argmax() == index
    assert count_bins([np.nextafter(power, 0)]).argmax() == index - 1


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 8192, 8193, 100_000])
def test_at_most_the_agreed_number_of_elements_at_one_stride(size):
    array = np.arange(size, dtype=np.float32)
    sample = sampled(array)
    assert len(sample) <= bins.SAMPLES
    assert len(sample) == size or len(sample) > bins.SAMPLES // 2
    assert len(np.unique(np.diff(sample))) <= 1
    assert int(count_bins(array).sum()) == len(sample)


@given(st.integers(0, 10**12))
def test_the_stride_is_the_least_that_has_no_divisor_in_common_with_the_size(size):
    plain = max(1, math.ceil(Fraction(size, bins.SAMPLES)))
    fitting = (step for step in range(plain, plain + 1000) if Fraction(size, step).numerator == size)
    assert stride(size) == next(fitting)


@pytest.mark.parametrize("shape", [(256, 64), (32, 256), (100, 300), (84, 120), (64, 12, 7, 7), (5, 4096), (9000, 2)])
def test_all_columns_of_a_matrix_are_met_alike(shape):
    array = np.broadcast_to(np.arange(shape[-1]), shape)
    met = np.bincount(sampled(array.ravel()), minlength=shape[-1])
    assert met.max() - met.min() <= 1


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_all_indices_along_any_axis_are_met_alike(axis):
    shape = (48, 32, 9, 4)
    along = np.expand_dims(np.arange(shape[axis]), tuple({0, 1, 2, 3} - {axis}))
    met = np.bincount(sampled(np.broadcast_to(along, shape).ravel()), minlength=shape[axis])
    assert met == pytest.approx(met.sum() / shape[axis], rel=0.1)


@pytest.mark.parametrize("shape", [(256, 64), (32, 256), (84, 120), (64, 12, 7, 7)])
def test_columns_that_differ_are_counted_by_their_shares(shape):
    array = np.random.default_rng(0).normal(size=shape) * 2.0 ** (np.arange(shape[-1]) % 8)
    array[..., ::4] = 0.0
    counted = count_bins(array)
    powers = np.floor(np.log2(np.abs(array[array != 0]))).astype(int)
    shares = np.bincount(powers + bins.FIRST - bins.LOWEST_EXPONENT, minlength=bins.COUNT) / array.size
    shares[bins.ZERO] = np.mean(array == 0)
    zeros = math.ceil(shape[-1] / 4) / shape[-1]
    assert shares[bins.ZERO] == pytest.approx(zeros)
    assert counted[bins.ZERO] / counted.sum() == pytest.approx(zeros, rel=0.01)
    np.testing.assert_allclose(counted / counted.sum(), shares, atol=4 * math.sqrt(0.25 / counted.sum()))


def test_complex_elements_count_by_their_magnitude():
    assert count_bins(np.array([3 + 4j, 0j, complex(math.nan, 0)], np.complex64)).nonzero()[0].tolist() == [
        bins.ZERO,
        bins.NONFINITE,
        bin_of(5.0),
    ]


def test_equal_counts_for_equal_elements_of_another_shape():
    array = np.random.default_rng(0).normal(size=(64, 32, 3))
    assert (count_bins(array) == count_bins(array.reshape(-1))).all()
    assert count_bins(array).dtype == np.uint16
