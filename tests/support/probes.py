"""Writes a synthetic run with a probe, to develop its view with: `python -m tests.support.probes LOGDIR`.

Pictures are quantised here from float64 values by their definition in docs/wire-format.md; no code is the exporter's.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tb_netviz_plugin.schema.codec import tensor_value
from tb_netviz_plugin.schema.description import Omission
from tb_netviz_plugin.schema.probe import MapKind, MapSource, ProbeDescription, map_source, probe_value
from tb_netviz_plugin.schema.tags import Family, tag
from tests.support.runs import RunFile, dense_layers, describe, observe, random_gradients

Values = npt.NDArray[np.float64]
LABELS = ("three", "five", "eight", "nine")


@dataclass(frozen=True, slots=True)
class Maps:
    """The maps of one module at one step: their source, and their values [samples, maps, height, width]."""

    source: MapSource
    values: Values


def quantise(values: Values) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Return pictures [samples, maps, height, width] and ranges [samples, maps, 3], by docs/wire-format.md."""
    finite = np.isfinite(values)
    some = finite.any(axis=(2, 3))
    low = np.where(some, np.where(finite, values, np.inf).min(axis=(2, 3)), np.nan)
    high = np.where(some, np.where(finite, values, -np.inf).max(axis=(2, 3)), np.nan)
    spread = np.where(high > low, high - low, 1.0)
    shares = (np.where(finite, values, low[..., None, None]) - low[..., None, None]) / spread[..., None, None]
    pictures = np.rint(255 * np.nan_to_num(shares)).astype(np.uint8)
    return pictures, np.stack([low, high, (~finite).sum(axis=(2, 3))], axis=-1).astype(np.float32)


def probe(
    sources: Sequence[MapSource],
    *,
    name: str = "probe",
    model: str = "",
    labels: Sequence[str] = LABELS,
    **changes: object,
) -> ProbeDescription:
    """Return the description of a probe of images."""
    inputs = tag(Family.PROBE_INPUTS, model, name)
    description = ProbeDescription(model, name, "images", tuple(labels), inputs, tuple(sources), budget=64 << 20)
    return replace(description, **changes)  # type: ignore[arg-type]  # Whatever a test wants to have otherwise.


def source(
    module: str,
    kind: MapKind,
    maps: int,
    height: int,
    width: int,
    *,
    model: str = "",
    name: str = "probe",
    samples: int = 4,
) -> MapSource:
    """Return where maps of a module are kept."""
    return map_source((model, name), module, kind, (maps, height, width), samples)


def write_probe(file: RunFile, step: int, description: ProbeDescription, inputs: npt.NDArray[np.uint8] | None) -> None:
    """Write a description, and the pictures of the inputs if there are any."""
    values = [probe_value(description)]
    if inputs is not None:
        values.append(tensor_value(description.inputs, Family.PROBE_INPUTS, inputs))
    file.values(step, values)


def write_maps(file: RunFile, step: int, maps: Sequence[Maps]) -> None:
    """Write one record of a probe."""
    values = []
    for one in maps:
        pictures, ranges = quantise(one.values)
        values.append(tensor_value(one.source.pictures, Family.MAPS, pictures))
        values.append(tensor_value(one.source.ranges, Family.MAP_RANGES, ranges))
    file.values(step, values)


def digits(samples: int = 4, side: int = 32) -> npt.NDArray[np.uint8]:
    """Return pictures [samples, side, side, 1] of rings and strokes."""
    y, x = np.mgrid[0:side, 0:side] / side - 0.5
    pictures = []
    for sample in range(samples):
        ring = np.exp(-(((np.hypot(x, 1.3 * y) - 0.18 - 0.05 * sample) / 0.06) ** 2))
        stroke = np.exp(-(((x * np.cos(sample) + y * np.sin(sample)) / 0.05) ** 2)) * (np.abs(y) < 0.4)
        pictures.append(np.clip(ring + 0.6 * stroke, 0, 1))
    drawn: npt.NDArray[np.uint8] = np.rint(255 * np.stack(pictures)).astype(np.uint8)[..., None]
    return drawn


