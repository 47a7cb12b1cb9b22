"""One embedding on its way from the training to the event file."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tb_netviz.embedding.book import Book
from tb_netviz.embedding.jobs import Message, Question
from tb_netviz.embedding.points import Points
from tb_netviz.embedding.vectors import stored_name
from tb_netviz_plugin.schema.description import Omission
from tb_netviz_plugin.schema.embedding import Method

Float32 = npt.NDArray[np.float32]
MOST_WAITING = 16
"""Steps of an embedding that wait for their PCA at most, while the worker is at a t-SNE."""
TURNS = 4
"""Of these that are looked at before a t-SNE has its turn, as long as there are more to come."""
MOST_BYTES_WAITING = 64 << 20
"""That their vectors take at most; one step may take more."""
BYTES = 256 << 20
"""That an embedding of vectors that are given may take in the event file."""
MOST_SETS = 64
"""Sets of points that an embedding has at most: whoever changes the points each time has nothing to compare."""


@dataclass(frozen=True, slots=True)
class Job:
    """Vectors of one step.

    Attributes:
        step: Of the training.
        vectors: [points, units].
        points: Whose vectors they are.
        predictions: Class of each point, or None.
    """

    step: int
    vectors: Float32
    points: Points
    predictions: Float32 | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """How an embedding is laid out.

    Attributes:
        dims: 2 or 3.
        perplexity: Of t-SNE.
        most_bytes: That it may take in the event file.
    """

    dims: int
    perplexity: float
    most_bytes: int


def plan_of(dims: Any, perplexity: Any = 30.0, most_bytes: int | None = None) -> Plan:
    """Return a plan.

    Args:
        dims: 2 or 3.
        perplexity: Of t-SNE.
        most_bytes: That the embedding may take in the event file; by default BYTES.

    Raises:
        ValueError: If `dims` is neither 2 nor 3, or `perplexity` is no positive number.
    """
    if dims not in (2, 3) or isinstance(dims, bool):
        raise ValueError(f"dims must be 2 or 3, got {dims!r}")
    if not isinstance(perplexity, int | float) or not 1 <= perplexity < math.inf:
        raise ValueError(f"perplexity must be a number, at least 1, got {perplexity!r}")
    return Plan(int(dims), float(perplexity), BYTES if most_bytes is None else most_bytes)


@dataclass
class Track:
    """What is under way of one embedding.

    Attributes:
        number: Tells it from the others of the run.
        book: Takes the results.
        plan: How it is laid out.
        waiting: The vectors that are next, the oldest first; where there are too many, the latest wins.
        unplaced: Step of the vectors that the worker has, and has not laid out by t-SNE.
        turns: Vectors that were taken since a t-SNE was last made.
        fits: How many t-SNEs were begun.
        notices: Steps, and what is to be said at these.
    """

    number: int
    book: Book
    plan: Plan
    waiting: deque[Job] = field(default_factory=deque)
    unplaced: int | None = None
    turns: int = 0
    fits: int = 0
    notices: list[tuple[int, Omission]] = field(default_factory=list)
    _replaced: int = 0  # Of those that waited, since one was last taken.
    _skipped: dict[Method, int] = field(default_factory=lambda: dict.fromkeys(Method, 0))
    _points: str | None = None  # Digest of those that the book is at.
    _known_to: object = None  # The worker that knows them.
    _has_tsne: bool = True
    _ended: bool = False

    def offer(self, job: Job) -> None:
        """Put vectors behind those that wait, or in the place of the latest of them."""
        size = sum(waiting.vectors.nbytes for waiting in self.waiting) + job.vectors.nbytes
        if self.waiting and (len(self.waiting) == MOST_WAITING or size > MOST_BYTES_WAITING):
            self.waiting.pop()
            self._replaced += 1
        self.waiting.append(job)

    def next(self) -> Job:
        """Return the vectors that have waited longest, which do so no longer."""
        job = self.waiting.popleft()
        self.turns += 1
        for method in (Method.PCA, Method.TSNE):
            self._skipped[method] += self._replaced
        self._replaced = 0
        return job

    def skip(self, *methods: Method) -> None:
        """Count a step whose layouts are left out."""
        for method in methods:
            self._skipped[method] += 1

    def tell(self) -> None:
        """Say what is to be said."""
        while self.notices:
            step, omission = self.notices.pop(0)
            self.book.omit(step, [omission])

    def begin(self, job: Job) -> bool:
        """Take other points where they have changed; whether there is room for more."""
        changed = job.points.digest != self._points
        reason = ""
        if self.book.nbytes >= self.plan.most_bytes:
            reason = f"the budget of {self.plan.most_bytes:,} bytes is used up"
        elif changed and len(self.book.description.sets) == MOST_SETS:
            reason = f"the points have changed {MOST_SETS} times"
        if reason and not self._ended:
            self.give_up(job.step, f"{reason}; nothing is recorded from step {job.step} on")
        if changed and not self._ended:
            if self.unplaced is not None:
                self.skip(Method.TSNE)
            self._points, self._known_to, self.unplaced = job.points.digest, None, None
            self.book.begin(job.step, job.points)
        return not self._ended

    def give_up(self, step: int, reason: str) -> None:
        """Record nothing more, and say why."""
        self._ended = True
        self.book.omit(step, [Omission("layouts", reason)])

    def cut_off(self, limit: float) -> None:
        """Say what was under way when the run was closed and could not wait any longer."""
        step = self.waiting[-1].step if self.waiting else self.unplaced
        if step is not None:
            reason = f"that of step {step} was not ready {limit:g} s after the end, and is left out"
            self.book.omit(step, [Omission("last layout", reason)])

    def questions(self, job: Job, worker: object) -> list[Message]:
        """Return what to ask the worker about a job."""
        introduction = [] if worker is self._known_to else [self._introduction(job.points)]
        self._known_to = worker
        vectors = self._question(Question.VECTORS, {"step": job.step}, {"vectors": job.vectors})
        return [*introduction, vectors, self._question(Question.PROJECTOR)]

    def fit(self) -> Message:
        """Return the question for a t-SNE."""
        return self._question(Question.TSNE)

    def take(self, step: int, question: str, answer: Message, predictions: Float32 | None) -> None:
        """Write what a worker has answered about the vectors of `step`."""
        words = answer.values["words"]
        self.book.omit(step, [Omission(subject, reason) for subject, reason in words.items()])
        if question == Question.POINTS:
            self._has_tsne = "t-SNE" not in words
        elif question == Question.VECTORS:
            self._take_vectors(step, answer, predictions)
        elif question == Question.TSNE:
            self._lay(step, Method.TSNE, answer)

    def _take_vectors(self, step: int, answer: Message, predictions: Float32 | None) -> None:
        self._lay(step, Method.PCA, answer)
        self.book.measure(step, answer.values.get("measures", {}), answer.arrays.get("signature"), predictions)
        if self.unplaced is not None:
            self.skip(Method.TSNE)
        self.unplaced = step if self._has_tsne else None

    def _lay(self, step: int, method: Method, answer: Message) -> None:
        positions = answer.arrays.get("positions")
        if positions is None:
            return
        figures = answer.values["figures"] | {"dropped": self._skipped[method]}
        self._skipped[method] = 0
        self.book.lay(step, method, positions, figures)

    def _introduction(self, points: Points) -> Message:
        labels = points.labels
        arrays: dict[str, npt.NDArray[Any]] = {}
        if points.thumbnails is not None:
            arrays["thumbnails"] = points.thumbnails
        if labels.classes and labels.values is not None:
            arrays["classes"] = labels.values
        values = {
            "dims": self.plan.dims,
            "perplexity": self.plan.perplexity,
            "name": stored_name(self.book.description),
            "labels": labels.texts,
        }
        return self._question(Question.POINTS, values, arrays)

    def _question(
        self,
        kind: Question,
        values: dict[str, object] | None = None,
        arrays: dict[str, npt.NDArray[Any]] | None = None,
    ) -> Message:
        return Message(kind, {"embedding": self.number, **(values or {})}, arrays or {})
