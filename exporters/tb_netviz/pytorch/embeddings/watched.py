"""Inputs whose places in the space of a module are followed through the training."""

from __future__ import annotations

import time
import weakref
from dataclasses import dataclass, replace

import numpy as np
from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from tb_netviz.embedding.embeddings import Embeddings
from tb_netviz.embedding.labels import Given, label
from tb_netviz.embedding.points import Points
from tb_netviz.embedding.track import Job, Plan, Track
from tb_netviz.events import warn
from tb_netviz.pytorch.embeddings.inputs import ManyInputs
from tb_netviz.pytorch.embeddings.vectors import Outcome, run
from tb_netviz.pytorch.hooks import Guard, Hook
from tb_netviz.pytorch.probes.alone import alone
from tb_netviz.pytorch.probes.sessions import Session
from tb_netviz.pytorch.probes.stopwatch import Stopwatch
from tb_netviz.pytorch.probes.undisturbed import undisturbed
from tb_netviz.pytorch.shards import is_spread_over_processes, leads
from tb_netviz.recorder.probing import ProbeSchedule
from tb_netviz_plugin.schema.description import Omission
from tb_netviz_plugin.schema.embedding import Labels

SPREAD = (
    "the model is spread over processes, as by FSDP, and one process can't run it alone; embeddings of such models are "
    "not recorded"
)
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


@dataclass(frozen=True, slots=True)
class _Pass:
    """A pass whose vectors are on their way to the host."""

    step: int
    outcome: Outcome
    watch: Stopwatch

    @property
    def ready(self) -> bool:
        """Whether handing it over would not wait."""
        return self.outcome.ready and self.watch.ready


