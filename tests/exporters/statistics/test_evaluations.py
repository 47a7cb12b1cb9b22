"""What evaluations and training are compared by, against what NumPy says of all values at once."""

import math

import numpy as np
import pytest
import torch

from tb_netviz.pytorch.reductions import features
from tb_netviz.pytorch.reductions.features import feature_sums, merged
from tb_netviz.statistics.evaluations import Side, evaluation_columns
from tb_netviz_plugin.schema.columns import EVALUATION_COLUMNS


@pytest.fixture(params=["host", "device"], autouse=True)
def _place(request, monkeypatch):
    """What an accelerator does runs on the host, too."""
    if request.param == "device":
        monkeypatch.setattr(features, "_on_host", lambda _values: False)


def sums(rows):
    return feature_sums(torch.as_tensor(rows)).double().numpy()


def columns(evaluated, trained, outputs=None, trained_outputs=None):
    """Return by name the columns of inputs, and outputs, [samples, features]."""
    sides = [
        Side(len(rows), 2, sums(rows), None if made is None else sums(made))
        for rows, made in ((evaluated, outputs), (trained, trained_outputs))
    ]
    return dict(zip((column.id for column in EVALUATION_COLUMNS), evaluation_columns(*sides), strict=True))


def numbers_by_hand(rows, prefix=""):
    stds = rows.std(0)
    return {
        f"{prefix}samples": len(rows),
        f"{prefix}in_kind": 2,
        f"{prefix}in_mean": rows.mean(),
        f"{prefix}in_size": np.sqrt(np.mean(rows**2)),
        f"{prefix}in_min": rows.min(),
        f"{prefix}in_max": rows.max(),
        f"{prefix}in_std_min": stds[stds > 0].min(),
        f"{prefix}in_std_max": stds.max(),
        f"{prefix}in_zeros": np.mean(rows == 0),
    }


def test_all_columns_by_hand():
    rng = np.random.default_rng(0)
    trained = rng.normal(size=(50, 5))
    evaluated = rng.normal(size=(30, 5)) * [1, 2, 3, 0.5, 1] + [0, 5, 0, 0, -1]
    trained[:, 4] = evaluated[:, 4] = 7.0  # A feature that never varies says nothing.
    trained[:20, 0] = 0.0
    made, trained_made = rng.normal(size=(30, 3)), rng.normal(size=(50, 3))
    pooled = np.sqrt((evaluated.var(0) + trained.var(0)) / 2)[:4]
    shifts = np.abs(evaluated.mean(0) - trained.mean(0))[:4] / pooled
    factors = evaluated.std(0)[:4] / trained.std(0)[:4]
    expected = numbers_by_hand(evaluated) | numbers_by_hand(trained, "trained_")
    expected |= {"in_shift": np.median(shifts), "in_shift_max": shifts.max(), "in_factor": np.median(factors)}
    expected |= {"in_factor_min": factors.min(), "in_factor_max": factors.max()}
    expected |= {"out_size": np.sqrt(np.mean(made**2)), "trained_out_size": np.sqrt(np.mean(trained_made**2))}
    assert columns(evaluated, trained, made, trained_made) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.int64, torch.bool], ids=str)
def test_passes_add_up(kind):
    rows = (torch.arange(60).reshape(20, 3) % 7).to(kind)
    found = merged(feature_sums(rows[:8]), feature_sums(rows[8:]))
    np.testing.assert_allclose(found.numpy(), feature_sums(rows.double()).numpy())


def test_what_is_not_finite_is_left_out():
    rows = np.array([[1.0, math.nan], [math.inf, math.nan], [3.0, math.nan]])
    found = sums(rows)
    np.testing.assert_array_equal(found[:, 0], [2, 4, 10, 0, 1, 3])
    np.testing.assert_array_equal(found[:, 1], [0, 0, 0, 0, math.inf, -math.inf])
    assert columns(rows, rows)["in_factor"] == 1


def test_features_that_are_others_do_not_compare():
    found = columns(np.eye(4), np.eye(3), np.eye(4), np.eye(3))
    unknown = {name for name, value in found.items() if math.isnan(value)}
    names = {"in_shift", "in_shift_max", "in_factor", "in_factor_min", "in_factor_max"}
    assert unknown == names | {"out_size", "trained_out_size"}


def test_nothing_varies():
    found = columns(np.ones((4, 2)), np.ones((4, 2)))
    assert math.isnan(found["in_factor"])
    assert math.isnan(found["in_std_max"])
    assert (found["in_mean"], found["in_size"]) == (1, 1)
