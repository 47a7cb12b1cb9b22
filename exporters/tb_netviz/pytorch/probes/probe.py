"""A probe: inputs that are run through a model at some steps of its training."""

from __future__ import annotations

import time
import weakref
from dataclasses import dataclass

from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from tb_netviz.events import warn
from tb_netviz.pytorch.hooks import Guard, Hook
from tb_netviz.pytorch.probes.album import Album
from tb_netviz.pytorch.probes.alone import alone
from tb_netviz.pytorch.probes.attribution import Attribution
from tb_netviz.pytorch.probes.capture import Capture, Captured
from tb_netviz.pytorch.probes.inputs import ProbeInputs
from tb_netviz.pytorch.probes.pictures import Sheet
from tb_netviz.pytorch.probes.places import Selection
from tb_netviz.pytorch.probes.sessions import Session
from tb_netviz.pytorch.probes.stopwatch import Stopwatch
from tb_netviz.pytorch.probes.undisturbed import dropped_hooks, undisturbed
from tb_netviz.pytorch.shards import is_spread_over_processes, leads
from tb_netviz.recorder.probing import ProbeSchedule
from tb_netviz_plugin.schema.description import Omission
from tb_netviz_plugin.schema.probe import MapSource

SPREAD = (
    "the model is spread over processes, as by FSDP, and one process can't run it alone; activation maps of such "
    "models are not recorded"
)
_HOOKS = Omission(
    "forward hooks", "those of the model are left out when it is run for the maps; what they change is not seen"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be kept of a model.

    Attributes:
        selection: The modules.
        methods: Of attribution.
        target: The class that is explained, for each sample; None for the predicted one.
        images: Whether TensorBoard's Images dashboard gets grids.
    """

    selection: Selection
    methods: tuple[str, ...] = ()
    target: list[int] | None = None
    images: bool = True


@dataclass(frozen=True, slots=True)
class _Pass:
    """A pass whose maps are on their way to the host."""

    step: int
    found: list[Captured]
    omissions: list[Omission]
    watch: Stopwatch

    @property
    def ready(self) -> bool:
        """Whether writing it would not wait."""
        return all(one.pending.ready for one in self.found) and self.watch.ready


class ActivationMaps:
    """Runs inputs through a model after some of its optimizer's steps, and writes what its modules make of them.

    The training is the same with it as without, bit for bit. Only the first process of a distributed run does it. What
    fails is reported once, and ends it; the training goes on.

    Args:
        model: The model, held weakly.
        session: Its training.
        inputs: The inputs.
        wanted: What is to be kept.
        schedule: When to run them.
        album: Takes what comes of it.
    """

    def __init__(
        self,
        model: nn.Module,
        session: Session,
        inputs: ProbeInputs,
        wanted: Wanted,
        schedule: ProbeSchedule,
        album: Album,
    ) -> None:
        self._model = weakref.ref(model)
        self._session = session
        self._inputs = inputs
        self._wanted = wanted
        self._schedule = schedule
        self._album = album
        self._hooking = Guard("The steps at which activation maps are due", tells=leads())
        self._guard = Guard(f"The activation maps {album.description.name!r}", tells=leads())
        self._attributing = self._guard.part("The attribution")
        self._showing = self._guard.part("The grids in TensorBoard's Images dashboard")
        self._under_way: _Pass | None = None
        self._written = 0
        self._ill: set[str] = set()  # Modules of which a value was not finite.
        self._ended: float | None = None  # When we were through with the last optimizer step.
        self._handle = register_optimizer_step_post_hook(Hook(self._hooking, self._stepped))
        self._attached = True

    @property
    def name(self) -> str:
        """Tells several probes of a run apart."""
        return self._album.description.name

    @property
    def identity(self) -> tuple[str, str]:
        """Names of the model and of the probe."""
        return self._album.description.model, self.name

    @property
    def attached(self) -> bool:
        """Whether it still runs."""
        return self._attached

    def detach(self) -> None:
        """Run it no more, and write what is held. Detaching twice is harmless."""
        if self._attached:
            self._attached = False
            self._handle.remove()
            self._guard.run(self._land)

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
            self._stop(step, Omission("maps", f"no longer recorded, because of {self._guard.last_loss}"))
        self._session.spend(self._guard.take_seconds())
        self._ended = time.perf_counter()

    def _attend(self, step: int) -> None:
        if self._under_way is not None and self._under_way.ready:
            self._land()
        if not self._session.resting and self._under_way is None and self._schedule.due(step):
            self._look(step)
            if self._under_way is not None and self._under_way.ready:
                self._land()

    def _look(self, step: int) -> None:
        model = self._model()
        if model is None:
            return
        if is_spread_over_processes(model):
            raise RuntimeError(SPREAD)
        watch = Stopwatch({tensor.device for tensor in (*model.parameters(), *self._inputs.tensors)})
        capture = Capture(self._wanted.selection, self._inputs.samples)
        if dropped_hooks(model):
            capture.omissions.append(_HOOKS)
        with alone(), undisturbed(model, self._inputs.tensors) as root:
            capture.run(root, self._inputs)
            for method in self._wanted.methods:
                self._attributing.run(self._attribute, root, capture, method)
        watch.stop()
        self._schedule.ran(step)
        self._under_way = _Pass(step, capture.found, capture.omissions, watch)

    def _attribute(self, root: nn.Module, capture: Capture, method: str) -> None:
        explained = Attribution(root, self._inputs, self._wanted.target, capture.output, capture.convolution)
        capture.add(*explained.maps(method))

    def _land(self) -> None:
        """Write the pass that is under way, after waiting for it if need be."""
        under_way, self._under_way = self._under_way, None
        if under_way is None:
            return
        seconds, began = under_way.watch.seconds, time.perf_counter()
        self._write(under_way)
        self._schedule.cost(seconds + time.perf_counter() - began)

    def _write(self, landed: _Pass) -> None:
        step, sources = landed.step, self._album.sources(landed.found)
        sheets = [one.pending.sheet() for one in landed.found]
        sizes = self._album.bytes_of(sources)
        self._schedule.limit(sum(sizes), max(sizes, default=0))
        if not sources:
            self._stop(step, Omission("maps", "no module that was looked at made any"), *landed.omissions)
        elif self._schedule.exhausted:
            self._stop(step, self._used_up(step, sum(sizes)), *landed.omissions)
        else:
            self._album.describe(step, sources, [*landed.omissions, *self._troubles(step, sources, sheets)])
            if self._album.write(step, sources, sheets):
                self._written += 1
                self._schedule.wrote(sum(sizes))
            if self._wanted.images:
                self._showing.run(self._album.show, step, sources, sheets)
            if self._schedule.exhausted:
                self._stop(step, self._used_up(step, sum(sizes)))

    def _troubles(self, step: int, sources: list[MapSource], sheets: list[Sheet]) -> list[Omission]:
        troubles = [Omission(subject, reason) for subject, reason in self._guard.losses]
        for source, sheet in zip(sources, sheets, strict=True):
            if sheet.nonfinite and source.module not in self._ill:
                self._ill.add(source.module)
                troubles.append(
                    Omission(
                        source.module, f"values that are NaN or infinite, first at step {step}, are drawn as the lowest"
                    )
                )
        return troubles

    def _used_up(self, step: int, size: int) -> Omission:
        budget = self._album.description.budget
        if not self._written:
            return Omission("maps", f"one record takes {size:,} bytes, more than the budget of {budget:,}")
        return Omission(
            "maps", f"the budget of {budget:,} bytes is used up after {self._written} records, the last at step {step}"
        )

    def _stop(self, step: int, *omissions: Omission) -> None:
        """Run it no more, and say why, here and in the tab."""
        self._attached = False
        self._handle.remove()
        self._hooking.run(self._album.describe, step, (), omissions)
        if self._guard.on and leads():
            warn(f"the activation maps {self.name!r}: {omissions[0].reason}. Training goes on.", stacklevel=2)