class WatchedEmbedding:
    """Runs inputs through a model after some of its optimizer's steps, and has what a module makes of them laid out.

    The training is the same with it as without, bit for bit. Only the first process of a distributed run does it. What
    fails is reported once, and ends it; the training goes on.

    Args:
        model: The model, held weakly.
        session: Its training.
        wanted: What is followed.
        schedule: When the inputs are run.
        embeddings: Has the vectors laid out.
        track: Of this embedding.
    """

    def __init__(
        self,
        model: nn.Module,
        session: Session,
        wanted: Wanted,
        schedule: ProbeSchedule,
        embeddings: Embeddings,
        track: Track,
    ) -> None:
        self._model = weakref.ref(model)
        self._session = session
        self._wanted = wanted
        self._schedule = schedule
        self._embeddings = embeddings
        self._track = track
        self._points: Points | None = None  # Once it is known what the model tells apart.
        self._hooking = Guard("The steps at which embeddings are due", tells=leads())
        self._guard = Guard(f"The embedding {self.name!r}", tells=leads())
        self._under_way: _Pass | None = None
        self._ended: float | None = None  # When we were through with the last optimizer step.
        self._paused = False
        self._handle = register_optimizer_step_post_hook(Hook(self._hooking, self._stepped))
        self._attached = True

    @property
    def name(self) -> str:
        """Tells several embeddings of a model apart."""
        return self._track.book.description.name

    @property
    def identity(self) -> tuple[str, str]:
        """Names of the model and of the embedding."""
        return self._track.book.description.model, self.name

    @property
    def attached(self) -> bool:
        """Whether it still runs."""
        return self._attached

    def pause(self) -> None:
        """Run nothing until `resume`; what is under way is laid out."""
        self._paused = True

    def resume(self) -> None:
        """Go on."""
        self._paused = False
        self._ended = None

    def detach(self) -> None:
        """Run it no more, and hand over what is held. Detaching twice is harmless."""
        if self._attached:
            self._take_off()
            self._guard.run(self._land)

    def refuse(self, reason: str) -> None:
        """Never run it, and say why in the tab."""
        self._take_off()
        self._say(0, Omission("layouts", reason))

    def _stepped(self, optimizer: Optimizer, _arguments: object, _keywords: object) -> None:
        if self._session.over or not leads():
            self.detach()
            return
        step = self._session.step_of(optimizer)
        if step is None:
            return
        if self._ended is not None:
            self._schedule.trained(time.perf_counter() - self._ended)
        if not self._guard.run(self._attend, step):
            self._stop(step, Omission("layouts", f"no longer recorded, because of {self._guard.last_loss}"))
        self._session.spend(self._guard.take_seconds() + self._embeddings.take_seconds())
        self._ended = time.perf_counter()

    def _attend(self, step: int) -> None:
        if self._under_way is not None and self._under_way.ready:
            self._land()
        resting = self._paused or self._session.resting
        if self._attached and not resting and self._under_way is None and self._schedule.due(step):
            self._look(step)
            if self._under_way is not None and self._under_way.ready:
                self._land()

    def _look(self, step: int) -> None:
        model = self._model()
        if model is None:
            return
        if is_spread_over_processes(model):
            raise RuntimeError(SPREAD)
        tensors = self._wanted.inputs.tensors
        watch = Stopwatch({tensor.device for tensor in (*model.parameters(), *tensors)})
        with alone(), undisturbed(model, tensors) as root:
            outcome = run(root, self._wanted.module, self._wanted.inputs)
        watch.stop()
        self._schedule.ran(step)
        self._under_way = _Pass(step, outcome, watch)

    def _land(self) -> None:
        """Hand over the pass that is under way, after waiting for it if need be."""
        under_way, self._under_way = self._under_way, None
        if under_way is None:
            return
        seconds, began = under_way.watch.seconds, time.perf_counter()
        self._hand_over(under_way.step, under_way.outcome)
        self._schedule.cost(seconds + time.perf_counter() - began)

    def _hand_over(self, step: int, outcome: Outcome) -> None:
        if self._points is None:
            self._points = _named(self._wanted, outcome)
        predictions = None
        if outcome.predictions is not None and _tells_apart(self._points, self._wanted, outcome):
            predictions = np.array(outcome.predictions.array(), np.float32)
        size = _bytes_of_record(self._wanted, predictions=predictions is not None)
        self._schedule.limit(size, 1)
        if not self._schedule.exhausted:
            vectors = np.array(outcome.vectors.array(), np.float32)
            self._embeddings.submit(self._track, Job(step, vectors, self._points, predictions))
            self._schedule.wrote(size)
        if self._schedule.exhausted:
            budget = self._wanted.plan.most_bytes
            self._stop(step, Omission("layouts", f"the budget of {budget:,} bytes is used up at step {step}"))

    def _stop(self, step: int, omission: Omission) -> None:
        """Run it no more, and say why, here and in the tab."""
        self._take_off()
        self._say(step, omission)
        if self._guard.on and leads():
            warn(f"the embedding {self.name!r}: {omission.reason}. Training goes on.", stacklevel=2)

    def _say(self, step: int, omission: Omission) -> None:
        if leads():
            self._hooking.run(self._embeddings.omit, self._track, step, omission)

    def _take_off(self) -> None:
        self._attached = False
        self._handle.remove()


def _named(wanted: Wanted, outcome: Outcome) -> Points:
    """Return the points with a name for every class that the model tells apart, where labels are indices of these."""
    points = replace(wanted.points, labels=label(wanted.labels, wanted.classes, outputs=outcome.outputs))
    if points.labels.classes and outcome.outputs is not None and not _tells_apart(points, wanted, outcome):
        reason = (
            f"the model tells {outcome.outputs} classes apart, and the labels don't say which output stands for which; "
            "give them as indices of the outputs, with their names as classes=[…]"
        )
        return replace(points, omissions=(*points.omissions, Omission("predictions", reason)))
    return points


def _tells_apart(points: Points, wanted: Wanted, outcome: Outcome) -> bool:
    """Whether the outputs of the model are the classes of the labels, by their index."""
    if points.labels.kind is not Labels.CLASSES or len(points.labels.classes) != outcome.outputs:
        return False
    return wanted.classes is not None or all(key == index for key, index in points.labels.indices.items())


def _bytes_of_record(wanted: Wanted, *, predictions: bool) -> int:
    """Return about how many bytes the layouts of one step take, with what belongs to them."""
    points = wanted.points.count
    return 2 * points * wanted.plan.dims * 2 + 4 * points * predictions + SIGNATURE_BYTES
