"""Runs of modelled outputs, whose units die, revive and saturate at known steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tb_netviz_plugin.schema import bins
from tb_netviz_plugin.schema.columns import ACTIVATION_COLUMNS
from tb_netviz_plugin.schema.description import Activation, Response, RunDescription
from tests.support.outputs import absent_output, absent_units, output_row, unit_rows
from tests.support.runs import UNIT_NAMES, Array, RunFile, count_bins, describe, fold, observe

FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "ReLU": lambda x: np.maximum(x, 0),
    "relu": lambda x: np.maximum(x, 0),
    "ReLU6": lambda x: np.clip(x, 0, 6),
    "GELU": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "LeakyReLU": lambda x: np.where(x > 0, x, 0.01 * x),
    "Tanh": np.tanh,
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "Linear": lambda x: x,
}
RESPONSES: dict[str, Response] = {
    "ReLU": Response.RECTIFIER,
    "relu": Response.RECTIFIER,
    "ReLU6": Response.RECTIFIER,
    "GELU": Response.SMOOTH,
    "LeakyReLU": Response.SMOOTH,
    "Tanh": Response.BOUNDED,
    "Sigmoid": Response.BOUNDED,
}
OFF, RARE, HIGH = -9.0, -2.6, 12.0
"""Offsets, in deviations of its input, at which a unit never fires, rarely fires, or stands at its upper end."""
Change = tuple[int, float]


@dataclass(frozen=True, slots=True)
class Modelled:
    """A layer with the function behind it.

    Attributes:
        layer: Name of the module that has the weights.
        kind: Type of the activation, or the function.
        units: Number of units.
        places: Values of a unit in one sample: 1 for features.
        at: Name of the module of the activation, or of that in which the function is called.
        place: Where a function is called.
        changes: By unit, from which steps on its input has which offset.
        runs: Steps from and up to which it runs.
        twins: By unit, one more than the index of the unit that it equals, negative where it is the opposite; None
            where weights are not compared.
    """

    layer: str
    kind: str = "ReLU"
    units: int = 32
    places: int = 1
    at: str = ""
    place: str = ""
    changes: Mapping[int, Sequence[Change]] = field(default_factory=dict)
    runs: tuple[int, int] = (0, 1 << 40)
    twins: Mapping[int, int] | None = field(default_factory=dict)

    @property
    def module(self) -> str:
        """Name of the activation's module."""
        return self.at or (self.layer if self.kind == "Linear" else f"{self.layer}.act")

    def offsets(self, step: int, healthy: Array) -> Array:
        """Return the offset of each unit's input at `step`, [units]."""
        offsets = healthy.copy()
        for unit, changes in self.changes.items():
            for since, offset in changes:
                offsets[unit] = offset if step >= since else offsets[unit]
        return offsets


def describe_modelled(
    layers: Sequence[Modelled], *, frozen: Sequence[str] = (), model: str = "", width: int = 16
) -> RunDescription:
    """Return the description of a network of these layers."""
    shapes: dict[str, dict[str, tuple[int, ...]]] = {}
    types: dict[str, str] = {}
    for layer in layers:
        types[layer.layer] = "Conv2d" if layer.places > 1 else "Linear"
        shapes[layer.layer] = {"weight": (layer.units, width), "bias": (layer.units,)}
        types.setdefault(layer.module, "Block" if layer.place else layer.kind)
        shapes.setdefault(layer.module, {})
    order = list(shapes)
    activations = tuple(
        Activation(
            name=f"{layer.module}.{layer.kind}" if layer.place else layer.module,
            module=order.index(layer.module),
            kind=layer.kind,
            response=RESPONSES.get(layer.kind, Response.NONE),
            units=layer.units,
            unit="channel" if layer.places > 1 else "feature",
            shape=(32, layer.units, layer.places) if layer.places > 1 else (32, layer.units),
            source=order.index(layer.layer),
            place=layer.place,
        )
        for layer in layers
    )
    return describe(shapes, types=types, activations=activations, frozen=frozen, model=model)


