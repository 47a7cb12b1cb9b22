"""Runs in memory whose gradients, updates and losses a test models, for rules to judge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tb_netviz_plugin.analysis.network import Network, unite
from tb_netviz_plugin.analysis.recorded import DIMENSIONS, Metric, RecordedRun
from tb_netviz_plugin.analysis.records import Records, stack
from tb_netviz_plugin.diagnosis import Finding, Report, check
from tb_netviz_plugin.schema.description import RunDescription
from tb_netviz_plugin.schema.tags import Family, tag
from tests.support.devruns import convolutional_layers, modelled_columns
from tests.support.runs import COLUMNS, OUTPUT_NAMES, describe

RECORDS = 60
INTERVAL = 10


@dataclass
class Model:
    """A network, each of whose P parameters has columns [T, P] that a test may change before it is judged.

    By default it is healthy: gradients fall over the run and a little towards the input, and updates are a hundredth
    of the weights at first and follow the gradients.
    """

    layers: Mapping[str, Mapping[str, tuple[int, ...]]] = field(default_factory=lambda: convolutional_layers(8))
    name: str = ""
    frozen: tuple[str, ...] = ()
    decay: float = 0.95
    seed: int = 0
    records: int = RECORDS
    interval: int = INTERVAL
    activations: Sequence[Any] = ()

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.description: RunDescription = describe(
            self.layers, model=self.name, frozen=self.frozen, activations=self.activations
        )
        self.owners = np.array([row.owner for row in self.description.parameters])
        sizes = np.array([row.elements for row in self.description.parameters])
        depth = (len(self.description.modules) - 1 - self.owners) / 2
        course = np.exp(-2 * np.arange(self.records) / max(self.records, 1))[:, None]
        scatter = np.exp(0.3 * self.rng.standard_normal((self.records, len(sizes))))
        self.norms = self.decay**depth * np.sqrt(sizes / 256) * course * scatter
        self.zeros = np.full(self.norms.shape, 0.3)
        self.weights = np.broadcast_to(0.1 * np.sqrt(sizes), self.norms.shape).copy()
        self.ratios = 0.01 * course * scatter
        self.cosines = np.clip(0.2 + 0.2 * self.rng.standard_normal(self.norms.shape), -1, 1)
        self.deviations = np.ones((self.records, len(self.activations)))

    @property
    def steps(self) -> np.ndarray:
        """Step of each record, [T]."""
        return self.interval * np.arange(self.records)

    def of(self, *layers: int) -> np.ndarray:
        """Return which parameters belong to these layers, [P]."""
        return np.isin(self.owners, layers)

    def columns(self) -> list[np.ndarray]:
        """Return [P, columns] of each record."""
        last = np.concatenate([self.norms[:1], self.norms[:-1]])
        found = []
        for at, (norms, zeros) in enumerate(zip(self.norms, self.zeros, strict=True)):
            columns = modelled_columns(self.description, norms, zeros, self.rng)
            there = np.where((norms > 0) & (last[at] > 0), norms, np.nan)
            columns[:, COLUMNS.index("weight_norm")] = self.weights[at]
            columns[:, COLUMNS.index("update_norm")] = np.where(norms < 0, 0.0, self.ratios[at] * self.weights[at])
            columns[:, COLUMNS.index("grad_norm_last")] = np.where(np.isnan(there), np.nan, last[at])
            columns[:, COLUMNS.index("grad_dot_last")] = self.cosines[at] * there * last[at]
            found.append(columns.astype(np.float32))
        return found

    def outputs(self) -> list[np.ndarray]:
        """Return [A, columns] of each record: outputs of mean 0 with the modelled deviations."""
        found = []
        for deviations in self.deviations:
            rows = np.zeros((len(deviations), len(OUTPUT_NAMES)))
            values: dict[str, Any] = {"act_values": 1024.0, "act_samples": 32.0, "act_norm": 32.0 * deviations}
            values |= {"act_abs_max": 3 * deviations, "act_grad_norm": np.full(len(deviations), 0.1)}
            values["act_within_norm"] = np.nan  # Each sample has one place.
            for name, value in values.items():
                rows[:, OUTPUT_NAMES.index(name)] = value
            found.append(rows.astype(np.float32))
        return found


class ModelledRun(RecordedRun):
    """A run of models, with the scalars that were logged.

    Args:
        models: Its models.
        scalars: By name, role, steps and values.
    """

    def __init__(self, models: Iterable[Model], scalars: Mapping[str, tuple[str, Any, Any]]) -> None:
        self._models = list(models)
        self._network = unite([model.description for model in self._models])
        self._tags = {name: records for model in self._models for name, records in _tags(model).items()}
        self._scalars = [Metric(name, role, _scalar(steps, values)) for name, (role, steps, values) in scalars.items()]

    @property
    def network(self) -> Network:
        """Its layers and parameters."""
        return self._network

    @property
    def metrics(self) -> list[Metric]:
        """The scalars."""
        return self._scalars

    def records(self, name: str, family: Family) -> Records:
        """Return the records of one tag."""
        return self._tags.get(name) or stack((), (), (), DIMENSIONS[family])


def _tags(model: Model) -> dict[str, Records]:
    steps = model.steps.tolist()
    about = np.array([1, 1, 0.1, 0.001, model.interval, 0], np.float32)
    found = {tag(Family.STEPS, model.name): stack(steps, steps, [about] * len(steps), 1)}
    for chunk in model.description.chunks:
        rows = {Family.PARAMETERS.value: model.columns, Family.ACTIVATIONS.value: model.outputs}.get(chunk.family)
        if rows:
            found[chunk.tag] = stack(steps, steps, rows(), 2)
    return found


def _scalar(steps: Any, values: Any) -> Records:
    columns = [
        np.array([1, 1, *([value] * 3 if np.isfinite(value) else [np.nan] * 3), not np.isfinite(value)], np.float32)
        for value in np.asarray(values, np.float64)
    ]
    return stack(np.asarray(steps).tolist(), np.asarray(steps).tolist(), columns, 1)


def report(*models: Model, train: Any = None, val: Any = None, **scalars: tuple[str, Any, Any]) -> Report:
    """Return what all rules say of a run of these models.

    Args:
        models: Its models.
        train: Training loss at each record of the first model.
        val: Validation loss likewise.
        scalars: By name, role, steps and values of others.
    """
    for name, role, values in (("loss/train", "train_loss", train), ("loss/val", "val_loss", val)):
        if values is not None:
            scalars[name] = (role, models[0].steps, values)
    return check(ModelledRun(models, scalars))


def found(rule: str, *models: Model, **about: Any) -> list[Finding]:
    """Return what one rule finds; it must have been checked."""
    told = report(*models, **about)
    skipped = {one.rule.id: one.reason for one in told.skipped}
    assert rule not in skipped, skipped[rule]
    return [finding for finding in told.every if finding.rule == rule]


def falling(records: int = RECORDS, start: float = 2.3, end: float = 0.1, noise: float = 0.02, seed: int = 0) -> Any:
    """Return a loss that falls as a healthy one does."""
    scatter = 1 + noise * np.random.default_rng(seed).standard_normal(records)
    return (end + (start - end) * np.exp(-4 * np.arange(records) / records)) * scatter


def flat(records: int = RECORDS, level: float = 2.3, noise: float = 0.02, seed: int = 0) -> Any:
    """Return a loss that stays where it is."""
    return level * (1 + noise * np.random.default_rng(seed).standard_normal(records))
