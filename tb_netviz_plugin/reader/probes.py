"""The probes of a run: what they say of themselves, and the pictures that they left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tb_netviz_plugin.errors import NotFoundError, UnreadableError
from tb_netviz_plugin.reader.run import Run, message_in
from tb_netviz_plugin.reader.tensors import by_step
from tb_netviz_plugin.schema.migrations import UnreadableSchemaError
from tb_netviz_plugin.schema.probe import MapSource, ProbeDescription, decode_probe
from tb_netviz_plugin.schema.tags import Family

Pictures = npt.NDArray[np.uint8]
Ranges = npt.NDArray[np.float32]

_BYTES_PER_MAP_SOURCE = 1000


@dataclass(frozen=True, slots=True)
class Sheet:
    """The maps of one module at one step.

    Attributes:
        pictures: [samples, maps, height, width].
        ranges: Values that 0 and 255 stand for, [samples, maps, 2].
        nonfinite: How many values of each map are not finite; NaN where the writer did not say, [samples, maps].
    """

    pictures: Pictures
    ranges: Ranges
    nonfinite: Ranges


class Probe:
    """One probe of a run.

    Args:
        run: The run.
        description: What it says of itself.
        name: Tells it from the other probes of the run.
    """

    def __init__(self, run: Run, description: ProbeDescription, name: str) -> None:
        self.description = description
        self.name = name
        self._run = run

    @cached_property
    def steps(self) -> list[int]:
        """Steps at which some of its maps were recorded, increasing."""
        found = set().union(*(self._ranges(source) for source in self.description.maps))
        return sorted(found)

    @cached_property
    def samples(self) -> int:
        """How many inputs it has."""
        arrays = [ranges for source in self.description.maps for ranges in self._ranges(source).values()]
        return len(arrays[0]) if arrays else len(self.description.labels)

    @property
    def nbytes(self) -> int:
        """Bytes of all maps that were recorded."""
        return sum(
            len(ranges) * source.maps * source.height * source.width + ranges.nbytes
            for source in self.description.maps
            for ranges in self._ranges(source).values()
        )

    @property
    def inputs(self) -> Pictures | None:
        """Its inputs as pictures, [samples, height, width, 1 or 3]; None where they are none."""
        found = [stamped.array for stamped in by_step(self._run, self.description.inputs).values()]
        pictures = [array for array in found if array.ndim == 4 and array.shape[3] in (1, 3)]
        return pictures[-1] if pictures and pictures[-1].dtype == np.uint8 else None

    def sheet(self, source: MapSource, step: int) -> Sheet:
        """Return the maps of a module at a step.

        Raises:
            NotFoundError: If there are none at that step.
            UnreadableError: If they are damaged.
        """
        ranges, stamped = self._ranges(source).get(step), by_step(self._run, source.pictures).get(step)
        if ranges is None or stamped is None:
            raise NotFoundError(f"no maps of this module were recorded at step {step}")
        pictures = stamped.array
        if pictures.dtype != np.uint8 or pictures.shape != (*ranges.shape[:2], source.height, source.width):
            raise UnreadableError("the maps of this module are damaged")
        counts = ranges[..., 2] if ranges.shape[2] > 2 else np.full(ranges.shape[:2], np.nan, np.float32)
        return Sheet(pictures, ranges[..., :2], counts)

    def _ranges(self, source: MapSource) -> Mapping[int, Ranges]:
        found = {step: stamped.array for step, stamped in by_step(self._run, source.ranges).items()}
        shapes = ((source.maps, 2), (source.maps, 3))  # Earlier writers did not count what is not finite.
        return {step: ranges for step, ranges in found.items() if ranges.shape[1:] in shapes}


def probes_of(run: Run) -> list[Probe]:
    """Return the probes of a run by name; where it has several models, with the model's name and a slash before it.

    Raises:
        UnreadableError: If the run is of a newer version, or what it says of itself is damaged.
    """
    _ = run.network  # A run that can't be read says so here too.
    tags = run._tags(Family.PROBE)
    found: dict[tuple[str, str], ProbeDescription] = run._remember(
        "probes", tags, lambda: _read(run, tags), lambda read: sum(map(_size, read.values()))
    )
    several = len({model for model, _ in found}) > 1
    probes = [Probe(run, one, f"{model}/{name}" if several else name) for (model, name), one in found.items()]
    return sorted(probes, key=lambda probe: probe.name)


def probe_of(run: Run, name: str) -> Probe:
    """Return the probe of that name.

    Raises:
        NotFoundError: If there is none.
    """
    found = [probe for probe in probes_of(run) if probe.name == name]
    if not found:
        raise NotFoundError("the run has no probe of this name")
    return found[0]


def _read(run: Run, tags: list[str]) -> dict[tuple[str, str], ProbeDescription]:
    """Return by model and name what each probe said last."""
    said: list[tuple[float, ProbeDescription]] = []
    try:
        for name in tags:
            latest = run._source.tensors(run.name, name)[-1:]
            said += [(datum.wall_time, decode_probe(message_in(datum.numpy))) for datum in latest]
    except UnreadableSchemaError as error:
        raise UnreadableError(str(error)) from error
    return {(one.model, one.name): one for _, one in sorted(said, key=lambda pair: pair[0])}


def _size(description: ProbeDescription) -> int:
    return _BYTES_PER_MAP_SOURCE * (1 + len(description.maps))
