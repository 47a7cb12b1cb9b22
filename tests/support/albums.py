"""Reads back what a probe wrote."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tensorboard.util import tensor_util

from tb_netviz_plugin.schema.codec import decode_metadata
from tb_netviz_plugin.schema.probe import ProbeDescription, decode_probe
from tb_netviz_plugin.schema.tags import Family
from tests.support.watching import events_in

Sheets = dict[int, npt.NDArray[np.uint8]]


@dataclass
class Album:
    """What one probe of a run wrote.

    Attributes:
        description: Its last description.
        inputs: The pictures of its inputs, or None.
        pictures: By tag and step.
        ranges: By tag and step.
        images: By tag of the Images dashboard, the steps.
    """

    description: ProbeDescription
    inputs: npt.NDArray[np.uint8] | None = None
    pictures: dict[str, Sheets] = field(default_factory=dict)
    ranges: dict[str, dict[int, npt.NDArray[np.float32]]] = field(default_factory=dict)
    images: dict[str, list[int]] = field(default_factory=dict)

    @property
    def steps(self) -> list[int]:
        """Steps at which something was recorded."""
        return sorted({step for sheets in self.pictures.values() for step in sheets})

    @property
    def modules(self) -> list[tuple[str, str]]:
        """Names of what was recorded, and what they show."""
        return [(source.module, source.kind) for source in self.description.maps]

    @property
    def reasons(self) -> dict[str, str]:
        """What was left out, and why."""
        return {omission.subject: omission.reason for omission in self.description.omissions}

    def values(self, module: str, step: int, kind: str | None = None) -> npt.NDArray[np.float64]:
        """Return the values that the pictures stand for, [samples, maps, height, width]."""
        (source,) = [one for one in self.description.maps if one.module == module and kind in (None, one.kind)]
        low, high = self.ranges[source.ranges][step][..., :2].astype(np.float64).transpose(2, 0, 1)[..., None, None]
        restored: npt.NDArray[np.float64] = low + (high - low) * self.pictures[source.pictures][step] / 255
        return restored

    def bytes_written(self) -> int:
        """Return the bytes of all pictures and ranges."""
        pictures = sum(array.nbytes for sheets in self.pictures.values() for array in sheets.values())
        return pictures + sum(array.nbytes for sheets in self.ranges.values() for array in sheets.values())


def read_album(folder: Path, name: str = "probe", model: str = "") -> Album:
    """Read what the probe of that name wrote into `folder`."""
    album = Album(ProbeDescription(model, name))
    for event in events_in(folder):
        for value in event.summary.value:
            if value.WhichOneof("value") == "image":
                album.images.setdefault(value.tag, []).append(event.step)
            if value.metadata.plugin_data.plugin_name != "netviz":
                continue
            family = decode_metadata(value.metadata.plugin_data.content).family
            if family == Family.PROBE:
                found = decode_probe(value.tensor.string_val[0])
                album.description = found if (found.model, found.name) == (model, name) else album.description
            elif family == Family.PROBE_INPUTS:
                album.inputs = tensor_util.make_ndarray(value.tensor)
            elif family in (Family.MAPS, Family.MAP_RANGES):
                target = album.pictures if family == Family.MAPS else album.ranges
                target.setdefault(value.tag, {})[event.step] = tensor_util.make_ndarray(value.tensor)
    return album


def assert_shown(found: npt.NDArray[np.float64], expected: npt.NDArray[np.float64]) -> None:
    """Compare pictures with values, map by map, within half of what one grey level stands for."""
    assert found.shape == expected.shape
    spread = expected.max(axis=(2, 3)) - expected.min(axis=(2, 3))
    scale = np.abs(expected).max(axis=(2, 3))
    allowed = (0.5 / 255) * spread * 1.001 + 1e-6 * scale + 1e-12
    assert (np.abs(found - expected).max(axis=(2, 3)) <= allowed).all()
