"""Between plain values and what TensorBoard's protos carry.

Arrays become TensorProtos with their bytes in `tensor_content`, little-endian. Every Summary.Value
carries its metadata and a `data_class`, without which TensorBoard's data server keeps nothing.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
from tensorboard.compat.proto import summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2

from tb_netviz_plugin.schema import netviz_pb2
from tb_netviz_plugin.schema.description import (
    Activation,
    Chunk,
    Edge,
    Module,
    Omission,
    OptimizerGroup,
    Parameter,
    Response,
    RunDescription,
    Schedule,
)
from tb_netviz_plugin.schema.messages import message_value, metadata, parse, text
from tb_netviz_plugin.schema.migrations import upgrade
from tb_netviz_plugin.schema.tags import Family

_TYPES: dict[str, int] = {"<f4": types_pb2.DT_FLOAT, "<u2": types_pb2.DT_UINT16, "|u1": types_pb2.DT_UINT8}


def tensor_value(
    tag: str,
    family: Family,
    array: npt.NDArray[np.float32] | npt.NDArray[np.uint16] | npt.NDArray[np.uint8],
    metric: str = "",
    role: str = "",
) -> summary_pb2.Summary.Value:
    """Return a Summary.Value of a float32, uint16 or uint8 array.

    Raises:
        TypeError: If the array has another type.
    """
    kind = _TYPES.get(array.dtype.newbyteorder("<").str)
    if kind is None:
        raise TypeError(f"expected a float32, uint16 or uint8 array, got {array.dtype}")
    content = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
    tensor = tensor_pb2.TensorProto(dtype=kind, tensor_shape=_shape(array.shape), tensor_content=content)
    return summary_pb2.Summary.Value(tag=tag, metadata=metadata(family, metric, role), tensor=tensor)


def description_value(tag: str, description: RunDescription) -> summary_pb2.Summary.Value:
    """Return a Summary.Value that carries a description."""
    content = encode_description(description).SerializeToString(deterministic=True)
    return message_value(tag, Family.DESCRIPTION, content)


# Cached, since a training thread writes the same few of them again and again; messages copy what they are given.
@functools.lru_cache(maxsize=64)
def _shape(sizes: tuple[int, ...]) -> tensor_shape_pb2.TensorShapeProto:
    return tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=size) for size in sizes])


def decode_metadata(content: bytes) -> netviz_pb2.TagMetadata:
    """Return the TagMetadata in a tag's plugin content.

    Raises:
        UnreadableSchemaError: If the bytes are none.
    """
    return parse(netviz_pb2.TagMetadata(), content)


def encode_description(description: RunDescription) -> netviz_pb2.RunDescription:
    """Return `description` as a message. Lone surrogates in names become question marks."""
    return netviz_pb2.RunDescription(
        schema_version=description.schema_version,
        writer=text(description.writer),
        framework=text(description.framework),
        model=text(description.model),
        modules=[
            netviz_pb2.Module(
                name=text(module.name),
                type=text(module.type),
                input_shape=module.input_shape,
                output_shape=module.output_shape,
                detail=text(module.detail),
                dropout=module.dropout,
            )
            for module in description.modules
        ],
        parameters=[
            netviz_pb2.Parameter(
                name=text(parameter.name),
                owner=parameter.owner,
                shape=parameter.shape,
                dtype=text(parameter.dtype),
                frozen=parameter.frozen,
                group=0 if parameter.group is None else parameter.group + 1,
            )
            for parameter in description.parameters
        ],
        activations=[_encode_activation(activation) for activation in description.activations],
        edges=[netviz_pb2.Edge(source=edge.source, target=edge.target) for edge in description.edges],
        groups=[
            netviz_pb2.OptimizerGroup(
                optimizer=text(group.optimizer),
                index=group.index,
                learning_rate=group.learning_rate,
                settings=[netviz_pb2.Setting(name=text(name), value=value) for name, value in group.settings],
            )
            for group in description.groups
        ],
        chunks=[
            netviz_pb2.Chunk(
                tag=text(chunk.tag),
                family=text(chunk.family),
                first_row=chunk.first_row,
                rows=chunk.rows,
                columns=[text(column) for column in chunk.columns],
            )
            for chunk in description.chunks
        ],
        omissions=[
            netviz_pb2.Omission(subject=text(omission.subject), reason=text(omission.reason))
            for omission in description.omissions
        ],
        schedule=netviz_pb2.Schedule(
            budget=description.schedule.budget,
            every=description.schedule.every,
            records_per_octave=description.schedule.records_per_octave,
            unit_records_per_octave=description.schedule.unit_records_per_octave,
        ),
        criterion=text(description.criterion),
    )


def decode_description(content: bytes) -> RunDescription:
    """Return the description in `content`, brought to the present schema.

    Raises:
        UnreadableSchemaError: If the bytes are none, or were written by a newer schema.
    """
    message = upgrade(parse(netviz_pb2.RunDescription(), content))
    return RunDescription(
        schema_version=message.schema_version,
        writer=message.writer,
        framework=message.framework,
        model=message.model,
        modules=tuple(
            Module(
                module.name,
                module.type,
                tuple(module.input_shape),
                tuple(module.output_shape),
                module.detail,
                module.dropout,
            )
            for module in message.modules
        ),
        parameters=tuple(
            Parameter(
                parameter.name,
                parameter.owner,
                tuple(parameter.shape),
                parameter.dtype,
                parameter.frozen,
                parameter.group - 1 if parameter.group else None,
            )
            for parameter in message.parameters
        ),
        activations=tuple(_decode_activation(activation) for activation in message.activations),
        edges=tuple(Edge(edge.source, edge.target) for edge in message.edges),
        groups=tuple(
            OptimizerGroup(
                group.optimizer,
                group.index,
                group.learning_rate,
                tuple((setting.name, setting.value) for setting in group.settings),
            )
            for group in message.groups
        ),
        chunks=tuple(
            Chunk(chunk.tag, chunk.family, chunk.first_row, chunk.rows, tuple(chunk.columns))
            for chunk in message.chunks
        ),
        omissions=tuple(Omission(omission.subject, omission.reason) for omission in message.omissions),
        schedule=Schedule(
            message.schedule.budget,
            message.schedule.every,
            message.schedule.records_per_octave,
            message.schedule.unit_records_per_octave,
        ),
        criterion=message.criterion,
    )


def _encode_activation(activation: Activation) -> netviz_pb2.Activation:
    return netviz_pb2.Activation(
        name=text(activation.name),
        module=activation.module,
        kind=text(activation.kind),
        response=activation.response.value,
        units=activation.units,
        unit=text(activation.unit),
        shape=activation.shape,
        source=0 if activation.source is None else activation.source + 1,
        place=text(activation.place),
        dtype=text(activation.dtype),
    )


def _decode_activation(message: netviz_pb2.Activation) -> Activation:
    known = message.response in set(Response)
    return Activation(
        message.name,
        message.module,
        message.kind,
        Response(message.response) if known else Response.NONE,  # Of a newer writer: what can't be judged is not.
        message.units,
        message.unit,
        tuple(message.shape),
        message.source - 1 if message.source else None,
        message.place,
        message.dtype,
    )
