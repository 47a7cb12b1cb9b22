"""What a run says about itself, as plain values; `codec.py` turns them into netviz.proto and back."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from tb_netviz_plugin.schema.tags import SCHEMA_VERSION, Family, tag

MAX_ROWS = 512
"""Rows of one chunk at most: 2,000 layers x 2,000 records in one tag would reach TensorBoard's gRPC cap."""


@dataclass(frozen=True, slots=True)
class Module:
    """A module of the network. Modules stand in the order in which they run, input first."""

    name: str
    type: str = ""
    input_shape: tuple[int, ...] = ()
    output_shape: tuple[int, ...] = ()
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A row of the recorded numbers.

    Attributes:
        name: Qualified name, such as "blocks.0.conv.weight".
        owner: Index of the module that holds it.
        shape: Its shape.
        dtype: Its element type, such as "float32".
        frozen: Whether it asks for no gradient.
        group: Index of its optimizer group, or None when no optimizer holds it.
    """

    name: str
    owner: int
    shape: tuple[int, ...] = ()
    dtype: str = "float32"
    frozen: bool = False
    group: int | None = None

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Edge:
    """Data flows from module `source` to module `target`, both indices."""

    source: int
    target: int


@dataclass(frozen=True, slots=True)
class OptimizerGroup:
    """A parameter group, with the learning rate that it had when the description was written."""

    optimizer: str
    index: int
    learning_rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Chunk:
    """One tag of numbers: which rows and columns stand in it."""

    tag: str
    family: str
    first_row: int
    rows: int
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Omission:
    """Something that was left out, and why."""

    subject: str
    reason: str


@dataclass(frozen=True, slots=True)
class Schedule:
    """When steps are observed: a share of the training time, or every so many steps."""

    budget: float = 0.0
    every: int = 0
    records_per_octave: int = 0


@dataclass(frozen=True, slots=True)
class RunDescription:
    """One watched model, its rows, and the tags that hold its numbers."""

    writer: str
    framework: str
    model: str = ""
    modules: tuple[Module, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    edges: tuple[Edge, ...] = ()
    groups: tuple[OptimizerGroup, ...] = ()
    chunks: tuple[Chunk, ...] = ()
    omissions: tuple[Omission, ...] = ()
    schedule: Schedule = field(default_factory=Schedule)
    schema_version: int = SCHEMA_VERSION


def parameter_chunks(
    model: str, parameters: tuple[Parameter, ...], family: Family, columns: tuple[str, ...] = ()
) -> tuple[Chunk, ...]:
    """Divide the rows of `parameters` into chunks of at most MAX_ROWS, each with a tag of its own.

    The tag stands for the model, the names, shapes and columns: a run that is resumed unchanged goes
    on under the same tags, and a network that changes gets new ones.
    """
    chunks = []
    for first in range(0, len(parameters), MAX_ROWS):
        rows = parameters[first : first + MAX_ROWS]
        identity = (model, str(first), [row.name for row in rows], [row.shape for row in rows], columns)
        chunks.append(Chunk(tag(family, *identity), family.value, first, len(rows), columns))
    return tuple(chunks)
