"""Round trips between what a probe says of itself and the message that TensorBoard stores."""

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tb_netviz_plugin.schema.codec import decode_metadata
from tb_netviz_plugin.schema.description import Omission
from tb_netviz_plugin.schema.migrations import UnreadableSchemaError
from tb_netviz_plugin.schema.probe import (
    MapKind,
    MapSource,
    ProbeDescription,
    decode_probe,
    encode_probe,
    map_source,
    probe_value,
)
from tb_netviz_plugin.schema.tags import Family, parse
from tests.support.schemas import any_names, names

sizes = st.integers(0, 2**31)
sources = st.builds(MapSource, names, names, sizes, sizes, sizes, names, names)
probes = st.builds(
    ProbeDescription,
    names,
    names,
    names,
    st.lists(names, max_size=3).map(tuple),
    names,
    st.lists(sources, max_size=3).map(tuple),
    st.integers(0, 2**60),
    st.lists(st.builds(Omission, names, names), max_size=2).map(tuple),
)


@given(probes)
def test_a_probe_survives_the_wire(probe):
    assert decode_probe(encode_probe(probe)) == probe


@given(probes)
def test_equal_probes_have_one_tag_and_others_another(probe):
    first, second = probe_value(probe), probe_value(replace(probe))
    assert first.tag == second.tag
    assert parse(first.tag) == (1, Family.PROBE)
    assert decode_metadata(first.metadata.plugin_data.content).family == Family.PROBE
    assert decode_probe(first.tensor.string_val[0]) == probe
    assert probe_value(replace(probe, budget=probe.budget + 1)).tag != first.tag


@given(any_names)
def test_text_that_utf8_can_not_carry_is_written_all_the_same(name):
    decoded = decode_probe(encode_probe(ProbeDescription("", name, labels=(name,))))
    expected = "".join("?" if "\ud800" <= character <= "\udfff" else character for character in name)
    assert (decoded.name, decoded.labels) == (expected, (expected,))


@given(st.binary(min_size=1, max_size=40))
def test_what_is_no_message_is_refused(content):
    with suppress(UnreadableSchemaError):  # Any other exception is not.
        decode_probe(content)


def test_a_newer_schema_is_refused():
    with pytest.raises(UnreadableSchemaError, match="newer netviz"):
        decode_probe(encode_probe(ProbeDescription("", "probe", schema_version=2)))


def test_tags_tell_everything_apart_that_a_picture_means():
    known = (("model", "probe", "inputs"), "conv", MapKind.FEATURE_MAP, (3, 4, 5), 2)
    tags = {map_source(*known).pictures, map_source(*known).ranges}
    others = [
        (("model", "probe", "others"), *known[1:]),
        (("model", "other", "inputs"), *known[1:]),
        (known[0], "conv#2", *known[2:]),
        (*known[:2], MapKind.GRAD_CAM, *known[3:]),
        (*known[:3], (3, 5, 4), 2),
        (*known[:4], 3),
    ]
    for other in others:
        tags |= {map_source(*other).pictures, map_source(*other).ranges}
    assert len(tags) == 2 * (len(others) + 1)


def test_bytes_are_those_of_pictures_and_ranges():
    source = map_source(("", "probe", ""), "conv", MapKind.FEATURE_MAP, (3, 4, 5), 2)
    assert source.nbytes(2) == 2 * 3 * (4 * 5 + 3 * 4)
