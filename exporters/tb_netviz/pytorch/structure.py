"""What a model consists of: names as its author wrote them, modules, parameters and what is left out."""

from __future__ import annotations

import fnmatch
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from torch import nn

from tb_netviz.pytorch.details import detail_of, dropout_of
from tb_netviz.pytorch.shards import SHARDED, is_sharded, kind_of, reason_to_omit
from tb_netviz_plugin.schema.description import Module, Omission, Parameter

_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)
_WRAPPED = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""Children that a wrapper hides its module under: torch.compile, FSDP, activation checkpointing."""


def unwrap(model: nn.Module) -> nn.Module:
    """Return the module inside DataParallel, DistributedDataParallel, torch.compile and the like."""
    for key in (*_WRAPPED, "module"):
        if key in model._modules and _is_transparent(model, key):  # TorchScript has no `get` there.
            inner = model._modules[key]
            return model if inner is None else unwrap(inner)
    return model


def named_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield (name, module) of `model` and all below it, each once; wrappers leave no trace in the names."""
    root = unwrap(model)
    yield from _walk(root, "", kind_of(root), set())


def _walk(module: nn.Module, prefix: str, name: str, seen: set[int]) -> Iterator[tuple[str, nn.Module]]:
    if id(module) in seen:
        return
    seen.add(id(module))
    yield name, module
    for key, child in module._modules.items():
        if child is not None:
            child = unwrap(child)  # noqa: PLW2901  The child is what it wraps.
            yield from _walk(child, f"{prefix}{key}.", f"{prefix}{key}", seen)


def compiled_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield (name, module) of those modules that torch.compile was called for."""
    inside = {id(unwrap(module)) for module in model.modules() if "_orig_mod" in module._modules}
    for name, module in named_modules(model):
        if id(module) in inside or module._compiled_call_impl is not None:
            yield name, module


def _is_transparent(module: nn.Module, key: str) -> bool:
    return key in _WRAPPED or isinstance(module, _WRAPPERS)


class Home(NamedTuple):
    """Where a parameter lives. A weak reference to itself would forbid torch to swap it."""

    module: weakref.ref[nn.Module]
    key: str

    def parameter(self) -> nn.Parameter | None:
        """Return the parameter that lives there now."""
        module = self.module()
        return module._parameters[self.key] if module is not None and self.key in module._parameters else None


def homes_in(model: nn.Module) -> list[Home]:
    """Return where the parameters of `model` live, each once."""
    homes = {
        id(parameter): Home(weakref.ref(module), key)
        for module in model.modules()
        for key, parameter in module._parameters.items()
        if parameter is not None
    }
    return list(homes.values())


@dataclass(frozen=True)
class Layout:
    """The rows of a model: its parameters in the order of its modules.

    Attributes:
        modules: In the order in which they run; a row's owner is an index into them.
        names: Of the parameters, such as "blocks.0.conv.weight".
        owners: Indices of their modules.
        homes: Where the parameters are found: their modules, held weakly since watching a model doesn't keep it, and
            their names in these. No weak reference to a parameter itself: one that has any can't be swapped, as
            `Module.to` does with tensors of some kinds.
        omissions: What has no row, and why.
    """

    modules: tuple[Module, ...] = ()
    names: tuple[str, ...] = ()
    owners: tuple[int, ...] = ()
    homes: tuple[Home, ...] = ()
    omissions: tuple[Omission, ...] = ()

    def parameters(self) -> list[nn.Parameter]:
        """Return the parameters, row by row.

        Raises:
            ReferenceError: If one of them exists no longer.
        """
        parameters = [home.parameter() for home in self.homes]
        there = [parameter for parameter in parameters if parameter is not None]
        if len(there) < len(parameters):
            raise ReferenceError("the model's parameters were removed")
        return there


class Shapes(NamedTuple):
    """Shapes of the first tensors that went in and out of a module in a forward pass."""

    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()


def lay_out(
    modules: Sequence[tuple[str, nn.Module]],
    shapes: dict[int, Shapes],
    include: Sequence[str],
    exclude: Sequence[str],
    sharded: str = SHARDED,
    dropouts: Mapping[str, float] = MappingProxyType({}),
) -> Layout:
    """Give each parameter of `modules` a row.

    Args:
        modules: Names and modules, in the order in which they run.
        shapes: By the modules' id, as far as known.
        include: Patterns of parameter names such as "blocks.*.weight"; others are left out. Empty: all.
        exclude: Patterns of parameter names that are left out.
        sharded: Why those are left out that are sharded over processes; empty if they are not.
        dropouts: Shares that are left out by functions that modules call, by the modules' names.
    """
    root = modules[0][0]
    described, names, owners, homes, omissions = [], [], [], [], []
    seen: set[int] = set()
    for place, (name, module) in enumerate(modules):
        seen_shapes = shapes.get(id(module), Shapes())
        left_out = dropout_of(module) or dropouts.get(name, 0.0)
        described.append(
            Module(name, kind_of(module), seen_shapes.inputs, seen_shapes.outputs, detail_of(module), left_out)
        )
        for key, parameter in module._parameters.items():
            if parameter is None or id(parameter) in seen:
                continue
            seen.add(id(parameter))
            full = key if name == root else f"{name}.{key}"
            reason = _reason_to_omit(full, parameter, include, exclude, sharded)
            if reason:
                omissions.append(Omission(full, reason))
                continue
            names.append(full)
            owners.append(place)
            homes.append(Home(weakref.ref(module), key))
    return Layout(tuple(described), tuple(names), tuple(owners), tuple(homes), tuple(omissions))


def describe_parameters(layout: Layout, groups: dict[int, int]) -> tuple[Parameter, ...]:
    """Return the rows of `layout` as they are now.

    Args:
        layout: The rows.
        groups: By a parameter's id, the index of its group among all groups of the run's description.
    """
    return tuple(
        Parameter(
            name,
            owner,
            tuple(parameter.shape),
            str(parameter.dtype).removeprefix("torch."),
            not parameter.requires_grad,
            groups.get(id(parameter)),
        )
        for name, owner, parameter in zip(layout.names, layout.owners, layout.parameters(), strict=True)
    )


def _reason_to_omit(
    name: str, parameter: nn.Parameter, include: Sequence[str], exclude: Sequence[str], sharded: str
) -> str:
    kind = str(parameter.dtype).removeprefix("torch.")
    spread = reason_to_omit(parameter)
    reasons = (
        (isinstance(parameter, nn.parameter.UninitializedParameter), "has no values yet"),
        (bool(spread), spread),
        (bool(sharded) and is_sharded(parameter), sharded),
        (parameter.device.type == "meta", "has no values, being on the meta device"),
        (not (parameter.dtype.is_floating_point or parameter.dtype.is_complex), f"holds {kind}"),
        (bool(include) and not _matches(name, include), "not named by include"),
        (_matches(name, exclude), "named by exclude"),
    )
    return next((reason for applies, reason in reasons if applies), "")


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
