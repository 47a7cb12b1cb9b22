"""What follows from the records of a run, wherever these come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from tb_netviz_plugin.analysis.evaluations import Evaluations, evaluations_from
from tb_netviz_plugin.analysis.grid import Grid, align
from tb_netviz_plugin.analysis.network import Network
from tb_netviz_plugin.analysis.outputs import Classes, Outputs, classes_from, outputs_from
from tb_netviz_plugin.analysis.records import Records
from tb_netviz_plugin.analysis.units import Judged, UnitTable, UnitThresholds, align_units, judge
from tb_netviz_plugin.schema.description import MAX_CLASSES, class_tag, evaluation_tag
from tb_netviz_plugin.schema.tags import Family, tag

DIMENSIONS = {
    Family.PARAMETERS: 2,
    Family.BINS: 2,
    Family.ACTIVATIONS: 2,
    Family.ACTIVATION_BINS: 2,
    Family.UNITS: 2,
    Family.UNIT_STEPS: 2,
    Family.OUTPUTS: 1,
    Family.CLASSES: 2,
    Family.EVALUATIONS: 1,
    Family.STEPS: 1,
    Family.METRIC: 1,
}
"""Axes of one plane of a record."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A scalar that the user logs: its name, its role, and its records."""

    name: str
    role: str
    records: Records


def in_order(metrics: Iterable[Metric]) -> list[Metric]:
    """Return metrics with a role first, then by name."""
    return sorted(metrics, key=lambda metric: (not metric.role, metric.role, metric.name))


class RecordedRun(ABC):
    """A run at one moment. What is asked of it is worked out then."""

    @property
    @abstractmethod
    def network(self) -> Network:
        """Its layers and parameters."""

    @property
    @abstractmethod
    def metrics(self) -> list[Metric]:
        """The scalars that the user logs: those with a role first, then by name."""

    @abstractmethod
    def records(self, name: str, family: Family) -> Records:
        """Return the records of one tag; none if there is no such tag."""

    @cached_property
    def grid(self) -> Grid:
        """The recorded columns of its parameters."""
        return align(self.network, self.step_records, self.placed(Family.PARAMETERS))

    @cached_property
    def activation_grid(self) -> Grid:
        """The recorded columns of its activations."""
        return align(self.network, self.step_records, self.placed(Family.ACTIVATIONS), Family.ACTIVATIONS)

    @cached_property
    def step_records(self) -> dict[str, Records]:
        """By model, its records of the family `steps`."""
        return {model: self.records(tag(Family.STEPS, model), Family.STEPS) for model in self.network.models}

    @cached_property
    def unit_table(self) -> UnitTable:
        """The records of single units."""
        tags = self.placed(Family.UNIT_STEPS) | self.placed(Family.UNITS)
        return align_units(self.network, self.step_records, tags)

    @cached_property
    def outputs(self) -> dict[str, Outputs]:
        """By model, what is known of its outputs, targets and inputs, on the steps of the grid."""
        found: dict[str, Outputs] = {}
        for description in self.network.descriptions:
            model = description.model
            for chunk in description.chunks:
                if chunk.family == Family.OUTPUTS:
                    records, steps = self.records(chunk.tag, Family.OUTPUTS), self.step_records[model]
                    of_model = outputs_from(
                        model, description.criterion, self.grid.steps, chunk.columns, records, steps
                    )
                    found |= {model: of_model} if of_model else {}
        return found

    @cached_property
    def classes(self) -> dict[str, Classes]:
        """By model, how each class does."""
        found: dict[str, Classes] = {}
        for model, outputs in self.outputs.items():
            for count in sorted({int(count) for count in outputs.classes if 0 < count <= MAX_CLASSES}):
                records = self.records(class_tag(model, count), Family.CLASSES)
                of_model = classes_from(model, records, self.step_records[model])
                found |= {model: of_model} if of_model else {}
        return found

    @cached_property
    def evaluations(self) -> dict[str, Evaluations]:
        """By model, what it got and gave in evaluations, where some were measured."""
        tags = {model: self.records(evaluation_tag(model), Family.EVALUATIONS) for model in self.network.models}
        found = {model: evaluations_from(records) for model, records in tags.items()}
        return {model: of_model for model, of_model in found.items() if of_model}

    def judged(self, thresholds: UnitThresholds) -> dict[int, Judged]:
        """Return the states of the units of each activation, by its index."""
        return judge(self.unit_table, range(len(self.network.activations)), thresholds)

    def placed(self, family: Family) -> dict[str, Records]:
        """Return the records of a family whose rows the network has, by tag."""
        return {placement.tag: self.records(placement.tag, family) for placement in self.network.tags[family]}
