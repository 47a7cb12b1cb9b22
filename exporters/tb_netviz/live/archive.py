"""What a run has recorded so far, in a bounded memory, as the rules read it."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

from tb_netviz.tensors import array_of
from tb_netviz_plugin.analysis.network import Network, unite
from tb_netviz_plugin.analysis.recorded import DIMENSIONS, Metric, RecordedRun, in_order
from tb_netviz_plugin.analysis.records import Records, stack
from tb_netviz_plugin.schema.codec import decode_description, decode_metadata
from tb_netviz_plugin.schema.description import RunDescription
from tb_netviz_plugin.schema.tags import Family, parse

MOST_BYTES = 64 << 20
"""Memory that the records may take; beyond it older ones are thinned out."""

_OVERHEAD = 256
"""Bytes that a record takes beside its numbers."""
_UNREAD = (Family.BINS, Family.ACTIVATION_BINS)
"""What no rule asks for."""
_TOGETHER = (
    (Family.PARAMETERS, Family.ACTIVATIONS, Family.OUTPUTS, Family.STEPS),
    (Family.UNITS, Family.UNIT_STEPS),
    (Family.METRIC,),
)
"""What is thinned out together: records of one step belong together."""


@dataclass
class _Series:
    """The records of one tag, the oldest first."""

    family: Family
    metric: str = ""
    role: str = ""
    steps: list[int] = field(default_factory=list)
    walls: list[float] = field(default_factory=list)
    tensors: list[npt.NDArray[np.generic]] = field(default_factory=list)

    def add(self, step: int, wall: float, tensor: npt.NDArray[np.generic]) -> None:
        self.steps.append(step)
        self.walls.append(wall)
        self.tensors.append(tensor)

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes + _OVERHEAD for tensor in self.tensors)

    def drop(self, steps: AbstractSet[int]) -> None:
        """Let go of the records of these steps."""
        kept = [index for index, step in enumerate(self.steps) if step not in steps]
        self.steps[:] = [self.steps[index] for index in kept]
        self.walls[:] = [self.walls[index] for index in kept]
        self.tensors[:] = [self.tensors[index] for index in kept]


class Archive:
    """Takes the events of a run, and gives the run as it is at a moment."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._descriptions: list[RunDescription] = []
        self._series: dict[str, _Series] = {}
        self._nbytes = 0

    @property
    def records(self) -> int:
        """How many records the longest of the series of steps has."""
        return max((len(one.steps) for one in self._series.values() if one.family is Family.STEPS), default=0)

    @property
    def nbytes(self) -> int:
        """Memory that the records take."""
        return self._nbytes

    def take(self, event: Event) -> None:
        """Take the values of an event."""
        for value in event.summary.value:
            self._take(value, event.step, event.wall_time)
        if self._nbytes > self._most_bytes:
            self._thin()

    def run(self) -> LiveRun:
        """Return the run as it is now."""
        return LiveRun(self._descriptions, self._series)

    def _take(self, value: Summary.Value, step: int, wall: float) -> None:
        _, name = parse(value.tag) or (0, "")
        if name == Family.DESCRIPTION:
            self._descriptions.append(decode_description(value.tensor.string_val[0]))
        elif name in DIMENSIONS and name not in _UNREAD:
            series = self._series.get(value.tag)
            if series is None:
                about = decode_metadata(value.metadata.plugin_data.content)
                series = self._series[value.tag] = _Series(Family(name), about.metric, about.role)
            tensor = array_of(value.tensor)
            series.add(step, wall, tensor)
            self._nbytes += tensor.nbytes + _OVERHEAD

    def _thin(self) -> None:
        """Let go of every second record of the older half of what takes most."""
        groups = [[one for one in self._series.values() if one.family in families] for families in _TOGETHER]
        group = max(groups, key=lambda series: sum(one.nbytes for one in series))
        steps = sorted({step for one in group for step in one.steps})
        dropped = set(steps[1 : len(steps) // 2 : 2])
        for one in group:
            one.drop(dropped)
        self._nbytes = sum(one.nbytes for one in self._series.values())


class LiveRun(RecordedRun):
    """A run in training, at one moment.

    Args:
        descriptions: Of its models, the oldest first.
        series: Its records, by tag.
    """

    def __init__(self, descriptions: Iterable[RunDescription], series: dict[str, _Series]) -> None:
        self._descriptions = tuple(descriptions)
        self._series = series

    @cached_property
    def network(self) -> Network:
        """Its layers and parameters."""
        return unite(self._descriptions)

    @cached_property
    def metrics(self) -> list[Metric]:
        """The scalars that the user logs."""
        return in_order(
            Metric(one.metric, one.role, self.records(name, Family.METRIC))
            for name, one in self._series.items()
            if one.family is Family.METRIC
        )

    def records(self, name: str, family: Family) -> Records:
        """Return the records of one tag; none if there is no such tag."""
        series = self._series.get(name)
        if series is None:
            return stack((), (), (), DIMENSIONS[family])
        return stack(series.steps, series.walls, series.tensors, DIMENSIONS[family])
