"""The activations of a run: what all its descriptions say of them together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tb_netviz_plugin.analysis.order import united_order
from tb_netviz_plugin.schema.description import Activation, RunDescription

ActivationKey = tuple[str, str, str, int]


@dataclass(frozen=True, slots=True)
class ActivationRow:
    """A place in the forward pass where an output is measured.

    Attributes:
        name: Its name, with the model's in front where a run has several; so have all names here.
        label: What people call it, such as "fc1 · ReLU".
        model: Name of its model.
        module: Name of the module, or of that in which the function is called.
        source: Name of the module whose weights make its units; `module` where that is unknown.
        layer: Index of that layer, or None where it holds no parameters.
        function: Whether it is a function that is called, and no module.
        frozen: Whether all parameters of its source are frozen.
        units: Indices of its units among those of all activations.
        activation: What its latest description says.
    """

    name: str
    label: str
    model: str
    module: str
    source: str
    layer: int | None
    function: bool
    frozen: bool
    units: range
    activation: Activation


def activation_key(of: RunDescription | ActivationRow, activation: Activation) -> ActivationKey:
    """Return what tells an activation from the others of a run; one whose number of units changes is another."""
    return of.model, activation.name, activation.kind, activation.units


def activation_rows(
    descriptions: Sequence[RunDescription],
    models: Iterable[str],
    layers: Mapping[tuple[str, str], int],
    frozen: Sequence[bool],
    *,
    prefixed: bool,
) -> dict[ActivationKey, ActivationRow]:
    """Return the activations in the order of the forward pass, model after model.

    Args:
        descriptions: The oldest first.
        models: Names of the models, in order.
        layers: By model and module, the index of its layer.
        frozen: Of each layer, whether none of its parameters asks for a gradient.
        prefixed: Whether names begin with that of the model.
    """
    order = united_order(descriptions, models, lambda d: (activation_key(d, row) for row in d.activations))
    latest = {activation_key(d, row): (d, row) for d in descriptions for row in d.activations}
    rows: dict[ActivationKey, ActivationRow] = {}
    units = 0
    for key in order:
        description, activation = latest[key]
        rows[key] = _row(description, activation, units, layers, frozen, prefixed=prefixed)
        units += activation.units
    return _told_apart(rows)


def _row(
    description: RunDescription,
    activation: Activation,
    first_unit: int,
    layers: Mapping[tuple[str, str], int],
    frozen: Sequence[bool],
    *,
    prefixed: bool,
) -> ActivationRow:
    prefix = f"{description.model}/" if prefixed else ""
    module = description.modules[activation.module]
    source = module if activation.source is None else description.modules[activation.source]
    layer = layers.get((description.model, source.name))
    return ActivationRow(
        name=prefix + activation.name,
        label=f"{prefix}{source.name} · {activation.kind}",
        model=description.model,
        module=prefix + module.name,
        source=prefix + source.name,
        layer=layer,
        function=activation.kind != module.type,
        frozen=activation.source is not None and layer is not None and frozen[layer],
        units=range(first_unit, first_unit + activation.units),
        activation=activation,
    )


def _told_apart(rows: dict[ActivationKey, ActivationRow]) -> dict[ActivationKey, ActivationRow]:
    """Return `rows` with their names behind those labels that several have."""
    uses = Counter(row.label for row in rows.values())
    return {
        key: replace(row, label=f"{row.label} ({row.name})") if uses[row.label] > 1 else row
        for key, row in rows.items()
    }