def feature_maps(inputs: npt.NDArray[np.uint8], source: MapSource, progress: float, seed: int) -> Values:
    """Return what looks like a convolution that learns: noise at first, edges and blobs of the input later."""
    rng = np.random.default_rng(seed)
    reduced = _resized(inputs[..., 0] / 255.0, source.height, source.width)
    grown = np.gradient(reduced, axis=(1, 2))
    weights = rng.standard_normal((source.maps, 3)) * np.geomspace(2.0, 0.02, source.maps)[:, None]
    learnt = np.einsum("ck,knhw->nchw", weights, np.stack([reduced, *grown]))
    noise = rng.standard_normal((len(inputs), source.maps, source.height, source.width))
    values: Values = progress * learnt + (1 - progress) * 0.1 * noise
    values[:, 3] = 0.0  # A channel that is constant.
    return values


def attention(samples: int, source: MapSource, progress: float, seed: int) -> Values:
    """Return shares that add up to one in every row: even at first, sharper and along other diagonals by head later."""
    rng = np.random.default_rng(seed)
    query, key = np.mgrid[0 : source.height, 0 : source.width]
    offsets = np.arange(source.maps)[:, None, None] - source.maps // 2
    scores = -np.abs(query - key + 3 * offsets)[None] * progress * 2
    scores = scores + 0.3 * rng.standard_normal((samples, source.maps, source.height, source.width))
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights: Values = shares / shares.sum(axis=-1, keepdims=True)
    return weights


def hidden(samples: int, source: MapSource, progress: float, seed: int) -> Values:
    """Return a state that oscillates in time, by unit."""
    rng = np.random.default_rng(seed)
    time = np.arange(source.width) / source.width
    speed = rng.uniform(0, 12, (samples, source.maps, source.height, 1))
    states: Values = np.tanh(np.sin(speed * time + speed) * (0.3 + progress))
    return states


def _resized(pictures: Values, height: int, width: int) -> Values:
    rows = np.arange(height) * pictures.shape[1] // height
    columns = np.arange(width) * pictures.shape[2] // width
    resized: Values = pictures[:, rows][:, :, columns]
    return resized


def write_probed_run(log_dir: Path, *, layers: int = 20, channels: int = 64, steps: int = 50, every: int = 20) -> None:
    """Write a run with a probe of convolutions, of an attention layer and of a recurrent one.

    Args:
        log_dir: Folder of the run.
        layers: Convolutions.
        channels: Of each.
        steps: Records of the probe.
        every: Training steps between them.
    """
    sides = [32 if layer < layers // 2 else 16 for layer in range(layers)]
    convolutions = [
        source(f"blocks.{layer}.conv", MapKind.FEATURE_MAP, channels, side, side) for layer, side in enumerate(sides)
    ]
    heads = source("encoder.self_attn", MapKind.ATTENTION, 8, 32, 32)
    states = source("lstm", MapKind.HIDDEN, 1, 64, 28)
    omission = Omission("lstm", "its 128 units are averaged down to 64")
    description = probe([*convolutions, heads, states], omissions=(omission,), budget=256 << 20)
    inputs = digits()
    network = describe(dense_layers(3))
    rng = np.random.default_rng(0)
    weights = random_gradients(network, rng)
    with RunFile(log_dir) as file:
        file.describe(network)
        write_probe(file, 0, description, inputs)
        for number in range(steps):
            step, progress = number * every, number / max(steps - 1, 1)
            gradients = random_gradients(network, rng, 0.1)
            file.record(network, step, observe(gradients, weights, gradients))
            file.metric("loss/train", step, 2.3 * np.exp(-3 * progress), role="train_loss")
            maps = [Maps(one, feature_maps(inputs, one, progress, seed)) for seed, one in enumerate(convolutions)]
            maps.append(Maps(heads, attention(len(inputs), heads, progress, number)))
            maps.append(Maps(states, hidden(len(inputs), states, progress, 7)))
            write_maps(file, step, maps)


if __name__ == "__main__":
    write_probed_run(Path(sys.argv[1]) / "probed")
    write_probed_run(Path(sys.argv[1]) / "probed small", layers=3, channels=8, steps=20, every=50)
