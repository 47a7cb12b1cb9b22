"""Writes what a probe saw: its description, its maps, and grids for TensorBoard's own Images dashboard."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

from tb_netviz.events import Sink
from tb_netviz.pytorch.probes import grids
from tb_netviz.pytorch.probes.capture import Captured
from tb_netviz.pytorch.probes.inputs import ProbeInputs
from tb_netviz.pytorch.probes.pictures import Sheet
from tb_netviz_plugin.schema.codec import tensor_value
from tb_netviz_plugin.schema.description import Omission
from tb_netviz_plugin.schema.probe import MapSource, ProbeDescription, map_source, probe_value
from tb_netviz_plugin.schema.tags import Family, tag


class Album:
    """What is written of one probe.

    Args:
        sink: Takes the events.
        model: Name of the model.
        name: Name of the probe.
        inputs: Its inputs.
        labels: One for each, or none.
        budget: Bytes that the maps may take.
        clock: Gives the wall time.
    """

    def __init__(
        self,
        sink: Sink,
        model: str,
        name: str,
        inputs: ProbeInputs,
        labels: Sequence[str],
        budget: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sink = sink
        self._clock = clock
        self._inputs = inputs
        self._samples = inputs.samples
        self._identity = (model, name, inputs.digest)
        self._pictures = inputs.pictures()
        self._told: ProbeDescription | None = None
        self._next_grids = 0
        self.description = ProbeDescription(
            model,
            name,
            inputs.kind,
            tuple(labels),
            "" if self._pictures is None else tag(Family.PROBE_INPUTS, *self._identity),
            budget=budget,
        )

    def sources(self, found: Iterable[Captured]) -> list[MapSource]:
        """Return where the maps of each module are kept."""
        return [map_source(self._identity, one.module, one.kind, one.shape, self._samples) for one in found]

    def bytes_of(self, sources: Iterable[MapSource]) -> list[int]:
        """Return the bytes of one record of each."""
        return [source.nbytes(self._samples) for source in sources]

    def describe(self, step: int, sources: Sequence[MapSource], omissions: Iterable[Omission]) -> None:
        """Say what there is, where that has changed. Maps that were there before stay."""
        kept = {source.pictures: source for source in (*self.description.maps, *sources)}
        said = dict.fromkeys((*self.description.omissions, *omissions))
        self.description = dataclasses.replace(self.description, maps=tuple(kept.values()), omissions=tuple(said))
        if self.description == self._told:
            return
        event = self._event(step)
        event.summary.value.append(probe_value(self.description))
        if self._told is None and self._pictures is not None:
            event.summary.value.append(tensor_value(self.description.inputs, Family.PROBE_INPUTS, self._pictures))
        if self._sink.offer(event):
            self._told = self.description

    def write(self, step: int, sources: Sequence[MapSource], sheets: Sequence[Sheet]) -> bool:
        """Write the maps of a step; whether there was room for them."""
        event = self._event(step)
        for source, sheet in zip(sources, sheets, strict=True):
            event.summary.value.append(tensor_value(source.pictures, Family.MAPS, sheet.pictures))
            event.summary.value.append(tensor_value(source.ranges, Family.MAP_RANGES, sheet.ranges))
        return self._sink.offer(event)

    def show(self, step: int, sources: Sequence[MapSource], sheets: Sequence[Sheet]) -> None:
        """Write a grid of each module's maps of the first sample, once for each doubling of the step count."""
        if 0 < step < self._next_grids:
            return
        self._next_grids = max(step + 1, 2 * step)
        summary = Summary()
        for source, sheet in zip(sources, sheets, strict=True):
            parts = (self.description.model, self.description.name, source.module, source.kind)
            summary.MergeFrom(grids.summary("/".join(part for part in parts if part), sheet.pictures[0]))
        self._sink.offer(Event(wall_time=self._clock(), step=step, summary=summary))

    def _event(self, step: int) -> Event:
        return Event(wall_time=self._clock(), step=step)
