"""Each statistic against float64 by hand, on real gradients that were recorded column by column."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tb_netviz_plugin.schema.columns import ACTIVATION_COLUMN, PARAMETER_COLUMN, Merge
from tb_netviz_plugin.schema.statistics import STATISTIC, STATISTICS, Rows, Scale

DOCUMENT = (Path(__file__).parents[2] / "docs" / "statistics.md").read_text(encoding="utf-8")

BY_HAND = {
    "gradient_norm": lambda g, _last, _w, _u: np.sqrt(np.sum(g**2)),
    "gradient_mean_abs": lambda g, _last, _w, _u: np.mean(np.abs(g)),
    "gradient_max_abs": lambda g, _last, _w, _u: np.max(np.abs(g)),
    "gradient_zero_fraction": lambda g, _last, _w, _u: np.count_nonzero(g == 0) / g.size,
    "gradient_nonfinite": lambda g, _last, _w, _u: np.count_nonzero(~np.isfinite(g)) / g.size,
    "weight_norm": lambda _g, _last, w, _u: np.sqrt(np.sum(w**2)),
    "update_ratio": lambda _g, _last, w, u: np.sqrt(np.sum(u**2)) / np.sqrt(np.sum(w**2)),
    "gradient_cosine": lambda g, last, _w, _u: np.sum(g * last) / np.sqrt(np.sum(g**2) * np.sum(last**2)),
}

BY_HAND_OF_OUTPUTS = {
    "activation_mean": lambda a, _g: np.mean(a),
    "activation_std": lambda a, _g: np.std(a),
    "activation_max_abs": lambda a, _g: np.max(np.abs(a)),
    "activation_zero_fraction": lambda a, _g: np.count_nonzero(a == 0) / a.size,
    "activation_saturation": lambda a, _g: np.count_nonzero(a >= CEILING) / a.size,
    "activation_nonfinite": lambda a, _g: np.count_nonzero(~np.isfinite(a)) / a.size,
    "output_gradient_norm": lambda _a, g: np.sqrt(np.sum(g**2)),
}
CEILING = 1.5
COLUMNS = {Rows.PARAMETERS: PARAMETER_COLUMN, Rows.ACTIVATIONS: ACTIVATION_COLUMN}

by_id = pytest.mark.parametrize("statistic", STATISTICS, ids=lambda statistic: statistic.id)
of_parameters = pytest.mark.parametrize(
    "statistic", [one for one in STATISTICS if one.rows is Rows.PARAMETERS], ids=lambda statistic: statistic.id
)
of_activations = pytest.mark.parametrize(
    "statistic", [one for one in STATISTICS if one.rows is Rows.ACTIVATIONS], ids=lambda statistic: statistic.id
)


def record(gradient, last, weight, update):
    """Return the columns of one tensor at one step, as docs/wire-format.md defines them."""
    return {
        "present": 1.0,
        "grad_norm": np.sqrt(np.sum(gradient**2)),
        "grad_abs_sum": np.sum(np.abs(gradient)),
        "grad_abs_max": np.max(np.abs(gradient)),
        "grad_sum": np.sum(gradient),
        "grad_zeros": float(np.sum(gradient == 0)),
        "grad_nonfinite": float(np.sum(~np.isfinite(gradient))),
        "weight_norm": np.sqrt(np.sum(weight**2)),
        "update_norm": np.sqrt(np.sum(update**2)),
        "grad_dot_last": np.sum(gradient * last),
        "grad_norm_last": np.sqrt(np.sum(last**2)),
    }


def output_record(output, gradient):
    """Return the columns of one output at one step, as docs/wire-format.md defines them."""
    return {
        "act_values": float(output.size),
        "act_samples": 1.0,
        "act_sum": np.sum(output),
        "act_norm": np.sqrt(np.sum(output**2)),
        "act_abs_max": np.max(np.abs(output)),
        "act_zeros": float(np.sum(output == 0)),
        "act_saturated": float(np.sum(output >= CEILING)),
        "act_nonfinite": float(np.sum(~np.isfinite(output))),
        "act_grad_norm": np.sqrt(np.sum(gradient**2)),
    }


def records_of(statistic, generator, sizes):
    """Return the columns of tensors of these sizes, of the kind that the statistic is of."""
    if statistic.rows is Rows.PARAMETERS:
        return [record(*tensors(generator, size)) for size in sizes]
    return [output_record(*tensors(generator, size)[:2]) for size in sizes]


def merged(records):
    """Return the columns of several tensors together, by the table of docs/wire-format.md."""
    columns = PARAMETER_COLUMN | ACTIVATION_COLUMN
    over_tensors: dict[Merge, Callable[[list[float]], np.floating]] = {
        Merge.SUM: np.sum,
        Merge.ROOT_SQUARE: lambda values: np.sqrt(np.sum(np.square(values))),
        Merge.MAX: np.max,
    }
    return {name: np.asarray(over_tensors[columns[name].merge]([row[name] for row in records])) for name in records[0]}


def tensors(generator, size):
    """Return gradient, last gradient, weight and update of a tensor, the gradient with some exact zeros."""
    gradient, last, weight, update = generator.normal(size=(4, size))
    return np.where(generator.random(size) < 0.3, 0.0, gradient), last, weight, 1e-3 * update


def value(statistic, columns, elements):
    return statistic.value(columns, np.asarray(float(elements)))


@of_parameters
@pytest.mark.parametrize("sizes", [(7,), (64, 8), (3, 1, 500)])
def test_the_value_of_a_layer_is_that_of_all_its_elements_in_one_vector(statistic, sizes):
    generator = np.random.default_rng(sum(sizes))
    parameters = [tensors(generator, size) for size in sizes]
    columns = merged([record(*parameter) for parameter in parameters])
    expected = BY_HAND[statistic.id](*(np.concatenate(parts) for parts in zip(*parameters, strict=True)))
    np.testing.assert_allclose(value(statistic, columns, sum(sizes)), expected, rtol=1e-12)


@of_activations
@pytest.mark.parametrize("sizes", [(7,), (64, 8), (3, 1, 500)])
def test_the_value_of_an_activation_is_that_of_all_values_of_its_steps(statistic, sizes):
    generator = np.random.default_rng(sum(sizes))
    outputs = [tensors(generator, size)[:2] for size in sizes]
    columns = merged([output_record(*output) for output in outputs])
    expected = BY_HAND_OF_OUTPUTS[statistic.id](*(np.concatenate(parts) for parts in zip(*outputs, strict=True)))
    np.testing.assert_allclose(value(statistic, columns, np.nan), expected, rtol=1e-12)


@pytest.mark.parametrize("mean", [0.0, 1.0, -1e4, 1e18, 1e-30])
def test_the_deviation_of_a_constant_is_no_root_of_a_negative_number(mean):
    columns = {name: np.asarray(part, np.float32) for name, part in output_record(np.full(9, mean), np.ones(9)).items()}
    deviation = value(STATISTIC["activation_std"], columns, np.nan)
    assert 0 <= deviation <= 5e-4 * abs(mean)


def test_a_share_of_values_stays_a_share_when_their_number_varies():
    columns = {"act_zeros": np.asarray(64.0), "act_values": np.asarray(8.0)}
    assert value(STATISTIC["activation_zero_fraction"], columns, np.nan) == 1.0


@by_id
def test_a_statistic_needs_no_other_columns_than_it_says(statistic):
    columns = merged(records_of(statistic, np.random.default_rng(0), [9]))
    needed = {name: columns[name] for name in statistic.columns}
    np.testing.assert_array_equal(value(statistic, needed, 9), value(statistic, columns, 9))


@by_id
def test_arrays_are_taken_element_by_element(statistic):
    generator = np.random.default_rng(1)
    layers = [merged([row]) for row in records_of(statistic, generator, (5, 6, 7))]
    stacked = {name: np.stack([layer[name] for layer in layers])[:, None] for name in layers[0]}
    together = statistic.value(stacked, np.array([[5.0], [6.0], [7.0]]))
    each = [value(statistic, layer, size) for layer, size in zip(layers, (5, 6, 7), strict=True)]
    np.testing.assert_allclose(together[:, 0], each, rtol=1e-15)


@by_id
def test_nan_stays_nan(statistic):
    columns = {name: np.asarray(np.nan) for name in COLUMNS[statistic.rows]}
    assert np.isnan(value(statistic, columns, 5))


@pytest.mark.parametrize(
    ("statistic", "columns"),
    [
        ("update_ratio", {"update_norm": 1.0, "weight_norm": 0.0}),
        ("gradient_cosine", {"grad_dot_last": 0.0, "grad_norm": 0.0, "grad_norm_last": 1.0}),
    ],
)
def test_a_ratio_to_zero_has_no_value(statistic, columns):
    assert np.isnan(value(STATISTIC[statistic], {name: np.asarray(v) for name, v in columns.items()}, 1))


@pytest.mark.parametrize(
    "statistic",
    [
        "gradient_mean_abs",
        "gradient_zero_fraction",
        "gradient_nonfinite",
        "activation_mean",
        "activation_std",
        "activation_zero_fraction",
    ],
)
def test_a_row_without_elements_has_no_share(statistic):
    columns = {name: np.asarray(0.0) for name in PARAMETER_COLUMN | ACTIVATION_COLUMN}
    assert np.isnan(value(STATISTIC[statistic], columns, 0))


def test_the_cosine_of_vanishing_gradients_does_not_underflow():
    tiny = np.float32(1e-30)
    columns = {name: np.asarray(tiny) for name in ("grad_norm", "grad_norm_last")}
    columns["grad_dot_last"] = np.asarray(0.5 * float(tiny) ** 2)
    np.testing.assert_allclose(value(STATISTIC["gradient_cosine"], columns, 1), 0.5, rtol=1e-6)


def test_rounding_does_not_take_a_cosine_out_of_its_range():
    columns = {"grad_dot_last": np.asarray(np.float32(1.0000001)), "grad_norm": np.asarray(1.0)}
    columns["grad_norm_last"] = np.asarray(1.0)
    assert value(STATISTIC["gradient_cosine"], columns, 1) == 1.0


magnitudes = arrays.arrays(np.float64, (4, 3), elements=st.floats(1e-30, 1e30))


@by_id
@given(data=st.data())
def test_the_extremes_of_the_columns_bound_the_statistic(statistic, data):
    if not statistic.bounded:
        assert not statistic.falling
        return
    steps = {name: data.draw(magnitudes, name) for name in statistic.columns}  # [steps, tensors]
    at_each_step = [
        value(statistic, merged([{name: steps[name][t, p] for name in steps} for p in range(3)]), 10) for t in range(4)
    ]
    low, high = ({}, {})
    for name, values in steps.items():
        extremes = [merged([{name: extreme} for extreme in f(values, axis=0)])[name] for f in (np.min, np.max)]
        low[name], high[name] = reversed(extremes) if name in statistic.falling else extremes
    tolerance = 1 + 1e-12
    assert value(statistic, low, 10) <= min(at_each_step) * tolerance
    assert value(statistic, high, 10) >= max(at_each_step) / tolerance


@by_id
def test_the_catalogue_is_consistent(statistic):
    assert set(statistic.columns) <= set(COLUMNS[statistic.rows])
    assert set(statistic.falling) <= set(statistic.columns)
    assert STATISTIC[statistic.id] is statistic
    assert re.fullmatch(r"[a-z][a-z_]*", statistic.id)
    assert statistic.label
    assert statistic.definition.endswith(".")
    assert statistic.reading.endswith(".")
    assert statistic.scale in Scale


def test_ids_and_labels_are_unique():
    assert len({statistic.id for statistic in STATISTICS}) == len(STATISTICS)
    assert len({statistic.label for statistic in STATISTICS}) == len(STATISTICS)


def test_each_statistic_has_its_heading_in_the_documents_in_the_same_order():
    headings = re.findall(r"^## (.+) \(`(\w+)`\)$", DOCUMENT, flags=re.MULTILINE)
    assert headings == [(statistic.label, statistic.id) for statistic in STATISTICS]


@by_id
def test_each_document_gives_reading_and_source(statistic):
    text = DOCUMENT.split(f"(`{statistic.id}`)\n")[1].split("\n## ")[0]
    assert "*Reading.*" in text
    assert "*Source.*" in text
