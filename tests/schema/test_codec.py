"""Round trips between plain values and the protos that TensorBoard stores."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.util import tensor_util

from tb_netviz_plugin.schema import codec
from tb_netviz_plugin.schema.description import RunDescription
from tb_netviz_plugin.schema.migrations import UnreadableSchemaError
from tb_netviz_plugin.schema.tags import PLUGIN_NAME, SCHEMA_VERSION, Family, tag
from tests.support.schemas import any_names, descriptions, families, names, tensors


def written(value):
    """Return `value` as a reader of the event file gets it."""
    event = event_pb2.Event(step=3, summary=summary_pb2.Summary(value=[value]))
    return event_pb2.Event.FromString(event.SerializeToString()).summary.value[0]


@given(descriptions)
def test_a_description_survives_the_wire(description):
    content = codec.encode_description(description).SerializeToString()
    assert codec.decode_description(content) == description


@given(descriptions)
def test_a_description_survives_an_event(description):
    value = written(codec.description_value("netviz/v1/description/0", description))
    (content,) = value.tensor.string_val
    assert codec.decode_description(content) == description
    assert codec.decode_metadata(value.metadata.plugin_data.content).family == Family.DESCRIPTION


@given(descriptions)
def test_equal_descriptions_have_equal_bytes(description):
    first, second = (codec.description_value("t", description).tensor.string_val[0] for _ in range(2))
    assert first == second


@given(any_names)
def test_text_that_utf8_can_not_carry_is_written_all_the_same(name):
    description = RunDescription(writer=name, framework="")
    decoded = codec.decode_description(codec.encode_description(description).SerializeToString())
    assert decoded.writer == "".join("?" if "\ud800" <= character <= "\udfff" else character for character in name)


@given(families, tensors, names, names)
def test_a_tensor_survives_an_event_bit_for_bit(family, array, metric, role):
    value = written(codec.tensor_value("netviz/v1/x/0", family, array, metric, role))
    decoded = tensor_util.make_ndarray(value.tensor)
    assert decoded.dtype == array.dtype.newbyteorder("<")
    assert decoded.shape == array.shape
    assert decoded.tobytes() == array.astype(array.dtype.newbyteorder("<")).tobytes()
    metadata = codec.decode_metadata(value.metadata.plugin_data.content)
    assert (metadata.family, metadata.metric, metadata.role) == (family.value, metric, role)
    assert metadata.schema_version == SCHEMA_VERSION


@given(families, tensors)
def test_every_value_tells_tensorboard_what_it_is(family, array):
    metadata = codec.tensor_value("t", family, array).metadata
    assert metadata.plugin_data.plugin_name == PLUGIN_NAME
    assert metadata.data_class == summary_pb2.DATA_CLASS_TENSOR


def test_strided_arrays_are_written_in_their_logical_order():
    array = np.arange(24, dtype=np.float32).reshape(4, 6)[::2, ::-3]
    decoded = tensor_util.make_ndarray(codec.tensor_value("t", Family.STEPS, array).tensor)
    np.testing.assert_array_equal(decoded, array)


@pytest.mark.parametrize("dtype", ["float64", "int64", "bool", "complex64", "int8"])
def test_other_types_are_refused(dtype):
    with pytest.raises(TypeError, match=f"got {dtype}"):
        codec.tensor_value("t", Family.STEPS, np.zeros(2, dtype))


@given(st.binary())
def test_any_bytes_give_a_description_or_a_refusal(content):
    with suppress(UnreadableSchemaError):
        assert isinstance(codec.decode_description(content), RunDescription)


@given(descriptions, st.data())
def test_a_flipped_byte_gives_a_description_or_a_refusal(description, data):
    content = bytearray(codec.encode_description(description).SerializeToString())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    with suppress(UnreadableSchemaError):
        assert isinstance(codec.decode_description(bytes(content)), RunDescription)


@given(st.binary())
def test_any_bytes_give_metadata_or_a_refusal(content):
    with suppress(UnreadableSchemaError):
        assert codec.decode_metadata(content).IsInitialized()


def test_a_refusal_says_what_it_met():
    with pytest.raises(UnreadableSchemaError, match="1 bytes are not a TagMetadata"):
        codec.decode_metadata(b"\xff")


def test_a_description_of_a_newer_schema_is_refused():
    newer = RunDescription(writer="w", framework="f", schema_version=SCHEMA_VERSION + 1)
    with pytest.raises(UnreadableSchemaError, match="newer netviz"):
        codec.decode_description(codec.encode_description(newer).SerializeToString())


def test_fields_of_a_later_writer_are_ignored():
    description = RunDescription(writer="w", framework="f")
    unknown_field = b"\xfa\x7f\x03new"  # Field 2047, three bytes.
    content = codec.encode_description(description).SerializeToString() + unknown_field
    assert codec.decode_description(content) == description


def test_the_tag_of_a_description_follows_its_bytes():
    one, other = (
        codec.encode_description(RunDescription(writer="w", framework=framework)).SerializeToString()
        for framework in ("a", "b")
    )
    assert tag(Family.DESCRIPTION, one.hex()) != tag(Family.DESCRIPTION, other.hex())
