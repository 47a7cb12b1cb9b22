"""Chunks: rows divided so that no tag grows too large, and no two layouts share a tag."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tb_netviz_plugin.schema.description import MAX_ROWS, Parameter, parameter_chunks
from tb_netviz_plugin.schema.tags import Family, parse
from tests.support.schemas import columns, families, names

WEIGHT = Parameter("fc.weight", owner=0, shape=(3, 4))


def rows(count):
    return tuple(Parameter(f"layer{i}.weight", owner=i, shape=(2, 3)) for i in range(count))


@given(names, st.integers(0, 3 * MAX_ROWS + 1), families, columns)
def test_chunks_cover_every_row_once_and_in_order(model, count, family, ids):
    chunks = parameter_chunks(model, rows(count), family, ids)
    covered = [row for chunk in chunks for row in range(chunk.first_row, chunk.first_row + chunk.rows)]
    assert covered == list(range(count))
    assert all(1 <= chunk.rows <= MAX_ROWS for chunk in chunks)
    assert len({chunk.tag for chunk in chunks}) == len(chunks)
    assert {(chunk.family, chunk.columns) for chunk in chunks} <= {(family.value, ids)}
    assert all(parse(chunk.tag) == (1, family.value) for chunk in chunks)


def test_a_network_of_equal_rows_still_has_a_tag_for_each_chunk():
    chunks = parameter_chunks("", (WEIGHT,) * (3 * MAX_ROWS), Family.PARAMETERS)
    assert len({chunk.tag for chunk in chunks}) == 3
    assert all(later.first_row - earlier.first_row == MAX_ROWS for earlier, later in pairwise(chunks))


@pytest.mark.parametrize(
    "changed",
    [replace(WEIGHT, name="fc.bias"), replace(WEIGHT, shape=(4, 3)), replace(WEIGHT, shape=(12,))],
)
def test_a_changed_network_gets_new_tags(changed):
    assert tags(changed) != tags(WEIGHT)


@pytest.mark.parametrize("changed", [replace(WEIGHT, frozen=True), replace(WEIGHT, group=1), replace(WEIGHT, owner=2)])
def test_a_resumed_run_goes_on_under_the_same_tags(changed):
    assert tags(changed) == tags(WEIGHT)


def test_models_and_columns_have_tags_of_their_own():
    layouts = [("", ("grad_norm",)), ("gan", ("grad_norm",)), ("", ("grad_norm", "present")), ("", ())]
    assert len({tags(WEIGHT, model, ids) for model, ids in layouts}) == len(layouts)


@given(st.lists(st.integers(0, 9), max_size=4).map(tuple))
def test_elements_are_counted(shape):
    expected = 1
    for size in shape:
        expected *= size
    assert Parameter("p", 0, shape).elements == expected


def tags(parameter, model="", ids=("grad_norm",)):
    return tuple(chunk.tag for chunk in parameter_chunks(model, (parameter,), Family.PARAMETERS, ids))
