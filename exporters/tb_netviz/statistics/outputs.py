"""What goes into a model and what its loss is computed from, and the columns that follow: in NumPy and float64.

Values stand in rows, one a sample, with a column for each class or feature.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tb_netviz.statistics.partials import Array
from tb_netviz.statistics.units import spread
from tb_netviz_plugin.schema.columns import OUTPUT_COLUMNS


class Kind(IntEnum):
    """What targets are, or inputs."""

    INDICES = 1
    NUMBERS = 2
    OTHER = 3


class Sums(NamedTuple):
    """Names of what is measured of one part: how its numbers merge over passes, batches and samples.

    Attributes:
        added: They are added.
        highest: The largest one holds.
        lowest: The smallest one holds.
    """

    added: tuple[str, ...]
    highest: tuple[str, ...]
    lowest: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All of them in order."""
        return (*self.added, *self.highest, *self.lowest)


OUTPUTS, TARGETS, INPUTS = "outputs", "targets", "inputs"
_VALUES: Final = ("values", "total", "squares", "nonfinite")
OUTPUT_SUMS: Final[Mapping[str, Sums]] = {
    OUTPUTS: Sums((*_VALUES, "samples"), ("max", "classes", "class_sum_max"), ("min", "class_sum_min")),
    TARGETS: Sums((*_VALUES, "labelled", "correct", "loss", "loss_squares"), ("max", "kind", "loss_max"), ("min",)),
    INPUTS: Sums(_VALUES, ("max", "kind", "std_max"), ("min", "std_min")),
}
"""By part. Where nothing is known of a largest number it is -inf, of a smallest one inf."""


class _Source(NamedTuple):
    """Where a column comes from."""

    part: str
    name: str
    root: bool = False


_SOURCES: Final = {
    "out_values": _Source(OUTPUTS, "values"),
    "out_samples": _Source(OUTPUTS, "samples"),
    "out_classes": _Source(OUTPUTS, "classes"),
    "out_sum": _Source(OUTPUTS, "total"),
    "out_norm": _Source(OUTPUTS, "squares", root=True),
    "out_min": _Source(OUTPUTS, "min"),
    "out_max": _Source(OUTPUTS, "max"),
    "out_nonfinite": _Source(OUTPUTS, "nonfinite"),
    "out_class_sum_min": _Source(OUTPUTS, "class_sum_min"),
    "out_class_sum_max": _Source(OUTPUTS, "class_sum_max"),
    "target_kind": _Source(TARGETS, "kind"),
    "target_values": _Source(TARGETS, "values"),
    "target_sum": _Source(TARGETS, "total"),
    "target_norm": _Source(TARGETS, "squares", root=True),
    "target_min": _Source(TARGETS, "min"),
    "target_max": _Source(TARGETS, "max"),
    "target_nonfinite": _Source(TARGETS, "nonfinite"),
    "labelled": _Source(TARGETS, "labelled"),
    "correct": _Source(TARGETS, "correct"),
    "loss_sum": _Source(TARGETS, "loss"),
    "loss_norm": _Source(TARGETS, "loss_squares", root=True),
    "loss_max": _Source(TARGETS, "loss_max"),
    "in_kind": _Source(INPUTS, "kind"),
    "in_values": _Source(INPUTS, "values"),
    "in_sum": _Source(INPUTS, "total"),
    "in_norm": _Source(INPUTS, "squares", root=True),
    "in_min": _Source(INPUTS, "min"),
    "in_max": _Source(INPUTS, "max"),
    "in_nonfinite": _Source(INPUTS, "nonfinite"),
    "in_std_min": _Source(INPUTS, "std_min"),
    "in_std_max": _Source(INPUTS, "std_max"),
}
_OFFSETS: Final = dict(
    zip(OUTPUT_SUMS, np.cumsum([0, *(len(sums.names) for sums in OUTPUT_SUMS.values())]), strict=False)
)
_LENGTH: Final = sum(len(sums.names) for sums in OUTPUT_SUMS.values())
_ORDER: Final = [_SOURCES[column.id] for column in OUTPUT_COLUMNS]
_PLACES: Final = np.array([_OFFSETS[part] + OUTPUT_SUMS[part].names.index(name) for part, name, _ in _ORDER])
_ROOTS: Final = np.array([source.root for source in _ORDER])
_QUIETLY: Final = np.errstate(all="ignore")  # What is not finite is left out where it shows.
_OF_LABELS: Final = ("correct", "loss", "loss_squares")


def output_columns(parts: Mapping[str, Array]) -> Array:
    """Return OUTPUT_COLUMNS, float64, from the sums of the parts that were seen; NaN where nothing is known."""
    sums = np.full(_LENGTH, np.nan)
    for part, found in parts.items():
        sums[_OFFSETS[part] : _OFFSETS[part] + len(found)] = found
        _forget(part, sums)
    sums[np.isinf(sums)] = np.nan
    columns: Array = sums[_PLACES]
    columns[_ROOTS] = np.sqrt(columns[_ROOTS])
    return columns


def _forget(part: str, sums: Array) -> None:
    """Put NaN for what is not known: without a finite value no sum of them, without a class index no loss."""
    first, names = _OFFSETS[part], OUTPUT_SUMS[part].names
    place = {name: first + index for index, name in enumerate(names)}
    if sums[place["values"]] == sums[place["nonfinite"]]:
        sums[[place["total"], place["squares"]]] = np.nan
    if part == TARGETS and sums[place["kind"]] != Kind.INDICES:
        sums[[place[name] for name in ("labelled", *_OF_LABELS)]] = np.nan
    elif part == TARGETS and sums[place["labelled"]] == 0:
        sums[[place[name] for name in _OF_LABELS]] = np.nan


