"""What a probe says about itself, as plain values, and between these and netviz.proto."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tensorboard.compat.proto import summary_pb2

from tb_netviz_plugin.schema import netviz_pb2
from tb_netviz_plugin.schema.description import Omission
from tb_netviz_plugin.schema.messages import message_value, parse, text
from tb_netviz_plugin.schema.migrations import check
from tb_netviz_plugin.schema.tags import SCHEMA_VERSION, Family, tag


class MapKind(StrEnum):
    """What a picture shows."""

    FEATURE_MAP = "feature_map"
    """A channel of a convolution."""
    ATTENTION = "attention"
    """A head: queries downwards, keys to the right."""
    HIDDEN = "hidden"
    """The state of a recurrent layer: units downwards, time to the right."""
    SALIENCY = "saliency"
    """How much the score of a class hangs on each pixel of the input."""
    GRAD_CAM = "grad_cam"
    """Where a convolution speaks for a class."""


@dataclass(frozen=True, slots=True)
class MapSource:
    """A module whose output is kept as pictures.

    Attributes:
        module: Its name, with "#2" from its second call in a forward pass on.
        kind: One of MapKind; a newer writer may know more.
        maps: Pictures for each input.
        height: Rows of each.
        width: Columns of each.
        pictures: Tag of the pictures.
        ranges: Tag of the values that 0 and 255 stand for in each, and of how many of its values are not finite.
    """

    module: str
    kind: str
    maps: int
    height: int
    width: int
    pictures: str
    ranges: str

    def nbytes(self, samples: int) -> int:
        """Return the bytes of one record of it."""
        return samples * self.maps * (self.height * self.width + 12)


@dataclass(frozen=True, slots=True)
class ProbeDescription:
    """Inputs that are run through a model at some steps, and the maps that are kept of what it makes of them.

    Attributes:
        model: Name of the model.
        name: Unique in the model.
        kind: What the inputs are: "images", "tokens" or "vectors".
        labels: One for each input, or none.
        inputs: Tag of the inputs as pictures; empty where they are none.
        maps: In the order in which the modules run.
        budget: Bytes that the maps may take in all.
        omissions: What was left out, and why.
    """

    model: str
    name: str
    kind: str = ""
    labels: tuple[str, ...] = ()
    inputs: str = ""
    maps: tuple[MapSource, ...] = ()
    budget: int = 0
    omissions: tuple[Omission, ...] = ()
    schema_version: int = SCHEMA_VERSION


def map_source(
    identity: tuple[str, ...], module: str, kind: MapKind, shape: tuple[int, int, int], samples: int
) -> MapSource:
    """Return the maps of a module, with tags of their own.

    Args:
        identity: What fixes whose maps they are: the model, the probe, and what its inputs are.
        module: Name of the module.
        kind: What they show.
        shape: Maps of an input, rows, columns.
        samples: Inputs.
    """
    known = (*identity, module, kind.value, (str(samples), *map(str, shape)))
    return MapSource(module, kind.value, *shape, tag(Family.MAPS, *known), tag(Family.MAP_RANGES, *known))


def probe_value(description: ProbeDescription) -> summary_pb2.Summary.Value:
    """Return a Summary.Value that carries a description, under a tag that no other description has."""
    content = encode_probe(description)
    return message_value(tag(Family.PROBE, content.hex()), Family.PROBE, content)


def encode_probe(description: ProbeDescription) -> bytes:
    """Return the bytes of a description. Lone surrogates in names become question marks."""
    return netviz_pb2.ProbeDescription(
        schema_version=description.schema_version,
        model=text(description.model),
        name=text(description.name),
        kind=text(description.kind),
        labels=[text(label) for label in description.labels],
        inputs=text(description.inputs),
        maps=[
            netviz_pb2.MapSource(
                module=text(source.module),
                kind=text(source.kind),
                maps=source.maps,
                height=source.height,
                width=source.width,
                pictures=text(source.pictures),
                ranges=text(source.ranges),
            )
            for source in description.maps
        ],
        budget=description.budget,
        omissions=[
            netviz_pb2.Omission(subject=text(omission.subject), reason=text(omission.reason))
            for omission in description.omissions
        ],
    ).SerializeToString(deterministic=True)


def decode_probe(content: bytes) -> ProbeDescription:
    """Return the description in `content`.

    Raises:
        UnreadableSchemaError: If the bytes are none, or were written by a newer schema.
    """
    message = parse(netviz_pb2.ProbeDescription(), content)
    check(message.schema_version)
    return ProbeDescription(
        model=message.model,
        name=message.name,
        kind=message.kind,
        labels=tuple(message.labels),
        inputs=message.inputs,
        maps=tuple(
            MapSource(
                source.module, source.kind, source.maps, source.height, source.width, source.pictures, source.ranges
            )
            for source in message.maps
        ),
        budget=message.budget,
        omissions=tuple(Omission(omission.subject, omission.reason) for omission in message.omissions),
        schema_version=message.schema_version,
    )