class Window:
    """The outputs of the observed steps of one record of single units."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self._outputs: list[list[Array | None]] = []

    def add(self, step: int, outputs: list[Array | None]) -> None:
        """Take the outputs of a step, None where an activation did not run."""
        self.steps.append(step)
        self._outputs.append(outputs)

    def columns(self, layers: Sequence[Modelled]) -> tuple[Array, Array]:
        """Return the units' columns and the columns of their steps."""
        units, steps = [], []
        for index, layer in enumerate(layers):
            found = [(step, outputs[index]) for step, outputs in zip(self.steps, self._outputs, strict=True)]
            ran = [(step, values) for step, values in found if values is not None]
            if not ran:
                units.append(absent_units(layer.units))
                steps.append([0.0, 0.0, 0.0, 0.0])
                continue
            values = np.concatenate([values for _, values in ran])
            rows = unit_rows(layer.kind, values, slopes(layer.kind, values))
            rows[:, UNIT_NAMES.index("twin")] = twin_column(layer)
            units.append(rows)
            span = ran[-1][0] - ran[0][0] + 1
            steps.append([span, len(ran), len(values), len(values[::4])])
        return np.concatenate(units), np.array(steps)


def twin_column(layer: Modelled) -> Array:
    """Return the column `twin` of a layer's units, [units]."""
    if layer.twins is None:
        return np.full(layer.units, np.nan)
    return np.array([float(layer.twins.get(unit, 0)) for unit in range(layer.units)])


def slopes(kind: str, outputs: Array) -> Array:
    """Return a gradient of the outputs: as if the loss were their sum of squares, through a function that is flat."""
    return outputs * 1e-3 * (np.abs(outputs) < 0.99 if kind in ("Tanh", "Sigmoid") else 1.0)