@_QUIETLY
def output_sums(rows: Array) -> Array:
    """Reduce outputs.

    Args:
        rows: float64 [samples, classes].

    Returns:
        float64, in the order of OUTPUT_SUMS["outputs"].
    """
    numbers = _numbers(rows)
    class_sums = rows.sum(1)
    if numbers["nonfinite"]:
        class_sums = class_sums[np.isfinite(class_sums)]
    numbers |= {
        "samples": len(rows),
        "classes": rows.shape[1],
        "class_sum_max": class_sums.max(initial=-np.inf),
        "class_sum_min": class_sums.min(initial=np.inf),
    }
    return _in_order(OUTPUTS, numbers)


@_QUIETLY
def target_sums(targets: Array, kind: Kind) -> Array:
    """Reduce targets that are no class indices.

    Args:
        targets: float64, of any shape.
        kind: What they are.

    Returns:
        float64, in the order of OUTPUT_SUMS["targets"].
    """
    return _in_order(TARGETS, _numbers(targets) | {"kind": kind})


@_QUIETLY
def label_sums(
    rows: Array, labels: npt.NDArray[np.int64], ignored: int, *, with_classes: bool
) -> tuple[Array, Array | None]:
    """Reduce class indices beside the outputs.

    Args:
        rows: The outputs, float64 [samples, classes].
        labels: int64 [samples].
        ignored: The index that the loss leaves out.
        with_classes: Whether each class is wanted by itself.

    Returns:
        float64, in the order of OUTPUT_SUMS["targets"], and CLASS_COLUMNS of each class, float64 [classes, 3].
    """
    classes = rows.shape[1]
    labels, rows = _counted(labels, rows, ignored)
    numbers = _numbers(labels.astype(np.float64)) | {"kind": Kind.INDICES}
    labels, rows = _within(labels, rows, classes)
    losses = _cross_entropies(rows, labels)
    known = np.isfinite(losses)
    if not known.all():
        labels, rows, losses = labels[known], rows[known], losses[known]
    hits = rows.argmax(1) == labels if classes else np.zeros(0, bool)
    numbers |= {
        "labelled": len(labels),
        "correct": hits.sum(),
        "loss": losses.sum(),
        "loss_squares": _squares(losses),
        "loss_max": losses.max(initial=-np.inf),
    }
    by_class = None
    if with_classes:
        weights = (None, hits, losses)
        by_class = np.stack([np.bincount(labels, weight, classes) for weight in weights], axis=1).astype(np.float64)
    return _in_order(TARGETS, numbers), by_class


@_QUIETLY
def input_sums(rows: Array, kind: Kind) -> Array:
    """Reduce inputs.

    Args:
        rows: float64 [samples, features].
        kind: Whether they are whole numbers.

    Returns:
        float64, in the order of OUTPUT_SUMS["inputs"].
    """
    numbers = _numbers(rows) | {"kind": kind}
    counts: Array | int = len(rows)
    if numbers["nonfinite"]:
        finite = np.isfinite(rows)
        counts, rows = finite.sum(0), np.where(finite, rows, 0.0)
    stds = spread(rows.sum(0) / counts, np.einsum("nf,nf->f", rows, rows) / counts)
    varying = stds[stds > 0]
    numbers |= {"std_max": varying.max(initial=-np.inf), "std_min": varying.min(initial=np.inf)}
    return _in_order(INPUTS, numbers)


def _counted(labels: npt.NDArray[np.int64], rows: Array, ignored: int) -> tuple[npt.NDArray[np.int64], Array]:
    kept = labels != ignored
    return (labels, rows) if kept.all() else (labels[kept], rows[kept])


def _within(labels: npt.NDArray[np.int64], rows: Array, classes: int) -> tuple[npt.NDArray[np.int64], Array]:
    kept = (labels >= 0) & (labels < classes)
    return (labels, rows) if kept.all() else (labels[kept], rows[kept])


def _cross_entropies(rows: Array, labels: npt.NDArray[np.int64]) -> Array:
    """Return that of each sample, [samples], the outputs taken as logits."""
    largest = rows.max(1, initial=-np.inf)
    logs = np.log(np.exp(rows - largest[:, np.newaxis]).sum(1))
    losses: Array = logs + largest - rows[np.arange(len(rows)), labels]
    return losses


def _numbers(values: Array) -> dict[str, float]:
    """Return what is measured of any values."""
    vector = values.ravel()
    total = vector.sum()
    if not np.isfinite(total):
        vector = vector[np.isfinite(vector)]
        total = vector.sum()
    return {
        "values": values.size,
        "total": total,
        "squares": _squares(vector),
        "nonfinite": values.size - vector.size,
        "max": vector.max(initial=-np.inf),
        "min": vector.min(initial=np.inf),
    }


def _in_order(part: str, numbers: Mapping[str, float]) -> Array:
    """Return the sums of `part`; of what is not given, nothing is known."""
    added, highest, lowest = OUTPUT_SUMS[part]
    return np.array(
        [
            *_picked(added, numbers, 0.0),
            *_picked(highest, numbers, -np.inf),
            *_picked(lowest, numbers, np.inf),
        ],
        dtype=np.float64,
    )


def _picked(names: Sequence[str], numbers: Mapping[str, float], otherwise: float) -> list[float]:
    return [numbers.get(name, otherwise) for name in names]


def _squares(vector: Array) -> float:
    """Return the sum of squares. The BLAS behind `np.dot` would wake threads that spin for a tenth of a second."""
    return float(np.einsum("i,i->", vector, vector))
