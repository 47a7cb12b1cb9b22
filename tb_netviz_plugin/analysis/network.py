"""The network of a run: what all its descriptions say together.

A run may have several models, and a model several descriptions when it changed or was resumed.
Layers and parameters of all of them get one index each; those that are gone keep their place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from tb_netviz_plugin.schema.description import Module, Omission, OptimizerGroup, Parameter, RunDescription
from tb_netviz_plugin.schema.migrations import UnreadableSchemaError
from tb_netviz_plugin.schema.statistics import STATISTICS, Statistic
from tb_netviz_plugin.schema.tags import Family

Indices = npt.NDArray[np.intp]
_LayerKey = tuple[str, str]
_RowKey = tuple[str, str, str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Layer:
    """A module that holds parameters of its own.

    Attributes:
        name: Its name, with the model's in front where a run has several.
        model: Name of its model.
        module: What its latest description says.
        parameters: Indices of its parameters, which are consecutive.
        elements: Number of elements in all of them.
        frozen: Whether none of them asks for a gradient.
    """

    name: str
    model: str
    module: Module
    parameters: range
    elements: int
    frozen: bool


@dataclass(frozen=True, slots=True)
class Row:
    """A parameter.

    Attributes:
        name: Its name, with the model's in front where a run has several.
        layer: Index of its layer.
        parameter: What its latest description says.
        group: Index of its optimizer group in the network's, or None.
    """

    name: str
    layer: int
    parameter: Parameter
    group: int | None


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the rows of one tag stand.

    Attributes:
        tag: The tag.
        model: Name of its model.
        rows: Index of the parameter that each row of the tag is.
        columns: Ids of its columns; none for bins.
    """

    tag: str
    model: str
    rows: Indices
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Network:
    """Everything that is known about the networks of a run.

    Attributes:
        descriptions: The latest of each model, in the order in which the models appeared.
        layers: In network order, input first, model after model.
        parameters: In the order of their layers.
        groups: Model and optimizer group.
        parameter_tags: Where the statistics are.
        bin_tags: Where the counts of magnitudes are.
        elements: Number of elements of each parameter, float64 [P].
    """

    descriptions: tuple[RunDescription, ...] = ()
    layers: tuple[Layer, ...] = ()
    parameters: tuple[Row, ...] = ()
    groups: tuple[tuple[str, OptimizerGroup], ...] = ()
    parameter_tags: tuple[Placement, ...] = ()
    bin_tags: tuple[Placement, ...] = ()
    elements: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models."""
        return tuple(description.model for description in self.descriptions)

    @property
    def omissions(self) -> tuple[Omission, ...]:
        """What was left out."""
        return tuple(omission for description in self.descriptions for omission in description.omissions)

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """The statistics that were recorded, in the catalogue's order."""
        recorded = [set(placement.columns) for placement in self.parameter_tags]
        return tuple(s for s in STATISTICS if any(columns.issuperset(s.columns) for columns in recorded))


def unite(descriptions: Sequence[RunDescription]) -> Network:
    """Return the network that `descriptions`, oldest first, say together.

    Raises:
        UnreadableSchemaError: If one contradicts itself.
    """
    for description in descriptions:
        _check(description)
    models = tuple(dict.fromkeys(description.model for description in descriptions))
    latest = {description.model: description for description in descriptions}
    order = _layer_order(descriptions, models)
    rows = _rows(descriptions, order)
    groups = tuple((model, group) for model in models for group in latest[model].groups)
    offsets = {model: next((i for i, (m, _) in enumerate(groups) if m == model), 0) for model in models}
    modules = {(d.model, module.name): module for d in descriptions for module in d.modules}
    prefixed = len(models) > 1
    layer_index = {key: index for index, key in enumerate(order)}
    members: list[list[int]] = [[] for _ in order]
    parameters = []
    for index, (key, parameter) in enumerate(rows.items()):
        model, owner, name, _ = key
        layer = layer_index[model, owner]
        members[layer].append(index)
        group = None if parameter.group is None else parameter.group + offsets[model]
        parameters.append(Row(_name(model, name, prefixed), layer, parameter, group))
    row_index = {key: index for index, key in enumerate(rows)}
    return Network(
        descriptions=tuple(latest[model] for model in models),
        layers=tuple(
            Layer(
                name=_name(model, owner, prefixed),
                model=model,
                module=modules[model, owner],
                parameters=range(held[0], held[-1] + 1),
                elements=sum(parameters[i].parameter.elements for i in held),
                frozen=all(parameters[i].parameter.frozen for i in held),
            )
            for (model, owner), held in zip(order, members, strict=True)
        ),
        parameters=tuple(parameters),
        groups=groups,
        parameter_tags=_placements(descriptions, Family.PARAMETERS, row_index),
        bin_tags=_placements(descriptions, Family.BINS, row_index),
        elements=np.array([row.parameter.elements for row in parameters], np.float64),
    )


