"""The modules that make units, and their numbers, unit by unit."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from tb_netviz.pytorch.activations.outputs import is_measurable
from tb_netviz.pytorch.reductions.rows import Block
from tb_netviz.pytorch.shards import has_memory, reason_to_omit

Makers = tuple[weakref.ref[nn.Module], ...]
"""The module whose weights make the units, and those behind it that hold tensors; empty where that isn't known."""

_MINUS = frozenset({"bias", "beta", "running_mean"})
"""Names of what has to change its sign for a normalised unit to be opposite."""


def holds_tensors(module: nn.Module) -> bool:
    """Whether `module` has no modules below it, but parameters or buffers."""
    return not module._modules and any(tensor is not None for tensor in _tensors(module).values())


def living(makers: Makers) -> list[nn.Module] | None:
    """Return the modules; None where one is gone."""
    modules = [module for maker in makers if (module := maker()) is not None]
    return modules if len(modules) == len(makers) else None


def blocks_of(modules: Sequence[nn.Module], units: int) -> list[Block] | None:
    """Return the numbers of the units that `modules` make; None where they can't be told apart by unit."""
    blocks = _of_weights(modules[0], units) if modules else None
    for module in modules[1:]:
        scaling = _of_scaling(module, units)
        blocks = None if blocks is None or scaling is None else [*blocks, *scaling]
    if blocks is None or not _are_together([tensor for block in blocks for part in block for tensor in part]):
        return None
    return blocks


def _of_weights(module: nn.Module, units: int) -> list[Block] | None:
    if isinstance(module, nn.RNNBase):
        return _of_states(module, units)
    weight, bias = (_own(module, name) for name in ("weight", "bias"))
    convolution = module if isinstance(module, nn.modules.conv._ConvNd) else None
    if weight is None or weight.ndim < 2 or not (convolution or isinstance(module, nn.Linear | nn.Bilinear)):
        return None
    groups = 1 if convolution is None else convolution.groups
    if convolution is not None and convolution.transposed:
        weight = weight.reshape(groups, -1, *weight.shape[1:]).transpose(1, 2).flatten(0, 1)
    if len(weight) != units:
        return None
    return [Block((weight,) if bias is None else (weight, bias)), *_of_groups(groups, weight, units)]


def _of_states(module: nn.RNNBase, units: int) -> list[Block] | None:
    """Return the numbers of the states that the last layer puts out, those of all gates together."""
    ways = ("", "_reverse")[: 1 + module.bidirectional]
    if module.proj_size or units != module.hidden_size * len(ways):
        return None
    kinds = ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if module.bias else ()))
    parts = []
    for kind in kinds:
        held = [_own(module, f"{kind}_l{module.num_layers - 1}{way}") for way in ways]
        found = [tensor.view(-1, module.hidden_size, *tensor.shape[1:]) for tensor in held if tensor is not None]
        if len(found) < len(ways):
            return None
        parts.append(torch.cat([gates.transpose(0, 1).flatten(1) for gates in found]))
    return [Block(tuple(parts)), *_of_groups(len(ways), parts[0], units)]


def _of_scaling(module: nn.Module, units: int) -> list[Block] | None:
    held = {name: tensor for name, tensor in _tensors(module).items() if tensor is not None and tensor.numel() > 1}
    if any(tensor.numel() != units or len(tensor) != units for tensor in held.values()):
        return None
    of_data = {name: tensor.flatten() for name, tensor in held.items() if name.startswith("running")}
    learned = {name: tensor.flatten() for name, tensor in held.items() if name not in of_data}
    blocks = [_of_vectors(vectors) for vectors in (learned, of_data) if vectors]
    if isinstance(module, nn.GroupNorm) and held:
        blocks += _of_groups(module.num_groups, module.weight, units)
    return blocks


def _of_vectors(vectors: Mapping[str, Tensor]) -> Block:
    return Block(
        tuple(vector for name, vector in vectors.items() if name in _MINUS),
        tuple(vector for name, vector in vectors.items() if name not in _MINUS),
    )


def _of_groups(groups: int, like: Tensor, units: int) -> list[Block]:
    """Return the number of each unit's group: units of different groups see different inputs."""
    if groups == 1:
        return []
    return [Block((), (1.0 + torch.arange(units, device=like.device) // (units // groups),))]


def _tensors(module: nn.Module) -> dict[str, Tensor | None]:
    return {**module._parameters, **module._buffers}


def _own(module: nn.Module, name: str) -> Tensor | None:
    """Return a tensor that stands there; one that is computed when it is asked for might change by it."""
    found = module._parameters.get(name, module.__dict__.get(name))
    return found if isinstance(found, Tensor) else None


def _are_together(tensors: Iterable[Tensor]) -> bool:
    """Whether the elements of all of them can be read, in one place."""
    devices = set()
    for tensor in tensors:
        if not is_measurable(tensor) or tensor.is_complex() or reason_to_omit(tensor) or not has_memory(tensor):
            return False
        devices.add(tensor.device)
    return len(devices) == 1
