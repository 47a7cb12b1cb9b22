"""The columns of units and of activations against values taken one by one."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tb_netviz.statistics import native
from tb_netviz.statistics.units import UNIT_SUMS, Activity, activation_row, merged, unit_rows, unit_sums
from tb_netviz_plugin.schema.columns import ACTIVATION_COLUMNS, UNIT_COLUMNS

FLAT = (-0.5, 2.0)
OUTPUTS = arrays.arrays(
    np.float32,
    st.tuples(st.integers(0, 6), st.integers(1, 4), st.integers(1, 3)),
    elements=st.one_of(
        st.sampled_from([0.0, -0.0, -0.5, 2.0, math.nan, math.inf, -math.inf]), st.floats(-9, 9, width=32)
    ),
)


def activity(output, axis=1, stride=1, start=0, squares=None):
    counted = len(range(start, len(output), stride))
    inner = output[0].size // output.shape[axis] if len(output) else 0
    samples, looked_at = (len(output), counted) if axis == 1 else (len(output) * inner, counted * inner)
    return Activity(unit_sums(output, axis, FLAT, stride, start), samples, looked_at, counted * inner, squares)


def named(columns, values):
    return dict(zip((column.id for column in columns), values, strict=True))


@given(OUTPUTS, st.integers(1, 4), st.integers(0, 5))
def test_sums_are_those_of_single_values(output, stride, start):
    sums = dict(zip(UNIT_SUMS, unit_sums(output, 1, FLAT, stride, start), strict=True))
    for unit in range(output.shape[1]):
        samples = [[float(value) for value in sample[unit]] for sample in output]
        counted = [value for sample in samples[start::stride] for value in sample]
        finite = [value for value in counted if math.isfinite(value)]
        assert sums["total"][unit] == pytest.approx(math.fsum(finite), abs=1e-9)
        assert sums["squares"][unit] == pytest.approx(math.fsum(value * value for value in finite))
        entries = [[value for value in sample if math.isfinite(value)] for sample in samples[start::stride]]
        means = math.fsum(math.fsum(entry) ** 2 / len(entry) for entry in entries if entry)
        assert sums["means"][unit] == pytest.approx(means if output.shape[2] > 1 else math.nan, nan_ok=True)
        assert sums["zeros"][unit] == finite.count(0.0)
        assert sums["saturated"][unit] == sum(value <= -0.5 or value >= 2.0 for value in finite)
        assert sums["nonfinite"][unit] == len(counted) - len(finite)
        assert sums["fired"][unit] == sum(any(value > 0 for value in sample) for sample in samples[start::stride])
        known = [value for sample in samples for value in sample if not math.isnan(value)]
        assert sums["largest"][unit] == max(known, default=-math.inf)
        assert sums["magnitude"][unit] == max(map(abs, finite), default=0.0)


@given(OUTPUTS)
def test_a_sample_of_features_is_each_vector_of_them(output):
    features = np.moveaxis(output, 1, -1)
    sums = unit_sums(features, -1, FLAT)
    fired, means = UNIT_SUMS.index("fired"), UNIT_SUMS.index("means")
    vectors = unit_sums(features.reshape(-1, features.shape[-1]), 1, FLAT)
    assert np.array_equal(np.delete(sums, means, 0), np.delete(vectors, means, 0))
    assert np.isnan(vectors[means]).all()
    channels = unit_sums(output, 1, FLAT)
    assert np.delete(sums, fired, 0) == pytest.approx(np.delete(channels, fired, 0), nan_ok=True)


def test_complex_values_count_by_their_magnitude():
    output = np.array([[[3 + 4j, 0], [0, -1j]]])
    assert np.array_equal(unit_sums(output, -1, FLAT), unit_sums(np.abs(output), -1, FLAT))


def test_columns_of_units():
    rng = np.random.default_rng(0)
    output = rng.normal(size=(40, 3, 5))
    rows = unit_rows(activity(output, stride=2, squares=np.array([20.0, 5.0, 0.0])))
    counted = output[::2]
    for unit, row in enumerate(rows):
        values = named(UNIT_COLUMNS, row)
        assert values["fired"] == np.mean((counted[:, unit] > 0).any(1))
        assert values["mean"] == pytest.approx(counted[:, unit].mean())
        assert values["std"] == pytest.approx(counted[:, unit].std())
        assert values["largest"] == output[:, unit].max()
        flat = (counted[:, unit] <= np.float32(-0.5)) | (counted[:, unit] >= np.float32(2.0))
        assert values["saturated"] == pytest.approx(flat.mean())
        assert values["gradient"] == pytest.approx([1.0, 0.5, 0.0][unit])


def test_columns_of_an_activation():
    rng = np.random.default_rng(0)
    output = np.maximum(rng.normal(size=(40, 3, 5)), 0)
    output[2, 1, 0] = math.nan
    values = named(ACTIVATION_COLUMNS, activation_row(activity(output, stride=2, squares=np.array([9.0, 16.0, 0.0]))))
    finite = output[::2][np.isfinite(output[::2])]
    apart = output[::2] - np.nanmean(output[::2], axis=2, keepdims=True)
    assert values == {
        "act_values": 300,
        "act_samples": 20,
        "act_sum": pytest.approx(finite.sum()),
        "act_norm": pytest.approx(np.linalg.norm(finite)),
        "act_abs_max": finite.max(),
        "act_zeros": np.sum(finite == 0),
        "act_saturated": np.sum(finite >= 2.0),
        "act_nonfinite": 1,
        "act_grad_norm": 5.0,
        "act_within_norm": pytest.approx(np.sqrt(np.nansum(np.square(apart)))),
    }


@pytest.mark.parametrize("value", [1e-30, 0.3, 1e8 + 1 / 3])
def test_places_that_are_alike_do_not_deviate(value):
    """However much the entries differ, and whatever rounding leaves."""
    output = np.tile(value * np.random.default_rng(0).normal(size=(40, 3, 1)), 300)
    row = named(ACTIVATION_COLUMNS, activation_row(activity(output)))
    assert row["act_within_norm"] == 0
    assert row["act_norm"] > 0


def test_of_one_place_no_deviation_is_known():
    one = named(ACTIVATION_COLUMNS, activation_row(activity(np.ones((40, 3)), axis=-1)))
    assert np.isnan(one["act_within_norm"])


def test_looks_at_one_activation_merge_to_that_of_all_of_it():
    output = np.random.default_rng(0).normal(size=(40, 3, 5)).astype(np.float32)
    parts = [activity(part, squares=np.ones(3)) for part in (output[:7], output[7:9], output[9:])]
    together, whole = merged(parts), activity(output, squares=np.full(3, 3.0))
    assert unit_rows(together) == pytest.approx(unit_rows(whole), nan_ok=True)
    assert activation_row(together) == pytest.approx(activation_row(whole))


def test_a_gradient_that_one_look_lacks_is_not_known():
    output = np.ones((4, 2))
    together = merged([activity(output, squares=np.ones(2)), activity(output)])
    assert np.isnan(named(ACTIVATION_COLUMNS, activation_row(together))["act_grad_norm"])
    assert np.isnan(unit_rows(together)[:, -1]).all()
    with pytest.raises(ValueError, match="at least one activity"):
        merged([])


def test_without_samples_nothing_is_known_of_a_unit():
    nothing = activity(np.zeros((0, 3, 5)))
    assert np.isnan(unit_rows(nothing)).all()
    assert named(ACTIVATION_COLUMNS, activation_row(nothing))["act_values"] == 0


def test_of_samples_that_are_not_counted_only_the_largest_value_is_known():
    rows = unit_rows(activity(np.ones((2, 3)), axis=-1, stride=8, start=5))
    largest = [column.id for column in UNIT_COLUMNS].index("largest")
    assert (rows[:, largest] == 1).all()
    assert np.isnan(np.delete(rows, largest, axis=1)).all()


def test_without_a_finite_value_its_columns_are_not_known():
    values = named(ACTIVATION_COLUMNS, activation_row(activity(np.full((4, 2), math.inf))))
    assert values["act_nonfinite"] == values["act_values"] == 8
    assert np.isnan([values[name] for name in ("act_sum", "act_norm", "act_abs_max", "act_within_norm")]).all()


@pytest.mark.parametrize("value", [1e-30, 0.1, 0.3, 1e8 + 1 / 3, -7.7])
@pytest.mark.parametrize("size", [3, 1000, 100_000])
def test_a_constant_unit_has_no_spread(value, size):
    """Else a layer in which nothing moves any more would look as if all of it did, a little."""
    rows = unit_rows(activity(np.full((size, 1), value)))
    assert named(UNIT_COLUMNS, rows[0])["std"] == 0


def test_a_small_spread_far_from_zero_is_told():
    output = 100.0 + np.random.default_rng(0).normal(size=(4096, 1)) * 1e-3
    assert named(UNIT_COLUMNS, unit_rows(activity(output))[0])["std"] == pytest.approx(output.std(), rel=1e-4)


def test_the_compiled_reduction_refuses_what_it_can_not_hold():
    apart, side_by_side = native.Grid((4, 2, 3), (24, 8, 2)), native.Grid((4, 1, 3), (3, 1, 1))
    with pytest.raises(ValueError, match="stride of at least 1"):
        native.units(0, side_by_side, FLAT, 0, 0, by_row=True)
    with pytest.raises(ValueError, match="side by side"):
        native.units(0, apart, FLAT, by_row=True)
    with pytest.raises(ValueError, match="side by side"):
        native.squares(0, apart)
