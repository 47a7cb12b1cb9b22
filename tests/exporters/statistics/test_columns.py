"""The columns of gradients and weights against exact sums."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tb_netviz.statistics import gradient_columns, numbers, pair_columns, parameter_row, weight_columns
from tb_netviz_plugin.schema.columns import PARAMETER_COLUMNS

SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5)
REALS = st.one_of(
    arrays.arrays(np.float32, SHAPES, elements=st.floats(width=32, allow_nan=False, allow_infinity=False)),
    arrays.arrays(np.float16, SHAPES, elements=st.floats(width=16, allow_nan=False, allow_infinity=False)),
    arrays.arrays(np.float64, SHAPES, elements=st.floats(-1e38, 1e38)),
    arrays.arrays(np.int64, SHAPES),
    arrays.arrays(np.uint8, SHAPES),
    arrays.arrays(np.bool_, SHAPES),
)


def exact_norm(values):
    return math.hypot(*values)  # Scales, so it neither over- nor underflows.


def close(value, exact, scale=0.0):
    return value == pytest.approx(exact, rel=1e-9, abs=1e-13 * scale + 1e-150)


@given(REALS)
def test_gradient_columns_equal_exact_sums(array):
    values = [float(element) for element in array.ravel()]
    columns = gradient_columns(array)
    total = math.fsum(map(abs, values))
    assert close(columns["grad_norm"], exact_norm(values))
    assert close(columns["grad_abs_sum"], total)
    assert close(columns["grad_sum"], math.fsum(values), total)
    assert columns["grad_abs_max"] == max(map(abs, values), default=0.0)
    assert columns["grad_zeros"] == sum(value == 0 for value in values)
    assert columns["grad_nonfinite"] == 0
    assert columns["present"] == 1


@given(arrays.arrays(np.complex64, SHAPES, elements=st.complex_numbers(max_magnitude=1e18, width=64)))
def test_complex_elements_count_by_their_magnitude(array):
    values = [complex(element) for element in array.ravel()]
    columns = gradient_columns(array)
    assert close(columns["grad_norm"], exact_norm(map(abs, values)))
    assert close(columns["grad_abs_sum"], math.fsum(map(abs, values)))
    assert close(columns["grad_sum"], math.fsum(value.real for value in values), 1e19)
    assert columns["grad_zeros"] == sum(value == 0 for value in values)


@st.composite
def spoiled(draw):
    """Return numbers of which at least one is not finite."""
    array = draw(arrays.arrays(np.float32, arrays.array_shapes(max_dims=3, max_side=6), elements=st.floats(width=32)))
    array.flat[draw(st.integers(0, array.size - 1))] = draw(st.sampled_from([math.nan, math.inf, -math.inf]))
    return array


@given(spoiled())
def test_nonfinite_elements_are_counted_and_leave_the_rest_unmeasured(array):
    columns = gradient_columns(array)
    assert columns["grad_nonfinite"] == sum(not math.isfinite(value) for value in array.ravel())
    assert columns["present"] == 1
    rest = columns.keys() - {"present", "grad_nonfinite"}
    assert all(math.isnan(columns[name]) for name in rest)


@given(
    st.integers(0, 40).flatmap(
        lambda size: arrays.arrays(np.float32, (2, size), elements=st.floats(-1e9, 1e9, width=32))
    )
)
def test_inner_product_with_the_last_gradient(pair):
    now, last = pair
    columns = pair_columns(now, last)
    products = [float(a) * float(b) for a, b in zip(now, last, strict=True)]
    norms = exact_norm(map(float, now)), exact_norm(map(float, last))
    assert close(columns["grad_norm_last"], norms[1])
    if min(norms) > 0 and math.prod(norms) < np.finfo(np.float32).smallest_normal:
        assert math.isnan(columns["grad_dot_last"])
    else:
        assert close(columns["grad_dot_last"], math.fsum(products), math.fsum(map(abs, products)))


@pytest.mark.parametrize("magnitude", [1e-44, 1e-30, 1e-20, 1.0, 1e20, 1e38])
def test_norms_hold_over_the_range_of_float32(magnitude):
    array = np.full((3, 3), magnitude, np.float32)
    row = dict(zip((column.id for column in PARAMETER_COLUMNS), parameter_row(array, weight=array), strict=True))
    assert row["grad_norm"] == pytest.approx(3 * float(array[0, 0]), rel=1e-6)
    assert row["weight_norm"] == row["grad_norm"]


def test_a_product_that_float32_cannot_hold_is_not_measured_instead_of_zero():
    vanishing = np.full(4, 1e-30, np.float32)
    row = parameter_row(vanishing, last_gradient=vanishing)
    columns = [column.id for column in PARAMETER_COLUMNS]
    assert math.isnan(row[columns.index("grad_dot_last")])
    assert row[columns.index("grad_norm_last")] == pytest.approx(2e-30, rel=1e-6)


def test_without_a_gradient_nothing_of_it_is_measured():
    row = parameter_row(None, last_gradient=np.ones(3), weight=np.ones(4))
    values = dict(zip((column.id for column in PARAMETER_COLUMNS), row, strict=True))
    assert values.pop("present") == 0
    assert values.pop("weight_norm") == 2
    assert all(np.isnan(value) for value in values.values())


@given(
    st.integers(0, 40).flatmap(
        lambda size: arrays.arrays(np.float32, (2, size), elements=st.floats(-1e9, 1e9, width=32))
    )
)
def test_update_is_the_difference_in_float64(pair):
    after, before = pair
    columns = weight_columns(after, before)
    assert close(columns["weight_norm"], exact_norm(map(float, after)))
    assert close(columns["update_norm"], exact_norm(float(a) - float(b) for a, b in zip(after, before, strict=True)))


def test_nonfinite_weights_give_a_nonfinite_norm():
    columns = weight_columns(np.array([np.inf, 1]), np.array([np.inf, 1]))
    assert columns["weight_norm"] == np.inf
    assert math.isnan(columns["update_norm"])


def test_an_array_larger_than_a_block_is_whole():
    array = np.arange(2 * numbers.BLOCK + 3, dtype=np.float32)
    columns = gradient_columns(array)
    values = [float(value) for value in array]
    assert columns["grad_sum"] == math.fsum(values)
    assert close(columns["grad_norm"], exact_norm(values))
    assert close(pair_columns(array, array)["grad_dot_last"], math.fsum(value * value for value in values))
    assert close(weight_columns(array, array - 1)["update_norm"], math.sqrt(array.size))


def test_numbers_beyond_float32_do_not_raise():
    row = parameter_row(np.full(3, 1e300), last_gradient=np.full(3, 1e300), weight=np.full(3, 1e308))
    assert row.dtype == np.float32
    assert row[1] == np.inf


@pytest.mark.parametrize("array", [["a", "b"], [object()], np.array(["2020"], "M8[Y]")])
def test_elements_that_are_no_numbers_are_refused_in_words(array):
    with pytest.raises(TypeError, match="array of numbers, got"):
        gradient_columns(array)


def test_arrays_of_different_size_are_refused_in_words():
    with pytest.raises(ValueError, match="last gradient has 3 elements, this one 2"):
        pair_columns(np.ones(2), np.ones(3))
    with pytest.raises(ValueError, match="2 elements after the step and 3 before"):
        weight_columns(np.ones(2), np.ones(3))
