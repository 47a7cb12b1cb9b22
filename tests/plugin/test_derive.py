"""Merging over the parameters of each row, against NumPy's own reduceat."""

import numpy as np
import pytest

from tb_netviz_plugin.analysis.derive import Grouping


@pytest.mark.parametrize("lengths", [[1], [1, 1, 1], [2, 2], [7], [1, 5, 2], [1, 1, 1, 1, 3], [40, 1]])
@pytest.mark.parametrize(
    ("combine", "dtype"), [(np.add, np.float64), (np.maximum, np.float64), (np.logical_or, np.bool_)]
)
def test_rows_are_merged_from_their_parameters(lengths, combine, dtype):
    values = np.random.default_rng(0).standard_normal((sum(lengths), 9)).astype(np.float32)
    cells = values > 1 if dtype is np.bool_ else values
    starts = np.cumsum(lengths) - lengths
    merged = Grouping(np.arange(sum(lengths)), starts, np.array(lengths)).merge(combine, cells, dtype)
    assert merged.dtype == dtype
    np.testing.assert_allclose(merged, combine.reduceat(cells, starts, axis=0, dtype=dtype), rtol=1e-14)
