"""Where the rows of each tag stand among those of all descriptions of a run."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tb_netviz_plugin.schema.description import Activation, Chunk, Parameter, RunDescription
from tb_netviz_plugin.schema.migrations import UnreadableSchemaError
from tb_netviz_plugin.schema.tags import Family

Indices = npt.NDArray[np.intp]

OF_PARAMETERS = frozenset({Family.PARAMETERS, Family.BINS})
OF_ACTIVATIONS = frozenset({Family.ACTIVATIONS, Family.ACTIVATION_BINS, Family.UNIT_STEPS})
OF_UNITS = frozenset({Family.UNITS})
MOST_UNITS = 1 << 22
"""More than a record can hold; a description that claims more is damaged, and must not exhaust the memory."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the rows of one tag stand.

    Attributes:
        tag: The tag.
        model: Name of its model.
        rows: Index of the parameter, activation or unit that each row of the tag is.
        columns: Ids of its columns; none for bins.
    """

    tag: str
    model: str
    rows: Indices
    columns: tuple[str, ...]


def check(description: RunDescription) -> None:
    """Raise UnreadableSchemaError if `description` contradicts itself."""
    modules = len(description.modules)
    owners = [row.owner for row in description.parameters]
    owners += [at for row in description.activations for at in (row.module, row.source) if at is not None]
    if any(owner >= modules for owner in owners):
        raise UnreadableSchemaError("the description of the network names a module that it doesn't have")
    if any(chunk.first_row + chunk.rows > _rows_of(description, chunk) for chunk in description.chunks):
        raise UnreadableSchemaError("the description of the network names rows that it doesn't have")
    if any(row.group is not None and row.group >= len(description.groups) for row in description.parameters):
        raise UnreadableSchemaError("the description of the network names an optimizer group that it doesn't have")
    if _units(description.activations) > MOST_UNITS:
        raise UnreadableSchemaError("the description of the network names more units than can be recorded")


def placements(
    descriptions: Sequence[RunDescription],
    parameter_at: Callable[[RunDescription, Parameter], int],
    activation_at: Callable[[RunDescription, Activation], int],
    units_at: Callable[[RunDescription, Activation], range],
) -> Mapping[Family, tuple[Placement, ...]]:
    """Return the placements of every known family that `descriptions` list.

    Args:
        descriptions: The oldest first.
        parameter_at: Gives the index of a parameter.
        activation_at: Gives the index of an activation.
        units_at: Gives the indices of its units.
    """
    found: dict[Family, dict[Hashable, Placement]] = {family: {} for family in Family}
    for description in descriptions:
        rows = {
            OF_PARAMETERS: [parameter_at(description, row) for row in description.parameters],
            OF_ACTIVATIONS: [activation_at(description, row) for row in description.activations],
            OF_UNITS: [unit for row in description.activations for unit in units_at(description, row)],
        }
        for families, indices in rows.items():
            for chunk in description.chunks:
                if chunk.family in families:
                    held = np.array(indices[chunk.first_row : chunk.first_row + chunk.rows], np.intp)
                    placement = Placement(chunk.tag, description.model, held, chunk.columns)
                    found[Family(chunk.family)][chunk.tag] = placement
    return {family: tuple(tags.values()) for family, tags in found.items()}


def _rows_of(description: RunDescription, chunk: Chunk) -> int | float:
    if chunk.family in OF_PARAMETERS:
        return len(description.parameters)
    if chunk.family in OF_ACTIVATIONS:
        return len(description.activations)
    return _units(description.activations) if chunk.family in OF_UNITS else float("inf")


def _units(activations: Sequence[Activation]) -> int:
    return sum(activation.units for activation in activations)
