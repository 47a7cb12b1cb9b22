"""What the encodings of all messages share: the metadata of a value, clean text, and the reading of bytes."""

from __future__ import annotations

import functools
from typing import TypeVar

from tensorboard.compat.proto import summary_pb2, tensor_pb2, types_pb2

from tb_netviz_plugin.schema import netviz_pb2
from tb_netviz_plugin.schema.migrations import UnreadableSchemaError
from tb_netviz_plugin.schema.tags import PLUGIN_NAME, SCHEMA_VERSION, Family

_Message = TypeVar(
    "_Message",
    netviz_pb2.TagMetadata,
    netviz_pb2.RunDescription,
    netviz_pb2.ProbeDescription,
    netviz_pb2.EmbeddingDescription,
)


def text(words: str) -> str:
    """Return `words` as a message can carry them: lone surrogates become question marks."""
    return words.encode("utf-8", "replace").decode("utf-8")


# Cached, since a training thread writes the same few of them again and again; messages copy what they are given.
@functools.lru_cache(maxsize=256)
def metadata(family: Family, metric: str = "", role: str = "") -> summary_pb2.SummaryMetadata:
    """Return the metadata of a value, without whose `data_class` TensorBoard's data server keeps nothing."""
    content = netviz_pb2.TagMetadata(
        schema_version=SCHEMA_VERSION, family=family.value, metric=text(metric), role=text(role)
    )
    return summary_pb2.SummaryMetadata(
        plugin_data=summary_pb2.SummaryMetadata.PluginData(
            plugin_name=PLUGIN_NAME, content=content.SerializeToString(deterministic=True)
        ),
        data_class=summary_pb2.DATA_CLASS_TENSOR,
    )


def message_value(tag: str, family: Family, content: bytes) -> summary_pb2.Summary.Value:
    """Return a Summary.Value that carries the bytes of a message."""
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=[content])
    return summary_pb2.Summary.Value(tag=tag, metadata=metadata(family), tensor=tensor)


def parse(message: _Message, content: bytes) -> _Message:
    """Return `message`, filled with what `content` says.

    Raises:
        UnreadableSchemaError: If the bytes are no such message.
    """
    try:
        message.ParseFromString(content)
    except Exception as error:  # DecodeError; its class differs between protobuf's implementations.
        raise UnreadableSchemaError(f"{len(content)} bytes are not a {type(message).__name__}") from error
    return message
