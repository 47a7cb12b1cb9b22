"""The elements of a tensor of any layout and type, as a vector to be reduced."""

from __future__ import annotations

import torch
from torch import Tensor

from tb_netviz.statistics.bins import stride


def dense_elements(tensor: Tensor) -> Tensor:
    """Return the elements of `tensor` as a real vector, without a copy where its memory allows.

    Of a sparse tensor those that are stored, of complex elements the magnitudes; of an empty tensor a zero.
    """
    tensor = tensor.detach()
    plain = tensor.layout is torch.strided and tensor.dtype is torch.float32
    if plain and tensor.is_contiguous() and tensor.numel():
        return tensor.view(-1)  # Nearly all are such; the overhead of looking further shows in small networks.
    if tensor.layout is not torch.strided:
        tensor = tensor.coalesce().values() if tensor.layout is torch.sparse_coo else tensor.to_dense()
    if tensor.is_complex():
        tensor = tensor.abs()
    if tensor.element_size() == 1:
        tensor = tensor.float()  # Eight-bit floats have no arithmetic of their own.
    return _flat(tensor)


def real_elements(tensor: Tensor) -> Tensor:
    """Return the elements of `tensor` as a vector, zeros of a sparse one included; complex ones as pairs."""
    tensor = tensor.detach()
    tensor = tensor if tensor.layout is torch.strided else tensor.to_dense()
    return (torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor).reshape(-1)


def sample(tensor: Tensor, most: int) -> Tensor:
    """Return those of `dense_elements` at the stride of a tensor of that size, of which `most` are sampled."""
    return dense_elements(tensor)[:: stride(tensor.numel(), most)]


def _flat(tensor: Tensor) -> Tensor:
    # Order is of no matter to a reduction, so that memory formats such as channels_last need no copy.
    if not tensor.is_contiguous() and torch.ops.aten.is_non_overlapping_and_dense(tensor):
        return tensor.as_strided((tensor.numel(),), (1,))
    return tensor.reshape(-1) if tensor.numel() else tensor.new_zeros(1)
