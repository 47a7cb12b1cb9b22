"""Outputs, targets and inputs against sums that are taken one value at a time."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tb_netviz.pytorch.reductions import outputs as reductions
from tb_netviz.statistics.outputs import (
    INPUTS,
    OUTPUT_SUMS,
    OUTPUTS,
    TARGETS,
    Kind,
    input_sums,
    label_sums,
    output_columns,
    output_sums,
    target_sums,
)
from tb_netviz_plugin.schema.columns import OUTPUT_COLUMNS
from tests.support.ends import by_hand, classes_by_hand, inputs_by_hand

floats = st.floats(-1e4, 1e4, width=32) | st.sampled_from([0.0, math.nan, math.inf, -math.inf])
matrices = arrays.arrays(np.float32, arrays.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=floats)
labelled = matrices.flatmap(
    lambda rows: st.tuples(
        st.just(rows), arrays.arrays(np.int64, len(rows), elements=st.integers(-2, rows.shape[1] + 1))
    )
)


class OnHost:
    """The reference, in NumPy."""

    output_sums = staticmethod(lambda rows: output_sums(rows.astype(np.float64)))
    target_sums = staticmethod(lambda targets, kind: target_sums(targets.astype(np.float64), kind))
    input_sums = staticmethod(lambda rows, kind: input_sums(rows.astype(np.float64), kind))

    @staticmethod
    def label_sums(rows, labels, ignored):
        return label_sums(rows.astype(np.float64), labels, ignored, with_classes=True)


class AsOnADevice:
    """What an accelerator does, on the host."""

    def __init__(self, monkeypatch):
        monkeypatch.setattr(reductions, "_on_host", lambda _tensor: False)

    @staticmethod
    def output_sums(rows):
        return reductions.output_sums(torch.from_numpy(rows)).numpy()

    @staticmethod
    def target_sums(targets, kind):
        return reductions.target_sums(torch.from_numpy(targets).reshape(-1), kind).numpy()

    @staticmethod
    def input_sums(rows, kind):
        return reductions.input_sums(torch.from_numpy(rows), kind).numpy()

    @staticmethod
    def label_sums(rows, labels, ignored):
        sums, classes = reductions.label_sums(
            torch.from_numpy(rows), torch.from_numpy(labels), ignored, with_classes=True
        )
        assert classes is not None
        return sums.numpy(), classes.numpy()


@pytest.fixture(params=[OnHost, AsOnADevice], scope="module")
def way(request):
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield OnHost if request.param is OnHost else AsOnADevice(monkeypatch)


def assert_columns(parts, expected, scale=1.0):
    columns = dict(zip((column.id for column in OUTPUT_COLUMNS), output_columns(parts).tolist(), strict=True))
    for name, value in columns.items():
        wanted = expected.get(name, math.nan)
        assert value == pytest.approx(wanted, rel=1e-5, abs=1e-5 * scale, nan_ok=True), name


def scale_of(values):
    finite = values[np.isfinite(values)]
    return 1.0 + float(np.abs(finite.astype(np.float64)).sum())


@given(rows=matrices)
def test_outputs(way, rows):
    assert_columns({OUTPUTS: way.output_sums(rows)}, by_hand(rows), scale_of(rows))


@given(targets=matrices, kind=st.sampled_from([Kind.NUMBERS, Kind.OTHER]))
def test_targets_that_are_numbers(way, targets, kind):
    assert_columns({TARGETS: way.target_sums(targets, kind)}, by_hand(None, targets, kind), scale_of(targets))


@given(case=labelled, ignored=st.sampled_from([-100, 0, 1]))
def test_class_indices(way, case, ignored):
    rows, labels = case
    sums, classes = way.label_sums(rows, labels, ignored)
    expected = by_hand(rows, labels, 1, ignored)
    parts = {OUTPUTS: way.output_sums(rows), TARGETS: sums}
    assert_columns(parts, expected, scale_of(rows))
    np.testing.assert_allclose(classes, classes_by_hand(rows, labels, ignored), rtol=1e-5, atol=1e-5 * scale_of(rows))


@given(rows=arrays.arrays(np.float32, (5, 3), elements=st.integers(-50, 50).map(float) | st.just(math.nan)))
def test_inputs(way, rows):
    assert_columns({INPUTS: way.input_sums(rows, Kind.NUMBERS)}, inputs_by_hand(rows), scale_of(rows))


def test_features_that_do_not_vary_do_not_count(way):
    rows = np.array([[3.7, 0.0, 1e-3], [3.7, 20.0, 2e-3], [3.7, 40.0, 3e-3]], np.float32)
    columns = dict(
        zip(
            (column.id for column in OUTPUT_COLUMNS),
            output_columns({INPUTS: way.input_sums(rows, Kind.NUMBERS)}),
            strict=True,
        )
    )
    assert columns["in_std_min"] == pytest.approx(np.std([1e-3, 2e-3, 3e-3]), rel=1e-4)
    assert columns["in_std_max"] == pytest.approx(np.std([0, 20, 40]), rel=1e-4)


def test_the_sums_of_a_part_are_as_many_as_their_names(way):
    assert len(way.output_sums(np.ones((2, 2), np.float32))) == len(OUTPUT_SUMS[OUTPUTS].names)
    assert len(way.input_sums(np.ones((2, 2), np.float32), Kind.NUMBERS)) == len(OUTPUT_SUMS[INPUTS].names)
    assert len(way.target_sums(np.ones(2, np.float32), Kind.OTHER)) == len(OUTPUT_SUMS[TARGETS].names)


def test_nothing_is_known_of_a_part_that_was_not_seen():
    assert np.isnan(output_columns({})).all()


def test_large_logits_overflow_nothing(way):
    rows = np.array([[1e4, -1e4], [-1e4, 1e4]], np.float32)
    sums, classes = way.label_sums(rows, np.array([0, 0]), -100)
    assert_columns({OUTPUTS: way.output_sums(rows), TARGETS: sums}, by_hand(rows, np.array([0, 0]), 1))
    np.testing.assert_allclose(classes, np.array([[2.0, 1.0, 2e4], [0.0, 0.0, 0.0]]))
