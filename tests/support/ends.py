"""Columns of outputs, targets and inputs, computed by hand in float64, one at a time, by their definitions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Columns = dict[str, float]


def by_hand(rows: Array | None = None, targets: Array | None = None, kind: int = 0, ignored: int = -100) -> Columns:
    """Return the columns of outputs [samples, classes] and of their targets.

    Args:
        rows: The outputs.
        targets: The targets, or none.
        kind: What they are: 1 class indices, 2 numbers of the outputs' shape, 3 others.
        ignored: The class index that the loss leaves out.
    """
    columns: Columns = {}
    if rows is not None:
        rows = np.asarray(rows, np.float64)
        columns |= _values("out", rows)
        sums = [math.fsum(row) for row in rows if np.all(np.isfinite(row))]
        columns |= {"out_samples": len(rows), "out_classes": rows.shape[1]}
        columns |= {"out_class_sum_min": min(sums, default=math.nan), "out_class_sum_max": max(sums, default=math.nan)}
    if targets is not None:
        targets = np.asarray(targets)
        meant = targets[targets != ignored] if kind == 1 else targets
        columns |= _values("target", meant.astype(np.float64)) | {"target_kind": kind}
        if kind == 1 and rows is not None:
            columns |= _labels(rows, targets, ignored)
    return columns


def inputs_by_hand(rows: Array, kind: int = 2) -> Columns:
    """Return the columns of inputs [samples, features]; `kind` is 1 where they are whole numbers."""
    rows = np.asarray(rows, np.float64)
    with np.errstate(all="ignore"):
        stds = [feature[np.isfinite(feature)].std() for feature in rows.T if np.isfinite(feature).any()]
    varying = [std for std in stds if std > 1e-6]
    return _values("in", rows) | {
        "in_kind": kind,
        "in_std_min": min(varying, default=math.nan),
        "in_std_max": max(varying, default=math.nan),
    }


def classes_by_hand(rows: Array, labels: Array, ignored: int = -100) -> Array:
    """Return targets, hits and losses of each class, float64 [classes, 3]."""
    table = np.zeros((rows.shape[1], 3))
    for row, label in zip(rows, labels, strict=True):
        loss = cross_entropy(row, label) if label != ignored and 0 <= label < len(row) else math.nan
        if math.isfinite(loss):
            table[label] += 1, np.argmax(row) == label, loss
    return table


def cross_entropy(row: Array, label: int) -> float:
    """Return that of one sample, by its definition."""
    logits = [float(value) for value in row]
    if any(math.isnan(value) or value == math.inf for value in logits):
        return math.nan
    largest = max(logits)
    return math.log(math.fsum(math.exp(value - largest) for value in logits)) + largest - logits[label]


def _labels(rows: Array, labels: Array, ignored: int) -> Columns:
    losses, hits = [], 0
    for row, label in zip(rows, labels, strict=True):
        loss = cross_entropy(row, label) if label != ignored and 0 <= label < len(row) else math.nan
        if math.isfinite(loss):
            losses.append(loss)
            hits += int(np.argmax(row) == label)
    known = 1.0 if losses else math.nan
    return {
        "labelled": len(losses),
        "correct": hits * known,
        "loss_sum": math.fsum(losses) * known,
        "loss_norm": math.sqrt(math.fsum(loss**2 for loss in losses)) * known,
        "loss_max": max(losses, default=math.nan),
    }


def _values(prefix: str, values: Array) -> Columns:
    finite = [value for value in values.ravel().tolist() if math.isfinite(value)]
    known = 1.0 if finite else math.nan
    return {
        f"{prefix}_values": values.size,
        f"{prefix}_sum": math.fsum(finite) * known,
        f"{prefix}_norm": math.sqrt(math.fsum(value * value for value in finite)) * known,
        f"{prefix}_min": min(finite, default=math.nan),
        f"{prefix}_max": max(finite, default=math.nan),
        f"{prefix}_nonfinite": values.size - len(finite),
    }