def _check(description: RunDescription) -> None:
    if any(row.owner >= len(description.modules) for row in description.parameters):
        raise UnreadableSchemaError("the description of the network names a module that it doesn't have")
    if any(chunk.first_row + chunk.rows > len(description.parameters) for chunk in description.chunks):
        raise UnreadableSchemaError("the description of the network names rows that it doesn't have")
    if any(row.group is not None and row.group >= len(description.groups) for row in description.parameters):
        raise UnreadableSchemaError("the description of the network names an optimizer group that it doesn't have")


def _name(model: str, name: str, prefixed: bool) -> str:
    return f"{model}/{name}" if prefixed else name


def _row_key(description: RunDescription, row: Parameter) -> _RowKey:
    return description.model, description.modules[row.owner].name, row.name, row.shape


def _layer_order(descriptions: Sequence[RunDescription], models: Iterable[str]) -> tuple[_LayerKey, ...]:
    """Return the layers in network order; those that are gone stand behind the one that they followed."""
    order: list[_LayerKey] = []
    for model in models:
        merged: list[_LayerKey] = []
        for description in reversed([d for d in descriptions if d.model == model]):
            owners = sorted({row.owner for row in description.parameters})
            names = list(dict.fromkeys((model, description.modules[owner].name) for owner in owners))
            merged = _insert_missing(merged, names)
        order += merged
    return tuple(order)


def _insert_missing(order: list[_LayerKey], names: list[_LayerKey]) -> list[_LayerKey]:
    known = set(order)
    followers: dict[_LayerKey | None, list[_LayerKey]] = {}
    anchor: _LayerKey | None = None
    for before, name in pairwise([None, *names]):
        anchor = before if before in known else anchor
        if name is not None and name not in known:
            followers.setdefault(anchor, []).append(name)
    result = followers.get(None, [])
    for name in order:
        result = [*result, name, *followers[name]] if name in followers else [*result, name]
    return result


def _rows(descriptions: Sequence[RunDescription], order: Sequence[_LayerKey]) -> dict[_RowKey, Parameter]:
    """Return the parameters in the order of their layers, each as its latest description has it."""
    latest: dict[_RowKey, Parameter] = {}
    for description in reversed(descriptions):
        for row in description.parameters:
            latest.setdefault(_row_key(description, row), row)
    rank = {key: index for index, key in enumerate(order)}
    return dict(sorted(latest.items(), key=lambda item: rank[item[0][0], item[0][1]]))


def _placements(
    descriptions: Sequence[RunDescription], family: Family, row_index: dict[_RowKey, int]
) -> tuple[Placement, ...]:
    placements = {}
    for description in descriptions:
        for chunk in description.chunks:
            if chunk.family == family:
                held = description.parameters[chunk.first_row : chunk.first_row + chunk.rows]
                rows = np.array([row_index[_row_key(description, row)] for row in held], np.intp)
                placements[chunk.tag] = Placement(chunk.tag, description.model, rows, chunk.columns)
    return tuple(placements.values())
