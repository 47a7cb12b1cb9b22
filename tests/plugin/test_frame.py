"""Frames come back as they went in, aligned for typed arrays."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tb_netviz_plugin.routes.frame import encode
from tests.support.apps import decode_frame

ARRAYS = st.sampled_from(["float64", "float32", "uint32", "uint8"]).flatmap(
    lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5))
)


@given(st.dictionaries(st.text(max_size=8), ARRAYS, max_size=4), st.text(max_size=30))
def test_frames_round_trip(named, text):
    header, found = decode_frame(encode({"text": text}, named))
    assert header["text"] == text
    assert list(found) == list(named)
    for name, array in named.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_other_byte_orders_and_layouts_are_brought_into_line():
    array = np.arange(6, dtype=">f4").reshape(2, 3).T
    _, found = decode_frame(encode({}, {"a": array}))
    np.testing.assert_array_equal(found["a"], [[0, 3], [1, 4], [2, 5]])


@pytest.mark.parametrize("array", [np.zeros(2, np.int64), np.zeros(2, np.float16), np.array(["a"])])
def test_other_types_are_refused(array):
    with pytest.raises(KeyError):
        encode({}, {"a": array})
