"""What an embedding says about itself, as plain values, and between these and netviz.proto."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from tensorboard.compat.proto import summary_pb2

from tb_netviz_plugin.schema import netviz_pb2
from tb_netviz_plugin.schema.description import Omission
from tb_netviz_plugin.schema.messages import message_value, parse, text
from tb_netviz_plugin.schema.migrations import check
from tb_netviz_plugin.schema.tags import SCHEMA_VERSION, Family, tag

RECORDS_OF_A_BUCKET = 10
"""Records that a writer puts into one tag of positions, predictions or signatures."""
NOWHERE = 65535
"""Code of a point that has no position: its vector is not finite."""
LARGEST_CODE = NOWHERE - 1

LAYOUT_COLUMNS: tuple[str, ...] = (
    "set",  # Index into the sets.
    "origin_x",  # Position of code 0.
    "origin_y",
    "origin_z",  # 0 in two dimensions.
    "scale",  # Position = origin + scale × code, the same in all dimensions.
    "trustworthiness",  # Of the 10 nearest neighbours, over a sample of the points; 1 is perfect.
    "recall",  # Share of the 10 nearest neighbours that are so in the picture too.
    "drift",  # Mean move since the last record over the root mean square radius; NaN at the first of a set.
    "noise_floor",  # The same where the vectors change by 2 % noise only, measured once for each set; NaN until then.
    "similarity",  # Linear CKA of the vectors with those of the last record; NaN at the first of a set.
    "exaggerated",  # 1 where the fit began with early exaggeration.
    "fitted",  # Points that were fitted; the others were placed among them.
    "cpu_seconds",  # What the layout took.
    "dropped",  # Steps since the last record whose layout was left out, because the worker was busy.
)
MEASURE_COLUMNS: tuple[str, ...] = (
    "set",
    "points",  # With finite vectors.
    "effective_rank",  # Exponential of the entropy of the normalised eigenvalues of the covariance.
    "fisher_ratio",  # Scatter between classes over that within; NaN without classes, as the two below.
    "probe_accuracy",  # Of a ridge classifier, on points that it was not fitted to.
    "knn_accuracy",  # Of the majority of the 10 nearest neighbours.
)


class Method(StrEnum):
    """How positions come about."""

    TSNE = "tsne"
    PCA = "pca"
    UMAP = "umap"


class Labels(StrEnum):
    """What the labels of points are."""

    NONE = "none"
    CLASSES = "classes"
    NUMBERS = "numbers"


@dataclass(frozen=True, slots=True)
class PointSet:
    """Points that belong together.

    Attributes:
        points: How many.
        labels: One of Labels; a newer writer may know more.
        classes: Names of the classes, where they are classes.
        labels_tag: Of the labels; empty where there are none.
        thumbnail_tags: Of each page of thumbnails.
        thumbnails_on_page: Thumbnails of each page but the last.
    """

    points: int
    labels: str = Labels.NONE.value
    classes: tuple[str, ...] = ()
    labels_tag: str = ""
    thumbnail_tags: tuple[str, ...] = ()
    thumbnails_on_page: int = 0


@dataclass(frozen=True, slots=True)
class Layout:
    """Positions of the points by one method.

    Attributes:
        method: One of Method; a newer writer may know more.
        dims: 2 or 3.
        origin: "live" or "offline".
        columns: Of `steps_tag`.
        steps_tag: Of what is known of each record.
        position_stem: Of the tags of the positions, see `tags.bucket`.
    """

    method: str
    dims: int
    origin: str
    columns: tuple[str, ...]
    steps_tag: str
    position_stem: str


@dataclass(frozen=True, slots=True)
class EmbeddingDescription:
    """Points that are followed through the training.

    Attributes:
        model: Name of the model; empty where the vectors were given.
        name: Unique in the model.
        module: Whose output the vectors are; empty where they were given.
        inputs: Stands for the inputs: embeddings with the same have the same points in the same order.
        sets: In the order in which they came; only added to.
        layouts: Likewise.
        measures: Columns of `measures_tag`.
        measures_tag: Of the measures.
        signature_stem: Of the tags of the signatures, see `tags.bucket`.
        prediction_stem: Of the tags of the predictions; empty where there are none.
        omissions: What was left out, and why.
    """

    model: str
    name: str
    module: str = ""
    inputs: str = ""
    sets: tuple[PointSet, ...] = ()
    layouts: tuple[Layout, ...] = ()
    measures: tuple[str, ...] = ()
    measures_tag: str = ""
    signature_stem: str = ""
    prediction_stem: str = ""
    omissions: tuple[Omission, ...] = ()
    schema_version: int = SCHEMA_VERSION


def new_embedding(
    model: str, name: str, module: str = "", inputs: str = "", *, predictions: bool
) -> EmbeddingDescription:
    """Return the description of an embedding without points so far, with tags of its own."""
    identity = (model, name, module, inputs)
    return EmbeddingDescription(
        model,
        name,
        module,
        inputs,
        measures=MEASURE_COLUMNS,
        measures_tag=tag(Family.MEASURES, *identity, MEASURE_COLUMNS),
        signature_stem=tag(Family.SIGNATURE, *identity),
        prediction_stem=tag(Family.PREDICTIONS, *identity) if predictions else "",
    )


def new_layout(embedding: EmbeddingDescription, method: Method, dims: int, origin: str) -> Layout:
    """Return a layout of an embedding, with tags of its own."""
    identity = (embedding.model, embedding.name, embedding.module, embedding.inputs, method.value, str(dims), origin)
    return Layout(
        method.value,
        dims,
        origin,
        LAYOUT_COLUMNS,
        tag(Family.POSITION_STEPS, *identity, LAYOUT_COLUMNS),
        tag(Family.POSITIONS, *identity),
    )


def encode_positions(
    positions: npt.NDArray[np.floating],
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.float32], float]:
    """Return positions as whole numbers, with one scale for all dimensions.

    Args:
        positions: [points, dims]; a row that is not finite stands for a point without a position.

    Returns:
        Codes [points, dims], the position of code 0 [dims], and what a code is wide: position = origin + scale × code.
    """
    given = np.asarray(positions, np.float64)
    placed = np.isfinite(given).all(axis=1)
    if not placed.any():
        return np.full(given.shape, NOWHERE, np.uint16), np.zeros(given.shape[1], np.float32), 1.0
    low, high = given[placed].min(axis=0), given[placed].max(axis=0)
    # What a reader has are these as float32: rounding them first keeps the error at half a code.
    origin = low.astype(np.float32)
    scale = float(np.float32(np.max(high - origin) / LARGEST_CODE)) or 1.0
    codes = np.full(given.shape, NOWHERE, np.uint16)
    codes[placed] = np.clip(np.rint((given[placed] - origin) / scale), 0, LARGEST_CODE).astype(np.uint16)
    return codes, origin, scale


def decode_positions(
    codes: npt.NDArray[np.uint16], origin: npt.NDArray[np.float32], scale: float
) -> npt.NDArray[np.float32]:
    """Return the positions that `encode_positions` was given, [points, dims]; NaN where a point has none."""
    positions = (origin + np.float64(scale) * codes).astype(np.float32)
    positions[(codes == NOWHERE).any(axis=1)] = np.nan
    return positions


def embedding_value(description: EmbeddingDescription) -> summary_pb2.Summary.Value:
    """Return a Summary.Value that carries a description, under a tag that no other description has."""
    content = encode_embedding(description)
    return message_value(tag(Family.EMBEDDING, content.hex()), Family.EMBEDDING, content)


def encode_embedding(description: EmbeddingDescription) -> bytes:
    """Return the bytes of a description. Lone surrogates in names become question marks."""
    return netviz_pb2.EmbeddingDescription(
        schema_version=description.schema_version,
        model=text(description.model),
        name=text(description.name),
        module=text(description.module),
        inputs=text(description.inputs),
        sets=[
            netviz_pb2.PointSet(
                points=one.points,
                labels=text(one.labels),
                classes=[text(name) for name in one.classes],
                labels_tag=text(one.labels_tag),
                thumbnail_tags=[text(name) for name in one.thumbnail_tags],
                thumbnails_on_page=one.thumbnails_on_page,
            )
            for one in description.sets
        ],
        layouts=[
            netviz_pb2.Layout(
                method=text(one.method),
                dims=one.dims,
                origin=text(one.origin),
                columns=[text(column) for column in one.columns],
                steps_tag=text(one.steps_tag),
                position_stem=text(one.position_stem),
            )
            for one in description.layouts
        ],
        measures=[text(column) for column in description.measures],
        measures_tag=text(description.measures_tag),
        signature_stem=text(description.signature_stem),
        prediction_stem=text(description.prediction_stem),
        omissions=[
            netviz_pb2.Omission(subject=text(omission.subject), reason=text(omission.reason))
            for omission in description.omissions
        ],
    ).SerializeToString(deterministic=True)


def decode_embedding(content: bytes) -> EmbeddingDescription:
    """Return the description in `content`.

    Raises:
        UnreadableSchemaError: If the bytes are none, or were written by a newer schema.
    """
    message = parse(netviz_pb2.EmbeddingDescription(), content)
    check(message.schema_version)
    return EmbeddingDescription(
        model=message.model,
        name=message.name,
        module=message.module,
        inputs=message.inputs,
        sets=tuple(
            PointSet(
                one.points,
                one.labels,
                tuple(one.classes),
                one.labels_tag,
                tuple(one.thumbnail_tags),
                one.thumbnails_on_page,
            )
            for one in message.sets
        ),
        layouts=tuple(
            Layout(one.method, one.dims, one.origin, tuple(one.columns), one.steps_tag, one.position_stem)
            for one in message.layouts
        ),
        measures=tuple(message.measures),
        measures_tag=message.measures_tag,
        signature_stem=message.signature_stem,
        prediction_stem=message.prediction_stem,
        omissions=tuple(Omission(omission.subject, omission.reason) for omission in message.omissions),
        schema_version=message.schema_version,
    )
