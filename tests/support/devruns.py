"""Writes a set of synthetic runs to develop the front end with: `python -m tests.support.devruns LOGDIR`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tb_netviz_plugin.schema import bins
from tb_netviz_plugin.schema.description import RunDescription
from tests.support.runs import COLUMNS, HOSTILE_NAMES, Cost, RunFile, describe, write_run
from tests.support.unitruns import write_unit_runs

Matrix = npt.NDArray[np.float64]


def convolutional_layers(depth: int) -> dict[str, dict[str, tuple[int, ...]]]:
    """Return a stem, `depth` blocks of a convolution and a normalisation, and a head."""
    layers: dict[str, dict[str, tuple[int, ...]]] = {"stem": {"weight": (16, 3, 3, 3), "bias": (16,)}}
    for block in range(depth):
        layers[f"blocks.{block}.conv"] = {"weight": (16, 16, 3, 3)}
        layers[f"blocks.{block}.norm"] = {"weight": (16,), "bias": (16,)}
    layers["head"] = {"weight": (10, 16), "bias": (10,)}
    return layers


def modelled_columns(description: RunDescription, norms: Matrix, zeros: Matrix, noise: np.random.Generator) -> Matrix:
    """Return columns [parameters, columns] of Gaussian gradients with these norms.

    Args:
        description: The network.
        norms: Norm of each parameter's gradient; NaN makes the gradient non-finite, negative None.
        zeros: Share of its elements that are exactly zero.
        noise: Source of the scatter.
    """
    elements = np.array([row.elements for row in description.parameters], np.float64)
    rows = {name: np.full(len(elements), np.nan) for name in COLUMNS}
    ill, none = np.isnan(norms), norms < 0
    known = ~ill & ~none
    norm = np.where(known, norms, np.nan)
    alive = elements * (1 - zeros)
    deviation = norm / np.sqrt(np.maximum(alive, 1))
    rows["present"] = np.where(none, 0.0, 1.0)
    rows["grad_norm"] = norm
    rows["grad_abs_sum"] = alive * deviation * np.sqrt(2 / np.pi)
    rows["grad_abs_max"] = np.minimum(norm, deviation * np.sqrt(2 * np.log(elements + 2)))
    rows["grad_sum"] = norm * noise.standard_normal(len(elements))
    rows["grad_zeros"] = np.where(known, elements * zeros, np.nan)
    rows["grad_nonfinite"] = np.where(none, np.nan, np.where(ill, np.ceil(elements / 7), 0.0))
    rows["weight_norm"] = np.sqrt(elements) * 0.1
    rows["update_norm"] = np.where(none, 0.0, 0.05 * norm)
    rows["grad_norm_last"] = norm * np.exp(0.1 * noise.standard_normal(len(elements)))
    rows["grad_dot_last"] = np.clip(0.2 + 0.3 * noise.standard_normal(len(elements)), -1, 1) * norm**2
    return np.stack([rows[name] for name in COLUMNS], axis=1)


def modelled_bins(description: RunDescription, norms: Matrix, zeros: Matrix) -> npt.NDArray[np.uint16]:
    """Return counts [parameters, 128] of Gaussian gradients with these norms."""
    counts = np.zeros((len(norms), bins.COUNT), np.uint16)
    exponents = np.arange(bins.LOWEST_EXPONENT, bins.HIGHEST_EXPONENT + 1)
    for row, (parameter, norm, zero) in enumerate(zip(description.parameters, norms, zeros, strict=True)):
        sampled = min(parameter.elements, bins.SAMPLES)
        if np.isnan(norm):
            counts[row, bins.NONFINITE] = sampled
        elif norm == 0:
            counts[row, bins.ZERO] = sampled
        elif norm > 0:
            deviation = norm / np.sqrt(parameter.elements)
            centres = 2.0**exponents / deviation
            share = centres * np.exp(-0.5 * (1.5 * centres) ** 2)
            counts[row, bins.FIRST : bins.ABOVE] = np.round(sampled * (1 - zero) * share / share.sum())
            counts[row, bins.ZERO] = round(sampled * zero)
    return counts


def record_of(step: int) -> tuple[int, int]:
    """Return what tells the window of `step` from every other, by docs/wire-format.md."""
    stride = 1 << max(0, (step // 128).bit_length() - 1)
    return stride, step // stride


def modelled_run(
    log_dir: Path, *, depth: int, steps: int, decay: float, ill: bool, seed: int, gap: tuple[int, int] = (0, 0)
) -> None:
    """Write a run whose gradient falls by `decay` a layer towards the input.

    Args:
        log_dir: Folder of the run.
        depth: Blocks of the network.
        steps: Optimizer steps.
        decay: Factor of the gradient from one block to the one before it.
        ill: Whether it has NaN steps, a layer that dies, a branch without a gradient and a spike.
        seed: Seed of the scatter.
        gap: Steps from and up to which nothing is recorded.
    """
    rng = np.random.default_rng(seed)
    frozen = ("stem",) if ill else ()
    description = describe(convolutional_layers(depth), frozen=frozen)
    owners = np.array([row.owner for row in description.parameters])
    size = np.array([row.elements for row in description.parameters])
    last_layer = len(description.modules) - 1
    profile = decay ** ((last_layer - owners) / 2) * np.sqrt(size / 256)
    with RunFile(log_dir) as file:
        file.describe(description)
        window: list[Matrix] = []
        records = 0
        for step in range(steps):
            if gap[0] <= step < gap[1]:
                continue
            norms = profile * (0.2 + np.exp(-3 * step / steps)) * np.exp(0.25 * rng.standard_normal(len(owners)))
            zeros = np.where(owners % 2 == 1, 0.3, 0.05) + 0.02 * rng.random(len(owners))
            if ill:
                norms, zeros = _fall_ill(norms, zeros, owners, step / steps)
            window.append(modelled_columns(description, norms, zeros, rng))
            if step == steps - 1 or record_of(step + 1) != record_of(step):
                counts = modelled_bins(description, norms, zeros) if records % bins.EVERY_RECORDS == 0 else None
                file.record(
                    description,
                    step,
                    _planes(window),
                    span=len(window),
                    observations=len(window),
                    counts=counts,
                    cost=Cost(0.021, 0.00017),
                )
                window, records = [], records + 1
            decline = 2.3 * np.exp(-4 * step / steps * min(1, 2 * decay))
            file.metric("loss/train", step, float(decline + 0.1 * rng.random()), role="train_loss")
            if step % 25 == 24:
                file.metric("loss/val", step, float(1.05 * decline + 0.15), role="val_loss", span=25)
            file.metric("SGD/group 0", step, 0.1 if step < steps / 2 else 0.01, role="learning_rate")


def _fall_ill(norms: Matrix, zeros: Matrix, owners: npt.NDArray[np.int64], progress: float) -> tuple[Matrix, Matrix]:
    norms, zeros = norms.copy(), zeros.copy()
    norms[owners == 0] = -1
    norms[owners == 4] = -1
    if progress > 0.5:
        norms[owners == 7] = 0.0
        zeros[owners == 7] = 1.0
    if 0.7 < progress < 0.72:
        norms[owners >= 12] = np.nan
    if 0.3 < progress < 0.304:
        norms[owners > 8] *= 800
    return norms, zeros


def _planes(window: list[Matrix]) -> Matrix:
    if len(window) == 1:
        return window[0]
    stack = np.stack(window)
    known = np.isfinite(stack)
    count = np.maximum(known.sum(axis=0), 1)
    centre = np.where(known.any(axis=0), np.where(known, stack, 0).sum(axis=0) / count, np.nan)
    low = np.where(known.any(axis=0), np.where(known, stack, np.inf).min(axis=0), np.nan)
    high = np.where(known.any(axis=0), np.where(known, stack, -np.inf).max(axis=0), np.nan)
    return np.stack([centre, low, high])


def write_all(log_dir: Path) -> None:
    """Write the whole set below `log_dir`."""
    modelled_run(log_dir / "healthy", depth=10, steps=600, decay=0.97, ill=False, seed=1)
    modelled_run(log_dir / "vanishing", depth=20, steps=900, decay=0.4, ill=False, seed=2)
    modelled_run(log_dir / "ill", depth=12, steps=1000, decay=0.8, ill=True, seed=3, gap=(150, 200))
    write_run(log_dir / "one step", layers=1, steps=[0])
    write_run(
        log_dir / "hostile" / "<img src=x onerror=alert(1)>",
        layers={name: {"weight": (3, 3)} for name in HOSTILE_NAMES},
        steps=range(30),
    )
    write_run(log_dir / "gan", model="generator", layers=4, steps=range(40))
    write_run(log_dir / "gan", model="discriminator", layers=3, steps=range(0, 40, 2), start=1_700_000_100.0)
    write_run(log_dir / "newer", layers=2, steps=range(3), schema_version=99)
    write_unit_runs(log_dir)


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
