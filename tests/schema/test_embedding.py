"""What an embedding says of itself survives the wire, positions keep their places, and the columns are documented."""

import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tb_netviz_plugin.schema.codec import decode_metadata
from tb_netviz_plugin.schema.description import Omission
from tb_netviz_plugin.schema.embedding import (
    LARGEST_CODE,
    LAYOUT_COLUMNS,
    MEASURE_COLUMNS,
    NOWHERE,
    EmbeddingDescription,
    Layout,
    Method,
    PointSet,
    decode_embedding,
    decode_positions,
    embedding_value,
    encode_embedding,
    encode_positions,
    new_embedding,
    new_layout,
)
from tb_netviz_plugin.schema.migrations import UnreadableSchemaError
from tb_netviz_plugin.schema.tags import Family, bucket, parse
from tests.support.schemas import any_names, names

WIRE_FORMAT = (Path(__file__).parents[2] / "docs" / "wire-format.md").read_text(encoding="utf-8")

sizes = st.integers(0, 2**31)
several = st.lists(names, max_size=3).map(tuple)
sets = st.builds(PointSet, sizes, names, several, names, several, sizes)
layouts = st.builds(Layout, names, sizes, names, several, names, names)
embeddings = st.builds(
    EmbeddingDescription,
    names,
    names,
    names,
    names,
    st.lists(sets, max_size=3).map(tuple),
    st.lists(layouts, max_size=3).map(tuple),
    several,
    names,
    names,
    names,
    st.lists(st.builds(Omission, names, names), max_size=2).map(tuple),
)
scales = st.sampled_from([1e-30, 1e-3, 1.0, 1e6, 1e30])


@given(embeddings)
def test_an_embedding_survives_the_wire(embedding):
    assert decode_embedding(encode_embedding(embedding)) == embedding


@given(embeddings)
def test_equal_embeddings_have_one_tag_and_others_another(embedding):
    first, second = embedding_value(embedding), embedding_value(replace(embedding))
    assert first.tag == second.tag
    assert parse(first.tag) == (1, Family.EMBEDDING)
    assert decode_metadata(first.metadata.plugin_data.content).family == Family.EMBEDDING
    assert decode_embedding(first.tensor.string_val[0]) == embedding
    assert embedding_value(replace(embedding, sets=(*embedding.sets, PointSet(7)))).tag != first.tag


@given(any_names)
def test_text_that_utf8_can_not_carry_is_written_all_the_same(name):
    decoded = decode_embedding(encode_embedding(EmbeddingDescription("", name, sets=(PointSet(1, classes=(name,)),))))
    expected = "".join("?" if "\ud800" <= character <= "\udfff" else character for character in name)
    assert (decoded.name, decoded.sets[0].classes) == (expected, (expected,))


@given(st.binary(min_size=1, max_size=40))
def test_what_is_no_message_is_refused(content):
    with suppress(UnreadableSchemaError):  # Any other exception is not.
        decode_embedding(content)


def test_a_newer_schema_is_refused():
    with pytest.raises(UnreadableSchemaError, match="newer netviz"):
        decode_embedding(encode_embedding(EmbeddingDescription("", "fc", schema_version=2)))


def tags(embedding):
    return {
        embedding.measures_tag,
        bucket(Family.SIGNATURE, embedding.signature_stem, 0),
        bucket(Family.PREDICTIONS, embedding.prediction_stem, 0),
    }


def test_tags_tell_embeddings_apart():
    known = ("model", "name", "module", "inputs")
    found = tags(new_embedding(*known, predictions=True))
    others = [tuple("other" if place == changed else part for place, part in enumerate(known)) for changed in range(4)]
    for other in others:
        found |= tags(new_embedding(*other, predictions=True))
    assert len(found) == 3 * (len(others) + 1)
    assert new_embedding(*known, predictions=False).prediction_stem == ""


