"""What goes into a model and what its loss is computed from, reduced to a few sums.

On the host by NumPy, at once; on an accelerator without waiting for it. The names of the sums, and what they are, stand
in `statistics/outputs.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from tb_netviz.pytorch.reductions.device import wide_type
from tb_netviz.statistics import outputs as reference
from tb_netviz.statistics.outputs import INPUTS, OUTPUT_SUMS, OUTPUTS, TARGETS, Kind
from tb_netviz.statistics.partials import Array
from tb_netviz.statistics.units import NOISE


def output_sums(rows: Tensor) -> Tensor:
    """Reduce outputs.

    Args:
        rows: Real numbers, [samples, classes].

    Returns:
        In the order of OUTPUT_SUMS["outputs"], on the device, float64 where it knows that; so do the others.
    """
    if _on_host(rows):
        return torch.from_numpy(reference.output_sums(_array(rows)))
    rows = _precise(rows)
    class_sums = rows.sum(1)
    odd = _odd(class_sums)
    return _in_order(
        OUTPUTS,
        rows,
        _numbers(rows)
        | {
            "samples": len(rows),
            "classes": rows.shape[1],
            "class_sum_max": class_sums.masked_fill(odd, -math.inf).amax(),
            "class_sum_min": class_sums.masked_fill(odd, math.inf).amin(),
        },
    )


def target_sums(targets: Tensor, kind: Kind) -> Tensor:
    """Reduce targets that are no class indices.

    Args:
        targets: Real numbers, [values].
        kind: What they are.
    """
    if _on_host(targets):
        return torch.from_numpy(reference.target_sums(_array(targets), kind))
    targets = _precise(targets)
    return _in_order(TARGETS, targets, _numbers(targets) | {"kind": kind})


def label_sums(rows: Tensor, labels: Tensor, ignored: int, *, with_classes: bool) -> tuple[Tensor, Tensor | None]:
    """Reduce class indices beside the outputs.

    Args:
        rows: The outputs, real numbers [samples, classes].
        labels: Whole numbers [samples], on the same device.
        ignored: The index that the loss leaves out.
        with_classes: Whether each class is wanted by itself.

    Returns:
        The sums of the targets, and CLASS_COLUMNS of each class, [classes, 3].
    """
    labels = labels.long()
    if _on_host(rows):
        sums, counted = reference.label_sums(_array(rows), labels.numpy(), ignored, with_classes=with_classes)
        return torch.from_numpy(sums), None if counted is None else torch.from_numpy(counted)
    rows, wide = _precise(rows), wide_type(rows.device)
    meant = labels != ignored
    places = labels.clamp(0, rows.shape[1] - 1)
    losses = torch.logsumexp(rows, 1) - rows.gather(1, places.unsqueeze(1)).squeeze(1)
    known = meant & (places == labels) & ~_odd(losses)
    losses = losses.masked_fill(~known, 0.0).to(wide)
    hits = known & (rows.argmax(1) == labels)
    numbers = _numbers_where(labels.to(wide), meant) | {
        "kind": Kind.INDICES,
        "labelled": known.sum(dtype=wide),
        "correct": hits.sum(dtype=wide),
        "loss": losses.sum(),
        "loss_squares": losses.square().sum(),
        "loss_max": losses.masked_fill(~known, -math.inf).amax(),
    }
    by_class = None
    if with_classes:
        columns = torch.stack([known.to(wide), hits.to(wide), losses], dim=1)
        by_class = columns.new_zeros(rows.shape[1], columns.shape[1]).index_add_(0, places, columns)
    return _in_order(TARGETS, losses, numbers), by_class


def input_sums(rows: Tensor, kind: Kind) -> Tensor:
    """Reduce inputs.

    Args:
        rows: Real numbers, [samples, features].
        kind: Whether they are whole numbers.
    """
    if _on_host(rows):
        return torch.from_numpy(reference.input_sums(_array(rows), kind))
    rows, wide = _precise(rows), wide_type(rows.device)
    odd = _odd(rows)
    clean = rows.masked_fill(odd, 0.0)
    counts = len(rows) - odd.sum(0, dtype=wide)
    mean = clean.sum(0, dtype=wide) / counts
    mean_squares = torch.linalg.vector_norm(clean, 2, 0, dtype=wide).square() / counts
    variance = mean_squares - mean.square()
    varies = variance > max(NOISE, torch.finfo(wide).eps) * mean_squares
    stds = variance.clamp_min(0.0).sqrt()
    return _in_order(
        INPUTS,
        rows,
        _numbers(rows)
        | {
            "kind": kind,
            "std_max": stds.masked_fill(~varies, -math.inf).amax(),
            "std_min": stds.masked_fill(~varies, math.inf).amin(),
        },
    )


def _on_host(values: Tensor) -> bool:
    return values.is_cpu


def _array(values: Tensor) -> Array:
    """Return values on the host, float64."""
    array: Array = values.double().numpy()
    return array


def _precise(values: Tensor) -> Tensor:
    """Return values as float32, or as float64 where they are wide or whole numbers."""
    if values.is_floating_point():
        return values if values.element_size() >= 4 else values.float()
    return values.to(wide_type(values.device))


def _odd(values: Tensor) -> Tensor:
    """Return where values are not finite."""
    return (values * 0) != 0  # Zero times what is not finite is NaN.


def _numbers(values: Tensor) -> dict[str, Tensor | float]:
    """Return what is measured of any values."""
    return _numbers_where(values, None)


def _numbers_where(values: Tensor, where: Tensor | None) -> dict[str, Tensor | float]:
    """Return what is measured of some values, or of all."""
    wide = wide_type(values.device)
    odd = _odd(values)
    left_out = odd if where is None else odd | ~where
    clean = values.masked_fill(left_out, 0.0)
    return {
        "values": values.numel() if where is None else where.sum(dtype=wide),
        "total": clean.sum(dtype=wide),
        "squares": torch.linalg.vector_norm(clean, dtype=wide).square(),
        "nonfinite": odd.sum(dtype=wide),
        "max": values.masked_fill(left_out, -math.inf).amax(),
        "min": values.masked_fill(left_out, math.inf).amin(),
    }


def _in_order(part: str, like: Tensor, numbers: Mapping[str, Tensor | float]) -> Tensor:
    """Return the sums of `part` on the device of `like`; of what is not given, nothing is known."""
    wide = wide_type(like.device)
    added, highest, lowest = OUTPUT_SUMS[part]
    otherwise = dict.fromkeys(added, 0.0) | dict.fromkeys(highest, -math.inf) | dict.fromkeys(lowest, math.inf)
    found = [numbers.get(name, unknown) for name, unknown in otherwise.items()]
    return torch.stack([_scalar(number, wide, like.device) for number in found])


def _scalar(number: Tensor | float, kind: torch.dtype, device: torch.device) -> Tensor:
    return number.to(kind) if isinstance(number, Tensor) else torch.full((), float(number), dtype=kind, device=device)
