"""The embeddings of a run: from what a user gives to what the worker is asked."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tb_netviz.embedding import thumbnails as pictures
from tb_netviz.embedding.book import Book
from tb_netviz.embedding.dispatcher import DRAIN_SECONDS, Dispatcher
from tb_netviz.embedding.labels import Given, given, label
from tb_netviz.embedding.points import Points
from tb_netviz.embedding.track import Float32, Job, Plan, Track
from tb_netviz.events import NullSink, Sink, warn
from tb_netviz_plugin.schema.description import Omission
from tb_netviz_plugin.schema.embedding import new_embedding

_SHARE_OF_THUMBNAILS = 0.5
"""Of the bytes that an embedding may take."""


@dataclass
class _Added:
    """What was given of one embedding so far."""

    track: Track
    points: Points
    step: int


class Embeddings:
    """What is laid out in one run. Nothing is started before the first vectors come.

    Args:
        sink: Takes the events; it is closed by whoever opened it, after this.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._dispatcher = Dispatcher(lambda: sink.log_dir)
        self._added: dict[str, _Added] = {}
        self._watched: set[str] = set()  # Names that can't be added to.
        self._told = False

    @property
    def worker_pid(self) -> int | None:
        """Number of the worker's process; None where there is none."""
        return self._dispatcher.worker_pid

    def open(self, model: str, name: str, module: str, inputs: str, plan: Plan) -> Track:
        """Follow an embedding whose vectors are submitted.

        Raises:
            ValueError: If vectors of one of that name are added already.
        """
        if not model:
            if name in self._added:
                raise ValueError(f"vectors are added to the embedding {name!r} already; give this one another name")
            self._watched.add(name)
        return self._track(model, name, module, inputs, plan)

    def _track(self, model: str, name: str, module: str, inputs: str, plan: Plan) -> Track:
        return self._dispatcher.open(
            Book(self._sink, new_embedding(model, name, module, inputs, predictions=False)), plan
        )

    def submit(self, track: Track, job: Job) -> None:
        """Hand over vectors, which are not to change any longer."""
        if not isinstance(self._sink, NullSink):
            self._dispatcher.submit(track, job)

    def add(
        self,
        name: str,
        vectors: Any,
        labels: Any = None,
        step: int | None = None,
        *,
        plan: Plan,
        thumbnails: Any = None,
        predictions: Any = None,
        classes: Sequence[Any] | None = None,
        inputs: str = "",
    ) -> None:
        """Take vectors of one step; see `EmbeddingWriter.add`."""
        if _text("name", name) in self._watched:
            raise ValueError(f"the embedding {name!r} is followed already; give this one another name")
        array = vectors_of(vectors)
        count = len(array)
        last = self._added.get(name)
        here = (0 if last is None else last.step + 1) if step is None else operator.index(step)
        if last is not None and here == last.step:
            self._complain(name, here)
            return
        guesses = given(predictions, count, "predictions")
        points = points_of(
            count, given(labels, count), thumbnails, plan, classes, guesses, None if last is None else last.points
        )
        if last is None:
            last = self._added[name] = _Added(self._track("", name, "", _text("inputs", inputs), plan), points, here)
        last.points, last.step = points, here
        self.submit(last.track, Job(here, array, points, points.labels.encode(guesses.keys) if guesses.keys else None))

    def omit(self, track: Track, step: int, omission: Omission) -> None:
        """Say what is left out of an embedding."""
        if not isinstance(self._sink, NullSink):
            self._dispatcher.omit(track, step, omission)

    def wait(self, limit: float | None = None) -> bool:
        """Wait until all that was handed over is laid out, `limit` seconds at most; whether it is."""
        return self._dispatcher.wait(limit)

    def take_seconds(self) -> float:
        """Return the processor time that was spent in the process of the training since the last call."""
        return self._dispatcher.take_seconds()

    def close(self, limit: float = DRAIN_SECONDS) -> None:
        """Wait for what is under way, `limit` seconds at most, and end."""
        self._dispatcher.close(limit)

    def _complain(self, name: str, step: int) -> None:
        if not self._told:
            self._told = True
            warn(
                f"the embedding {name!r} has vectors of step {step} already; later ones of the same step are left out.",
                stacklevel=4,
            )


def points_of(
    count: int,
    labels: Given,
    thumbnails: Any,
    plan: Plan,
    classes: Sequence[Any] | None = None,
    predictions: Given | None = None,
    before: Points | None = None,
) -> Points:
    """Return a set of points; the one `before` where it is the same.

    Args:
        count: How many points.
        labels: Of the points.
        thumbnails: Pictures of them, or None.
        plan: Says what they may take.
        classes: Names of the classes by their index, where they are known.
        predictions: Of the classes.
        before: The set that was there before.

    Raises:
        ValueError: If labels or thumbnails don't fit the points.
    """
    raw = None if thumbnails is None else pictures.pictures(thumbnails, count)
    digest = "-".join((str(count), labels.digest, "" if raw is None else pictures.digest(raw)))
    if before is not None and before.digest == digest:
        return before
    reduced, omissions = _reduced(raw, plan)
    named = label(labels, classes, predictions)
    if predictions is not None and predictions.keys and not named.classes:
        omissions += (
            Omission("predictions", "there are no classes among the labels that they could be compared with"),
        )
    return Points(count, digest, named, reduced, omissions)


def _reduced(raw: npt.NDArray[Any] | None, plan: Plan) -> tuple[pictures.UInt8 | None, tuple[Omission, ...]]:
    if raw is None:
        return None, ()
    try:
        return pictures.thumbnails(raw, int(_SHARE_OF_THUMBNAILS * plan.most_bytes)), ()
    except pictures.NoRoomError as reason:
        return None, (Omission("thumbnails", str(reason)),)


def vectors_of(vectors: Any) -> Float32:
    """Return a copy of vectors as [points, units]; what has more dimensions is flattened.

    Raises:
        TypeError: If they are no real numbers.
        ValueError: If there is no dimension of the points.
    """
    array = np.asarray(vectors)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"vectors must be real numbers, got {array.dtype}")
    if not array.ndim:
        raise ValueError("vectors must be one for each point, got a single number")
    with np.errstate(over="ignore"):  # What is too large for float32 is infinite, and counts as such.
        return np.array(array.reshape(len(array), -1 if array.size else 0), np.float32, order="C")


def _text(what: str, given: Any) -> str:
    if not isinstance(given, str):
        raise TypeError(f"{what} must be a text, got {given!r}")
    return given