def test_tags_tell_layouts_and_buckets_apart():
    one, other = (new_embedding("", name, predictions=False) for name in ("one", "other"))
    known = [
        new_layout(one, Method.TSNE, 2, "live"),
        new_layout(other, Method.TSNE, 2, "live"),
        new_layout(one, Method.PCA, 2, "live"),
        new_layout(one, Method.TSNE, 3, "live"),
        new_layout(one, Method.TSNE, 2, "offline"),
    ]
    assert len({layout.steps_tag for layout in known}) == len(known)
    buckets = {bucket(Family.POSITIONS, layout.position_stem, number) for layout in known for number in range(12)}
    assert len(buckets) == 12 * len(known)
    assert {parse(name) for name in buckets} == {(1, Family.POSITIONS)}
    assert new_layout(one, Method.TSNE, 2, "live") == known[0]


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.sampled_from([2, 3]), scales, scales)
def test_positions_are_off_by_half_a_code_at_most(seed, points, dims, spread, offset):
    rng = np.random.default_rng(seed)
    given_positions = spread * rng.standard_normal((points, dims)) + offset
    codes, origin, scale = encode_positions(given_positions)
    assert codes.dtype == np.uint16
    assert origin.dtype == np.float32
    exact = origin.astype(np.float64) + scale * codes.astype(np.float64)
    # Beside half a code there is only what float32 can't tell apart at this distance from 0.
    rounding = 2.0**-23 * np.abs(given_positions).max()
    assert np.abs(exact - given_positions).max() <= 0.5 * scale + 2 * rounding
    np.testing.assert_allclose(decode_positions(codes, origin, scale), exact, rtol=1e-6, atol=rounding)


def test_points_without_a_position_have_none_afterwards():
    given_positions = np.array([[0, 1], [np.nan, 2], [4, 5], [6, np.inf]])
    codes, origin, scale = encode_positions(given_positions)
    assert codes[[1, 3]].tolist() == [[NOWHERE, NOWHERE]] * 2
    assert codes[[0, 2]].max() == LARGEST_CODE
    decoded = decode_positions(codes, origin, scale)
    assert np.isnan(decoded[[1, 3]]).all()
    np.testing.assert_allclose(decoded[[0, 2]], given_positions[[0, 2]], atol=scale)


@pytest.mark.parametrize("positions", [np.empty((0, 2)), np.full((3, 2), np.nan)])
def test_positions_may_all_be_missing(positions):
    codes, origin, scale = encode_positions(positions)
    decoded = decode_positions(codes, origin, scale)
    assert decoded.shape == positions.shape
    assert np.isnan(decoded).all()


def test_points_at_one_place_stay_there():
    codes, origin, scale = encode_positions(np.full((4, 3), -7.5))
    np.testing.assert_array_equal(decode_positions(codes, origin, scale), np.full((4, 3), -7.5, np.float32))


@pytest.mark.parametrize(
    ("heading", "columns"), [("positions and position_steps", LAYOUT_COLUMNS), ("measures", MEASURE_COLUMNS)]
)
def test_columns_are_documented_in_their_order(heading, columns):
    section = WIRE_FORMAT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    table = section.split("|---|---|\n")[1]
    named = [name for row in table.splitlines() if row.startswith("|") for name in re.findall(r"`(\w+)`", row)]
    assert tuple(named) == columns


def test_every_family_has_its_row_and_its_heading():
    rows = re.findall(r"^\| `(\w+)` \| [a-z]+\d* ?[\[,]", WIRE_FORMAT, flags=re.MULTILINE)
    headings = {word for line in re.findall(r"^## (.+)$", WIRE_FORMAT, flags=re.MULTILINE) for word in line.split()}
    for family in (
        Family.EMBEDDING,
        Family.POINT_LABELS,
        Family.THUMBNAILS,
        Family.POSITIONS,
        Family.POSITION_STEPS,
        Family.PREDICTIONS,
        Family.MEASURES,
        Family.SIGNATURE,
    ):
        assert family.value in rows
        assert family.value in headings
