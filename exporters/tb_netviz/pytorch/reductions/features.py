"""Inputs and outputs reduced to a few sums of each feature.

On the host by NumPy, at once; on an accelerator without waiting for it. The names of the sums, and what follows from
them, stand in `statistics/evaluations.py`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tb_netviz.pytorch.reductions.device import wide_type
from tb_netviz.statistics import evaluations as reference
from tb_netviz.statistics.evaluations import ADDED


def feature_sums(rows: Tensor) -> Tensor:
    """Reduce real numbers, [samples, features], to FEATURE_SUMS, [len(FEATURE_SUMS), features], on the device."""
    if _on_host(rows):
        return torch.from_numpy(reference.feature_sums(rows.double().numpy()))
    values = rows.to(wide_type(rows.device))
    odd = ~torch.isfinite(values)
    clean = values.masked_fill(odd, 0.0)
    return torch.stack(
        [
            len(values) - odd.sum(0).to(values.dtype),
            clean.sum(0),
            clean.square().sum(0),
            (values == 0).sum(0).to(values.dtype),
            values.masked_fill(odd, math.inf).amin(0),
            values.masked_fill(odd, -math.inf).amax(0),
        ]
    )


def merged(one: Tensor, other: Tensor) -> Tensor:
    """Return FEATURE_SUMS of what both are of."""
    lowest, highest = torch.minimum(one[ADDED], other[ADDED]), torch.maximum(one[-1], other[-1])
    return torch.cat([one[:ADDED] + other[:ADDED], lowest.unsqueeze(0), highest.unsqueeze(0)])


def _on_host(values: Tensor) -> bool:
    return values.is_cpu
