"""What a run says about itself, as plain values; `codec.py` turns them into netviz.proto and back."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from tb_netviz_plugin.schema.columns import EVALUATION_COLUMNS
from tb_netviz_plugin.schema.tags import SCHEMA_VERSION, Family, tag

MAX_ROWS = 512
"""Rows of one chunk at most: 2,000 layers x 2,000 records in one tag would reach TensorBoard's gRPC cap."""
MAX_UNITS = 8192
"""Units of one chunk at most, for the same reason."""
MAX_CLASSES = 1000
"""Of more classes than that none is recorded by itself."""


@dataclass(frozen=True, slots=True)
class Module:
    """A module of the network. Modules stand in the order in which they run, input first.

    Attributes:
        name: Unique in the model, such as "blocks.0.conv".
        type: Its class.
        input_shape: Of the first tensor that went in.
        output_shape: Of the first that came out.
        detail: A few words on its settings.
        dropout: Largest share that it leaves out in training, being dropout or calling it as a function; 0 where it
            does not, or that was not recorded.
    """

    name: str
    type: str = ""
    input_shape: tuple[int, ...] = ()
    output_shape: tuple[int, ...] = ()
    detail: str = ""
    dropout: float = 0.0


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


class Response(StrEnum):
    """How the units of an activation respond, and so what it means for one to be dead."""

    RECTIFIER = "rectifier"
    """Exactly zero, without a gradient, below a threshold; dead is what never rises above it: ReLU, ReLU6."""
    SMOOTH = "smooth"
    """Close to a constant on one side; dead is what no longer varies: GELU, SiLU, ELU, LeakyReLU."""
    BOUNDED = "bounded"
    """Flat at both ends, where a unit is saturated: tanh, sigmoid, hardtanh."""
    SOFTMAX = "softmax"
    """Shares that add up to one; saturated where one takes nearly all."""
    NONE = ""
    """No bend: nothing of it is dead or saturated."""


@dataclass(frozen=True, slots=True)
class Activation:
    """A place in the forward pass where an output is measured. They stand in the order in which they come.

    Attributes:
        name: Unique in the model: the module's, such as "blocks.0.act", "blocks.0.act#2" for its second call in a
            forward pass, or "blocks.0.relu" for a function that is called in "blocks.0".
        module: Index of the module, or of that in which the function is called.
        kind: The module's type or the function, such as "ReLU" or "relu".
        response: How its units respond.
        units: Units that are recorded one by one; 0 where there are none.
        unit: What a unit is: "channel", "feature" or "head".
        shape: That of the output when it was first seen.
        source: Index of the module whose weights make these units, or None where that is unknown.
        place: Where a function is called, such as "net.py:41".
        dtype: Element type of the output when it was first seen, such as "float16"; empty where unknown.
    """

    name: str
    module: int
    kind: str = ""
    response: Response = Response.NONE
    units: int = 0
    unit: str = ""
    shape: tuple[int, ...] = ()
    source: int | None = None
    place: str = ""
    dtype: str = ""


@dataclass(frozen=True, slots=True)
class Edge:
    """What module `source` puts out goes to module `target`, both indices, bent by nothing, and nowhere else.

    Elsewhere as well where nothing in the whole model bends.

    Known of layers that are linear themselves, where the graph of a forward pass was seen.
    """

    source: int
    target: int


@dataclass(frozen=True, slots=True)
class OptimizerGroup:
    """A parameter group, as it was when the description was written.

    Attributes:
        optimizer: Class of its optimizer.
        index: Its place in it.
        learning_rate: 0 where it has none.
        settings: Its other numbers by name, in alphabetical order, such as momentum and weight_decay; those of a tuple
            as betas.0 and betas.1. Empty where they were not recorded.
    """

    optimizer: str
    index: int
    learning_rate: float = 0.0
    settings: tuple[tuple[str, float], ...] = ()

    def setting(self, name: str) -> float | None:
        """Return one of its other numbers, or None where it is not known."""
        return dict(self.settings).get(name)


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
    unit_records_per_octave: int = 0


@dataclass(frozen=True, slots=True)
class RunDescription:
    """One watched model, its rows, and the tags that hold its numbers; `criterion` is the type of its loss, or ""."""

    writer: str
    framework: str
    model: str = ""
    modules: tuple[Module, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    activations: tuple[Activation, ...] = ()
    edges: tuple[Edge, ...] = ()
    groups: tuple[OptimizerGroup, ...] = ()
    chunks: tuple[Chunk, ...] = ()
    omissions: tuple[Omission, ...] = ()
    schedule: Schedule = field(default_factory=Schedule)
    criterion: str = ""
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


def activation_chunks(
    model: str, activations: tuple[Activation, ...], family: Family, columns: tuple[str, ...] = ()
) -> tuple[Chunk, ...]:
    """Divide the rows of `activations` into chunks of at most MAX_ROWS, each with a tag of its own."""
    return _chunks(model, activations, family, columns, len(activations), MAX_ROWS)


def unit_chunks(model: str, activations: tuple[Activation, ...], columns: tuple[str, ...]) -> tuple[Chunk, ...]:
    """Divide the units of all activations, one after another, into chunks of at most MAX_UNITS."""
    units = sum(activation.units for activation in activations)
    return _chunks(model, activations, Family.UNITS, columns, units, MAX_UNITS)


def output_chunk(model: str, columns: tuple[str, ...]) -> Chunk:
    """Return where what is known of the outputs of `model` stands."""
    return Chunk(tag(Family.OUTPUTS, model, columns), Family.OUTPUTS.value, 0, 1, columns)


def class_tag(model: str, classes: int) -> str:
    """Return the tag of what is known of so many classes; how many there are is known once training has begun."""
    return tag(Family.CLASSES, model, str(classes))


def evaluation_tag(model: str) -> str:
    """Return the tag of what a model got and gave in evaluations."""
    return tag(Family.EVALUATIONS, model, (column.id for column in EVALUATION_COLUMNS))


def _chunks(
    model: str, activations: tuple[Activation, ...], family: Family, columns: tuple[str, ...], count: int, limit: int
) -> tuple[Chunk, ...]:
    names = [(activation.name, activation.kind, activation.units) for activation in activations]
    return tuple(
        Chunk(tag(family, model, str(first), names, columns), family.value, first, min(limit, count - first), columns)
        for first in range(0, count, limit)
    )
