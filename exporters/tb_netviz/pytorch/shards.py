"""Parameters that are spread over processes, as DTensors: which part is here, and which processes have the others."""

from __future__ import annotations

import os
import sys
from typing import Any

import torch
from torch import Tensor, nn

from tb_netviz.pytorch.reductions import host

FLATTENED = (
    "is flattened by FullyShardedDataParallel; shard the model with fully_shard instead, whose parameters are read"
)
PARTIAL = "is held as parts of a sum"
SHARDED = "is sharded over processes"
UNREADABLE = "is of a class whose elements can't be read"


def leads() -> bool:
    """Whether this process is the only one of its run, or the first."""
    return rank() == 0


def rank() -> int:
    """Return the number of this process in its run; 0 where it is the only one."""
    distributed = torch.distributed
    return distributed.get_rank() if distributed.is_available() and distributed.is_initialized() else 0


def processes() -> int:
    """Return how many processes take part in its run."""
    distributed = torch.distributed
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def may_follow() -> bool:
    """Whether this process is, or may be going to be, one of a run that another process leads."""
    return not leads() or os.environ.get("RANK", "0") != "0"  # As torchrun and others set it.


def local(tensor: Tensor) -> Tensor:
    """Return the part of a DTensor that is here; any other tensor as it is."""
    if type(tensor) in _PLAIN:
        return tensor
    spread: Any = tensor if _is_spread(tensor) else None
    part: Tensor = tensor if spread is None else spread.to_local()
    return part


_PLAIN = (Tensor, nn.Parameter)  # Nearly all are such.


def is_sharded(tensor: Tensor) -> bool:
    """Whether other processes hold elements of `tensor` that this one does not."""
    return bool(_sharded_dimensions(tensor))


def kind_of(module: nn.Module) -> str:
    """Return the name of a module's class as it was written; fully_shard and TorchScript put others in its place."""
    if isinstance(module, torch.jit.ScriptModule):
        return str(module.original_name)
    sharding = sys.modules.get("torch.distributed.fsdp")
    kind = type(module)
    if sharding is not None and isinstance(module, sharding.FSDPModule) and len(kind.__bases__) == 2:
        kind = kind.__bases__[1]
    return kind.__name__


def like(tensor: Tensor, other: Tensor) -> bool:
    """Whether the same elements of both are here."""
    if type(tensor) in _PLAIN and type(other) in _PLAIN:
        return True
    return bool(getattr(tensor, "placements", None) == getattr(other, "placements", None))


def holders(tensor: Any) -> frozenset[int]:
    """Return the ranks that hold one copy of `tensor` between them, this one among them; empty if it holds nothing.

    Copies of other ranks, as in hybrid sharding, are none of them.
    """
    mesh = tensor.device_mesh
    place = mesh.get_coordinate()
    if place is None:
        return frozenset()
    sharded = _sharded_dimensions(tensor)
    along = tuple(slice(None) if dimension in sharded else at for dimension, at in enumerate(place))
    return frozenset(mesh.mesh[along].flatten().tolist())


def reason_to_omit(parameter: Tensor) -> str:
    """Return why nothing can be measured of `parameter`, whoever takes part; empty if something can."""
    if getattr(parameter, "_fsdp_flattened", False):  # What FullyShardedDataParallel marks its own with.
        return FLATTENED
    if any(placement.is_partial() for placement in getattr(parameter, "placements", ())):
        return PARTIAL
    return "" if type(parameter) in _PLAIN or _is_spread(parameter) or _is_readable(parameter) else UNREADABLE


def _is_readable(tensor: Tensor) -> bool:
    """Whether a tensor of an uncommon class can be reduced."""
    if nn.parameter.is_lazy(tensor) or tensor.is_meta:
        return True  # Nothing is to be read of it yet.
    try:
        host.weight_sums([tensor], None)
    except Exception:  # Such classes implement what they please.
        return False
    return True


def has_memory(tensor: Tensor) -> bool:
    """Whether the elements of `tensor` are there; what moves parameters to another place leaves empty ones behind."""
    plain = type(tensor) in _PLAIN and tensor.layout is torch.strided
    return not plain or tensor.data_ptr() != 0 or not tensor.numel()


def is_spread_over_processes(model: nn.Module) -> bool:
    """Whether the model can't be run by one process alone."""
    return any(_is_spread(parameter) or reason_to_omit(parameter) for parameter in model.parameters())


def splits_outputs(module: nn.Module, *, gathered: bool = False) -> bool:
    """Whether a module may put out some of its units in one process and some in another.

    What fully_shard has sharded is gathered before it is used; what is sharded otherwise, or once more, may not be.

    Args:
        module: The module.
        gathered: Whether it is inside of one that fully_shard was called for.
    """
    sharding = sys.modules.get("torch.distributed.fsdp")
    gathered = gathered or (sharding is not None and isinstance(module, sharding.FSDPModule))
    for parameter in module._parameters.values():
        spread: Any = parameter if parameter is not None and _is_spread(parameter) else None
        # In a hybrid mesh the first dimension is of copies; any other second dimension is one of splits.
        if spread is not None and not (gathered and all(each.is_replicate() for each in spread.placements[:-1])):
            return True
    return any(splits_outputs(child, gathered=gathered) for child in module._modules.values() if child is not None)


def _is_spread(tensor: Tensor) -> bool:
    module = sys.modules.get("torch.distributed.tensor")  # Where it was not imported, there is none.
    return module is not None and isinstance(tensor, module.DTensor)


def _sharded_dimensions(tensor: Any) -> tuple[int, ...]:
    """Return the dimensions of its mesh over which the elements of `tensor` are distributed."""
    if not _is_spread(tensor):
        return ()
    return tuple(
        dimension
        for dimension, placement in enumerate(tensor.placements)
        if not (placement.is_replicate() or placement.is_partial()) and tensor.device_mesh.size(dimension) > 1
    )
