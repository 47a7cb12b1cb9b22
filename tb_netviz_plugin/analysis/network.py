"""The network of a run: what all its descriptions say together.

A run may have several models, and a model several descriptions when it changed or was resumed.
Layers, parameters and activations of all of them get one index each; those that are gone keep their place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tb_netviz_plugin.analysis.activations import ActivationRow, activation_key, activation_rows
from tb_netviz_plugin.analysis.order import united_order
from tb_netviz_plugin.analysis.placement import OF_ACTIVATIONS, OF_PARAMETERS, Placement, check, placements
from tb_netviz_plugin.schema.description import Module, Omission, OptimizerGroup, Parameter, RunDescription
from tb_netviz_plugin.schema.statistics import STATISTICS, Rows, Statistic
from tb_netviz_plugin.schema.tags import Family

FAMILY_OF = {Rows.PARAMETERS: Family.PARAMETERS, Rows.ACTIVATIONS: Family.ACTIVATIONS}
"""Where the columns of each kind of row are."""

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
class Network:
    """Everything that is known about the networks of a run.

    Attributes:
        descriptions: The latest of each model, in the order in which the models appeared.
        layers: In network order, input first, model after model.
        parameters: In the order of their layers.
        activations: In the order of the forward pass, model after model.
        groups: Model and optimizer group.
        tags: By family, where the numbers are.
        elements: Number of elements of each parameter, float64 [P].
    """

    descriptions: tuple[RunDescription, ...] = ()
    layers: tuple[Layer, ...] = ()
    parameters: tuple[Row, ...] = ()
    activations: tuple[ActivationRow, ...] = ()
    groups: tuple[tuple[str, OptimizerGroup], ...] = ()
    tags: Mapping[Family, tuple[Placement, ...]] = field(default_factory=lambda: dict.fromkeys(Family, ()))
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
        recorded = {rows: [set(tag.columns) for tag in self.tags[FAMILY_OF[rows]]] for rows in Rows}
        return tuple(s for s in STATISTICS if any(columns.issuperset(s.columns) for columns in recorded[s.rows]))

    def count(self, family: Family) -> int:
        """Return how many rows the tags of `family` hold together."""
        if family in OF_PARAMETERS:
            return len(self.parameters)
        if family in OF_ACTIVATIONS:
            return len(self.activations)
        return sum(len(row.units) for row in self.activations)


def unite(descriptions: Sequence[RunDescription]) -> Network:
    """Return the network that `descriptions`, oldest first, say together.

    Raises:
        UnreadableSchemaError: If one contradicts itself.
    """
    for description in descriptions:
        check(description)
    models = tuple(dict.fromkeys(description.model for description in descriptions))
    latest = {description.model: description for description in descriptions}
    order = united_order(descriptions, models, _layer_names)
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
    layers = tuple(
        Layer(
            name=_name(model, owner, prefixed),
            model=model,
            module=modules[model, owner],
            parameters=range(held[0], held[-1] + 1),
            elements=sum(parameters[i].parameter.elements for i in held),
            frozen=all(parameters[i].parameter.frozen for i in held),
        )
        for (model, owner), held in zip(order, members, strict=True)
    )
    frozen = [layer.frozen for layer in layers]
    activations = activation_rows(descriptions, models, layer_index, frozen, prefixed=prefixed)
    row_index = {key: index for index, key in enumerate(rows)}
    activation_index = {key: index for index, key in enumerate(activations)}
    return Network(
        descriptions=tuple(latest[model] for model in models),
        layers=layers,
        parameters=tuple(parameters),
        activations=tuple(activations.values()),
        groups=groups,
        tags=placements(
            descriptions,
            lambda description, row: row_index[_row_key(description, row)],
            lambda description, row: activation_index[activation_key(description, row)],
            lambda description, row: activations[activation_key(description, row)].units,
        ),
        elements=np.array([row.parameter.elements for row in parameters], np.float64),
    )


def _name(model: str, name: str, prefixed: bool) -> str:
    return f"{model}/{name}" if prefixed else name


def _row_key(description: RunDescription, row: Parameter) -> _RowKey:
    return description.model, description.modules[row.owner].name, row.name, row.shape


def _layer_names(description: RunDescription) -> list[_LayerKey]:
    owners = sorted({row.owner for row in description.parameters})
    return [(description.model, description.modules[owner].name) for owner in owners]


def _rows(descriptions: Sequence[RunDescription], order: Sequence[_LayerKey]) -> dict[_RowKey, Parameter]:
    """Return the parameters in the order of their layers, each as its latest description has it."""
    latest: dict[_RowKey, Parameter] = {}
    for description in reversed(descriptions):
        for row in description.parameters:
            latest.setdefault(_row_key(description, row), row)
    rank = {key: index for index, key in enumerate(order)}
    return dict(sorted(latest.items(), key=lambda item: rank[item[0][0], item[0][1]]))
