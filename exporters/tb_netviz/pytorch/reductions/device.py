"""Reductions of tensors on an accelerator: few launches, and nothing that waits for a result.

One multi-tensor operation reduces all tensors where torch has one. Sums are float64 where the device knows it: such
reductions wait for memory, not for arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tb_netviz.pytorch.reductions.tensors import dense_elements, real_elements
from tb_netviz.statistics.partials import GRADIENT_SUMS, PAIR_SUMS


def wide_type(device: torch.device) -> torch.dtype:
    """Return the widest type of sums on `device`."""
    return torch.float32 if device.type == "mps" else torch.float64


def gradient_sums(gradients: Sequence[Tensor], lasts: Sequence[Tensor | None]) -> tuple[Tensor, Tensor]:
    """Reduce gradients on one device, each beside that of the step before where there is one.

    Returns:
        GRADIENT_SUMS and PAIR_SUMS, [len(gradients), 10], and the largest magnitudes, [len(gradients)], on the device.
        Of a gradient with non-finite elements the sums that they spoil are not finite, and the largest magnitude is 0.
    """
    wide = wide_type(gradients[0].device)
    dense = [dense_elements(gradient) for gradient in gradients]
    sums = torch.zeros(len(dense), len(GRADIENT_SUMS) + len(PAIR_SUMS), dtype=wide, device=dense[0].device)
    sums[:, :2] = 1.0  # Asked for, and present.
    sums[:, 2] = _squares(dense, wide)
    sums[:, 3] = torch.stack(torch._foreach_norm(dense, 1, dtype=wide))
    sums[:, 4] = torch.stack([vector.sum(dtype=wide) for vector in dense])
    for place in (place for place, gradient in enumerate(gradients) if gradient.is_complex()):
        sums[place, 4] = torch.nan  # Their magnitudes tell nothing of their sum.
    nonzero = torch.stack([torch.count_nonzero(vector) for vector in dense])
    sums[:, 5] = sent([gradient.numel() for gradient in gradients], sums) - nonzero
    # Zero times an element is NaN where that is not finite, and NaN is not zero.
    sums[:, 6] = torch.stack([torch.count_nonzero(vector * 0) for vector in dense])
    largest = torch.stack(torch._foreach_norm(dense, float("inf"), dtype=wide))
    pairs = [(place, real_elements(last)) for place, last in enumerate(lasts) if last is not None]
    if pairs:
        products = [
            (_precise(real_elements(gradients[place])) * _precise(last)).sum(dtype=wide) for place, last in pairs
        ]
        columns = [
            torch.ones_like(sums[: len(pairs), 0]),
            torch.stack(products),
            _squares([_precise(last) for _, last in pairs], wide),
        ]
        places = sent([place for place, _ in pairs], sums, torch.int64)
        sums[:, 7:].index_copy_(0, places, torch.stack(columns, dim=1))
    return sums, torch.nan_to_num(largest, 0.0, 0.0)


def weight_sums(tensors: Sequence[Tensor], before: Sequence[Tensor] | None) -> Tensor:
    """Reduce parameters on one device, and how far they have moved from the copies in `before`, which are used up.

    Returns:
        WEIGHT_SUMS and UPDATE_SUMS, [len(tensors), 4], on the device.
    """
    wide = wide_type(tensors[0].device)
    dense = [dense_elements(tensor) for tensor in tensors]
    sums = torch.zeros(len(dense), 4, dtype=wide, device=dense[0].device)
    sums[:, 0] = 1.0
    sums[:, 1] = _squares(dense, wide)
    if before is not None:
        sums[:, 2] = 1.0
        sums[:, 3] = _squares([_distance(new, old) for new, old in zip(tensors, before, strict=True)], wide)
    return sums


def _squares(vectors: list[Tensor], wide: torch.dtype) -> Tensor:
    return torch.stack(torch._foreach_norm(vectors, 2, dtype=wide)).square()


def _distance(tensor: Tensor, before: Tensor) -> Tensor:
    new, old = real_elements(tensor), real_elements(before)
    return old.sub_(new) if old.element_size() >= 4 else _precise(new) - _precise(old)


def _precise(vector: Tensor) -> Tensor:
    """Return `vector`, as float32 if it is short: a product or a difference may need more digits than it has."""
    return vector if vector.element_size() >= 4 else vector.float()


def sent(numbers: Sequence[int], like: Tensor, kind: torch.dtype | None = None) -> Tensor:
    """Return `numbers` on the device of `like`, without waiting for it; of its type, or of another `kind`."""
    host = torch.tensor(numbers, dtype=kind or like.dtype, device="cpu")  # Whatever the default device.
    if like.is_cuda:
        host = host.pin_memory()  # A copy from other memory would be waited for.
    return host.to(like.device, non_blocking=True)
