"""Tags: parsed as they are written, and never shared by two meanings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tb_netviz_plugin.schema.tags import SCHEMA_VERSION, Family, parse, tag
from tests.support.schemas import any_names, families

parts = any_names | st.lists(any_names, max_size=3)
identities = st.lists(parts, max_size=3)


def meaning(identity):
    """Return what an identity says: a string is a list of one word."""
    return [[part] if isinstance(part, str) else list(part) for part in identity]


@given(families, identities)
def test_tags_are_parsed_as_they_are_written(family, identity):
    assert parse(tag(family, *identity)) == (SCHEMA_VERSION, family.value)


@given(families, identities)
def test_equal_identities_have_equal_tags(family, identity):
    assert tag(family, *identity) == tag(family, *meaning(identity))


@given(families, identities, identities)
def test_distinct_identities_have_distinct_tags(family, one, other):
    assert (tag(family, *one) == tag(family, *other)) == (meaning(one) == meaning(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["ab"], ["a", "b"]),
        ([["a", "b"]], ["a", "b"]),
        ([["a"], ["b"]], [["a", "b"], []]),
        ([["a\x1fb"]], [["a", "b"]]),
        (["a\x1f1\x1fb"], ["a", "b"]),
        (["a1\x1fb"], ["a", "b"]),
        ([[], []], [[]]),
        ([["x"], ["1"]], [["x1", "1"]]),
    ],
)
def test_identities_that_look_alike_have_distinct_tags(one, other):
    assert tag(Family.PARAMETERS, *one) != tag(Family.PARAMETERS, *other)


@given(any_names)
def test_tags_of_others_are_not_ours(name):
    assert parse(name) is None or name.startswith("netviz/v")


@pytest.mark.parametrize(
    "name",
    ["", "netviz", "netviz/v1/parameters", "netviz/v1/parameters/xyz", "netviz/v1/parameters/00\n", "a/netviz/v1/x/0"],
)
def test_near_misses_are_not_ours(name):
    assert parse(name) is None


def test_tags_of_newer_versions_and_unknown_families_are_recognised():
    assert parse("netviz/v12/units/00ff") == (12, "units")


def test_families_do_not_share_tags():
    assert len({tag(family, "same") for family in Family}) == len(Family)
