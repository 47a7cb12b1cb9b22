"""A probe that keeps pictures of what modules make of its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from tb_netviz.pytorch.probes.album import Album
from tb_netviz.pytorch.probes.attribution import Attribution
from tb_netviz.pytorch.probes.capture import Capture
from tb_netviz.pytorch.probes.inputs import ProbeInputs
from tb_netviz.pytorch.probes.look import Look
from tb_netviz.pytorch.probes.pictures import Sheet
from tb_netviz.pytorch.probes.places import Selection
from tb_netviz.pytorch.probes.probe import Kind, Probe
from tb_netviz.pytorch.probes.rounds import Rounds
from tb_netviz.pytorch.probes.undisturbed import dropped_hooks
from tb_netviz.recorder.probing import ProbeSchedule
from tb_netviz_plugin.schema.description import Omission
from tb_netviz_plugin.schema.probe import MapSource

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


class ActivationMaps(Probe[Capture]):
    """Runs inputs through a model after some of its optimizer's steps, and writes what its modules make of them.

    Args:
        model: The model, held weakly.
        rounds: The probes of its training.
        inputs: The inputs.
        wanted: What is to be kept.
        schedule: When to run them.
        album: Takes what comes of it.
    """

    kind = Kind("activation maps", "activation maps", "maps")

    def __init__(
        self,
        model: nn.Module,
        rounds: Rounds,
        inputs: ProbeInputs,
        wanted: Wanted,
        schedule: ProbeSchedule,
        album: Album,
    ) -> None:
        super().__init__(model, rounds, schedule, (album.description.model, album.description.name))
        self._inputs = inputs
        self._wanted = wanted
        self._album = album
        self._attributing = self._guard.part("The attribution")
        self._showing = self._guard.part("The grids in TensorBoard's Images dashboard")
        self._written = 0
        self._ill: set[str] = set()  # Modules of which a value was not finite.

    def _look(self, model: nn.Module, sharers: Sequence[Probe[Any]]) -> Look[Capture]:
        omissions = [_HOOKS] if dropped_hooks(model) else []
        return Look(model, self._inputs.tensors, lambda root: self._capture(root, omissions), len(sharers))

    def _capture(self, root: nn.Module, omissions: list[Omission]) -> Capture:
        capture = Capture(self._wanted.selection, self._inputs.samples)
        capture.omissions += omissions
        capture.run(root, self._inputs)
        for method in self._wanted.methods:
            self._attributing.run(self._attribute, root, capture, method)
        capture.let_go()
        return capture

    def _attribute(self, root: nn.Module, capture: Capture, method: str) -> None:
        explained = Attribution(root, self._inputs, self._wanted.target, capture.output, capture.convolution)
        capture.add(*explained.maps(method))

    def _write(self, step: int, seen: Capture) -> None:
        sources = self._album.sources(seen.found)
        sheets = [one.pending.sheet() for one in seen.found]
        sizes = self._album.bytes_of(sources)
        self.schedule.limit(sum(sizes), max(sizes, default=0))
        if not sources:
            self._stop(step, Omission("maps", "no module that was looked at made any"), *seen.omissions)
        elif self.schedule.exhausted:
            self._stop(step, self._used_up(step, sum(sizes)), *seen.omissions)
        else:
            self._album.describe(step, sources, [*seen.omissions, *self._troubles(step, sources, sheets)])
            if self._album.write(step, sources, sheets):
                self._written += 1
                self.schedule.wrote(sum(sizes))
            if self._wanted.images:
                self._showing.run(self._album.show, step, sources, sheets)
            if self.schedule.exhausted:
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

    def _omit(self, step: int, omissions: Sequence[Omission]) -> None:
        self._album.describe(step, (), omissions)