def record_of(step: int, per_octave: int) -> tuple[int, int]:
    """Return what tells the window of `step` from every other, by docs/wire-format.md."""
    stride = 1 << max(0, (step // per_octave).bit_length() - 1)
    return stride, step // stride


def write_modelled(
    log_dir: Path,
    layers: Sequence[Modelled],
    *,
    steps: int,
    every: int = 2,
    samples: int = 32,
    per_octave: int = 32,
    frozen: Sequence[str] = (),
    spike: int | None = None,
    seed: int = 0,
) -> RunDescription:
    """Write a run of these layers, observed every so many steps, and return its description.

    Args:
        log_dir: Folder of the run.
        layers: The network.
        steps: Optimizer steps.
        every: Every how many steps one is observed.
        samples: Samples at a step.
        per_octave: Records of single units to each doubling of the step count.
        frozen: Layers whose parameters are frozen.
        spike: Step at which gradient, update and loss are many times what they were.
        seed: Seed of all numbers.
    """
    rng = np.random.default_rng(seed)
    description = describe_modelled(layers, frozen=frozen)
    healthy = [0.5 * rng.standard_normal(layer.units) for layer in layers]
    weights = [0.1 * rng.standard_normal(row.shape) for row in description.parameters]
    window, rows, records = Window(), [], 0
    with RunFile(log_dir) as file:
        file.describe(description)
        for step in range(0, steps, every):
            strength = 400.0 if spike is not None and 0 <= step - spike < 2 * every else 1.0
            outputs = [_outputs(layer, step, own, samples, rng) for layer, own in zip(layers, healthy, strict=True)]
            rows.append(_output_rows(layers, outputs))
            window.add(step, outputs)
            if _ends(step, every, steps, 128):
                file.record(
                    description,
                    step,
                    _parameter_rows(description, weights, strength, rng),
                    span=(len(rows) - 1) * every + 1,
                    observations=len(rows),
                    outputs=rows[0] if len(rows) == 1 else fold(rows, ACTIVATION_COLUMNS),
                    output_counts=_output_counts(outputs) if records % bins.EVERY_RECORDS == 0 else None,
                )
                rows, records = [], records + 1
            if _ends(step, every, steps, per_octave):
                file.units(description, step, *window.columns(layers))
                window = Window()
            loss = 2.3 * np.exp(-3 * step / steps) + 0.05 * rng.random() + (strength > 1)
            file.metric("loss/train", step, float(loss), role="train_loss")
            file.metric("SGD/group 0", step, 0.05 * np.sqrt(strength), role="learning_rate")
    return description


def _ends(step: int, every: int, steps: int, per_octave: int) -> bool:
    """Return whether the record of `step` ends there."""
    return step + every >= steps or record_of(step + every, per_octave) != record_of(step, per_octave)


def _parameter_rows(
    description: RunDescription, weights: Sequence[Array], strength: float, rng: np.random.Generator
) -> Array:
    gradients = [
        None if row.frozen else 0.01 * strength * rng.standard_normal(row.shape) for row in description.parameters
    ]
    updates = [np.zeros(w.shape) if g is None else -0.03 * g for g, w in zip(gradients, weights, strict=True)]
    return observe(gradients, weights, updates)


def _output_counts(outputs: Sequence[Array | None]) -> npt.NDArray[np.uint16]:
    return count_bins([np.empty(0) if values is None else values for values in outputs])


def _outputs(layer: Modelled, step: int, healthy: Array, samples: int, rng: np.random.Generator) -> Array | None:
    first, end = layer.runs
    if not first <= step < end:
        return None
    inputs = rng.standard_normal((samples, layer.units, layer.places))
    moved = inputs + layer.offsets(step, healthy)[:, None]
    for unit, twin in (layer.twins or {}).items():
        moved[:, unit] = np.sign(twin) * moved[:, abs(twin) - 1]
    return FUNCTIONS[layer.kind](moved)


def _output_rows(layers: Sequence[Modelled], outputs: Sequence[Array | None]) -> Array:
    return np.stack(
        [
            absent_output() if values is None else output_row(layer.kind, values, slopes(layer.kind, values))
            for layer, values in zip(layers, outputs, strict=True)
        ]
    )


DEATH, END = 1200, 3000


def all_states(wide: int = 512) -> list[Modelled]:
    """Return a network that has a unit in every state at step END, and whose "fc1" loses 5 of 8 units at DEATH."""
    mass = {unit: [(DEATH, OFF)] for unit in range(wide) if unit % 8 < 5}
    return [
        Modelled("stem", units=32, places=4, changes={3: [(0, OFF)], 7: [(0, OFF)]}),
        Modelled(
            "blocks.0.conv",
            units=64,
            places=4,
            changes={0: [(0, OFF)], 5: [(400, OFF)], 6: [(400, OFF), (1800, 0.0)], 9: [(0, RARE - 0.5)]},
        ),
        Modelled(
            "blocks.1.conv", "relu", units=64, places=4, at="blocks.1", place="net.py:41", changes={2: [(900, OFF)]}
        ),
        Modelled("blocks.2.conv", "ReLU6", units=64, places=4, changes={1: [(600, HIGH)], 4: [(2940, OFF)]}),
        Modelled("fc1", units=wide, changes={**mass, 6: [(0, RARE)], 7: [(0, RARE)], 13: [(300, OFF), (900, 0.3)]}),
        Modelled("fc2", "GELU", units=128, changes={10: [(700, 4 * OFF)], 11: [(0, 4 * OFF)], 12: [(2980, 4 * OFF)]}),
        Modelled("gate", "Tanh", units=64, changes={0: [(500, HIGH)], 1: [(0, -HIGH)], 2: [(1500, HIGH), (2200, 0.0)]}),
        Modelled("early", units=16, runs=(0, 1000), changes={0: [(0, OFF)]}),
        Modelled("aux", units=16, runs=(END, END)),
        Modelled("head", "Linear", units=10),
    ]


def write_units(log_dir: Path) -> None:
    """Write a run with units in every state, and a spike where many die."""
    write_modelled(log_dir, all_states(), steps=END, frozen=["stem"], spike=DEATH - 2, seed=4)


def write_large(log_dir: Path) -> None:
    """Write a run of many layers, and one with many units."""
    wide = [
        Modelled(f"blocks.{i}.conv", units=64, places=2, changes={u: [(100 + 50 * i + 40 * u, OFF)] for u in range(i)})
        for i in range(20)
    ]
    many = Modelled("fc", units=4096, changes={unit: [(unit // 2, OFF)] for unit in range(0, 4096, 3)})
    write_modelled(log_dir, [*wide, many], steps=3000, every=8, samples=16, per_octave=16, seed=5)


def write_unit_runs(log_dir: Path) -> None:
    """Write a run with units in every state, and a large one, below `log_dir`."""
    write_units(log_dir / "units")
    write_large(log_dir / "units, large")
