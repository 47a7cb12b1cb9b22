"""Inputs whose places in the space of a module are followed through the training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import nn

from tb_netviz.embedding.embeddings import Embeddings
from tb_netviz.embedding.labels import Given, label
from tb_netviz.embedding.points import Points
from tb_netviz.embedding.track import Job, Plan, Track
from tb_netviz.pytorch.embeddings.inputs import ManyInputs
from tb_netviz.pytorch.embeddings.vectors import Vectors, run
from tb_netviz.pytorch.probes.look import Look
from tb_netviz.pytorch.probes.probe import Kind, Probe
from tb_netviz.pytorch.probes.rounds import Rounds
from tb_netviz.recorder.probing import ProbeSchedule
from tb_netviz_plugin.schema.description import Omission
from tb_netviz_plugin.schema.embedding import Labels

SIGNATURE_BYTES = 512 * 64 * 4
"""That a signature takes at most."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is followed.

    Attributes:
        module: Name of the module; empty for the model's output.
        inputs: That are run.
        points: What they are.
        labels: As they were given.
        classes: Names of the classes by their index, where they are known.
        plan: How they are laid out.
    """

    module: str
    inputs: ManyInputs
    points: Points
    labels: Given
    classes: tuple[str, ...] | None
    plan: Plan


class WatchedEmbedding(Probe[Vectors]):
    """Runs inputs through a model after some of its optimizer's steps, and has what a module makes of them laid out.

    Embeddings of the same inputs share a pass where they are due at the same step.

    Args:
        model: The model, held weakly.
        rounds: The probes of its training.
        wanted: What is followed.
        schedule: When the inputs are run.
        embeddings: Has the vectors laid out.
        track: Of this embedding.

    Attributes:
        wanted: The same.
    """

    kind = Kind("embedding", "embeddings", "layouts")

    def __init__(
        self,
        model: nn.Module,
        rounds: Rounds,
        wanted: Wanted,
        schedule: ProbeSchedule,
        embeddings: Embeddings,
        track: Track,
    ) -> None:
        super().__init__(model, rounds, schedule, (track.book.description.model, track.book.description.name))
        self.wanted = wanted
        self._embeddings = embeddings
        self._track = track
        self._points: Points | None = None  # Once it is known what the model tells apart.

    def take_seconds_elsewhere(self) -> float:
        """Return the processor time of the thread that hands vectors over since the last call."""
        return self._embeddings.take_seconds()

    def shares_with(self, other: Probe[Any]) -> bool:
        """Whether one look is enough for both: they have the same inputs."""
        return isinstance(other, WatchedEmbedding) and other.wanted.inputs is self.wanted.inputs

    def _look(self, model: nn.Module, sharers: Sequence[Probe[Any]]) -> Look[Vectors]:
        inputs = self.wanted.inputs
        modules = {sharer.wanted.module for sharer in sharers if isinstance(sharer, WatchedEmbedding)}
        return Look(model, inputs.tensors, lambda root: run(root, modules, inputs), len(sharers))

    def _write(self, step: int, seen: Vectors) -> None:
        vectors = seen.of(self.wanted.module)
        if self._points is None:
            self._points = _named(self.wanted, seen.outputs)
        predictions = None
        if seen.predictions is not None and _tells_apart(self._points, self.wanted, seen.outputs):
            predictions = np.array(seen.predictions.array(), np.float32)
        size = _bytes_of_record(self.wanted, predictions=predictions is not None)
        self.schedule.limit(size, 1)
        if not self.schedule.exhausted:
            array = np.array(vectors.array(), np.float32)
            self._embeddings.submit(self._track, Job(step, array, self._points, predictions))
            self.schedule.wrote(size)
        if self.schedule.exhausted:
            budget = self.wanted.plan.most_bytes
            self._stop(step, Omission("layouts", f"the budget of {budget:,} bytes is used up at step {step}"))

    def _omit(self, step: int, omissions: Sequence[Omission]) -> None:
        for omission in omissions:
            self._embeddings.omit(self._track, step, omission)


def _named(wanted: Wanted, outputs: int | None) -> Points:
    """Return the points with a name for every class that the model tells apart, where labels are indices of these."""
    points = replace(wanted.points, labels=label(wanted.labels, wanted.classes, outputs=outputs))
    if points.labels.classes and outputs is not None and not _tells_apart(points, wanted, outputs):
        reason = (
            f"the model tells {outputs} classes apart, and the labels don't say which output stands for which; "
            "give them as indices of the outputs, with their names as classes=[…]"
        )
        return replace(points, omissions=(*points.omissions, Omission("predictions", reason)))
    return points


def _tells_apart(points: Points, wanted: Wanted, outputs: int | None) -> bool:
    """Whether the outputs of the model are the classes of the labels, by their index."""
    if points.labels.kind is not Labels.CLASSES or len(points.labels.classes) != outputs:
        return False
    return wanted.classes is not None or all(key == index for key, index in points.labels.indices.items())


def _bytes_of_record(wanted: Wanted, *, predictions: bool) -> int:
    """Return about how many bytes the layouts of one step take, with what belongs to them."""
    points = wanted.points.count
    return 2 * points * wanted.plan.dims * 2 + 4 * points * predictions + SIGNATURE_BYTES
