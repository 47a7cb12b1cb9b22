"""Labels of every kind become classes, numbers, or nothing; what is missing stays missing."""

import math

import numpy as np
import pytest
import torch

from tb_netviz.embedding.labels import LONGEST_NAME, given, label
from tb_netviz_plugin.schema.embedding import Labels

NAN = math.nan


@pytest.mark.parametrize(
    ("labels", "kind", "values", "classes"),
    [
        (["dog", "cat", "dog"], "classes", [1, 0, 1], ("cat", "dog")),
        ([10, 9, 100], "classes", [1, 0, 2], ("9", "10", "100")),
        (np.array([2, 0, 2], np.int64), "classes", [1, 0, 1], ("0", "2")),
        (torch.tensor([1, 0, 1]), "classes", [1, 0, 1], ("0", "1")),
        (torch.tensor([[1], [0], [1]]), "classes", [1, 0, 1], ("0", "1")),
        ([True, False, None], "classes", [1, 0, NAN], ("False", "True")),
        (torch.tensor([True, True, True]), "classes", [1, 1, 1], ("False", "True")),
        ([3, None, 3], "classes", [0, NAN, 0], ("3",)),
        (["a", NAN, None], "classes", [0, NAN, NAN], ("a",)),
        ([1, "1", "b"], "classes", [0, 0, 1], ("1", "b")),
        ([b"x", "y", b"x"], "classes", [0, 1, 0], ("x", "y")),
        (np.array(["b", "a", "b"]), "classes", [1, 0, 1], ("a", "b")),
        (np.array(["b", None, "b"], object), "classes", [0, NAN, 0], ("b",)),
        ([0.5, 2, None], "numbers", [0.5, 2, NAN], ()),
        (np.array([1.0, NAN, 3.0]), "numbers", [1, NAN, 3], ()),
        (torch.tensor([1.0, 2.0, 3.0], requires_grad=True), "numbers", [1, 2, 3], ()),
        ([None, NAN, None], "none", None, ()),
        (None, "none", None, ()),
    ],
)
def test_labels(labels, kind, values, classes):
    found = label(given(labels, 3))
    assert (found.kind, found.classes) == (kind, classes)
    if values is None:
        assert found.values is None
        assert found.texts is None
    else:
        np.testing.assert_array_equal(found.values, np.array(values, np.float32))


def test_missing_values_of_pandas_are_missing():
    class NAType:
        def __str__(self):
            return "<NA>"

    np.testing.assert_array_equal(label(given(["a", NAType(), "b"], 3)).values, [0, NAN, 1])


def test_ten_thousand_kinds():
    names = [f"kind {number:05}" for number in range(10_000)]
    found = label(given(names[::-1], 10_000))
    assert found.classes == tuple(names)
    np.testing.assert_array_equal(found.values, np.arange(10_000)[::-1])


def test_words_of_the_labels():
    assert label(given(["b", None, "a"], 3)).texts == ["b", "", "a"]
    assert label(given([0.25, NAN, 1e9], 3)).texts == ["0.25", "", "1e+09"]


def test_a_name_that_is_very_long_is_cut():
    (name,) = label(given(["x" * 1000], 1)).classes
    assert len(name) == LONGEST_NAME


@pytest.mark.parametrize("labels", [["a", "b"], ["a"] * 4, np.zeros((3, 2)), "ab", 7])
def test_labels_that_are_not_one_for_each_point_are_refused(labels):
    with pytest.raises((ValueError, TypeError), match=r"labels must be one for each of the 3 points|not iterable"):
        given(labels, 3)


def test_classes_that_only_the_model_knows_have_an_index_too():
    found = label(given([1, 3, 1], 3), outputs=5)
    assert found.classes == ("0", "1", "2", "3", "4")
    np.testing.assert_array_equal(found.values, [1, 3, 1])
    assert label(given([1, 7, 1], 3), outputs=5).classes == ("1", "7")
    assert label(given([-1, 3, 1], 3), outputs=5).classes == ("-1", "1", "3")


def test_names_of_classes():
    names = ["plane", "car", "bird"]
    by_index, by_name = label(given([2, 0], 2), names), label(given(["bird", "plane"], 2), names)
    assert by_index.classes == by_name.classes == tuple(names)
    np.testing.assert_array_equal(by_index.values, by_name.values)
    with pytest.raises(ValueError, match="labels must be of the 3 classes, got 3"):
        label(given([2, 3], 2), names)


def test_predictions_of_classes_that_no_point_is_of():
    found = label(given([1, 1, 2], 3), predictions=given([0, 1, 2], 3))
    assert found.classes == ("0", "1", "2")
    np.testing.assert_array_equal(found.encode([0, None, 9]), [0, NAN, NAN])


def test_other_labels_have_another_digest():
    kinds = [given(one, 2) for one in (["a", "b"], ["b", "a"], [0, 1], [0.0, 1.0], None)]
    assert len({one.digest for one in kinds}) == len(kinds)
    assert given(["a", "b"], 2).digest == kinds[0].digest
    assert kinds[-1].kind is Labels.NONE
