"""Lets a model run beside its training and leaves no trace of it.

All that a forward pass may change is put back, whatever happens in it: attributes of modules and their training flags,
buffers, random states. Hooks of the model are absent meanwhile, ours and the user's: they expect the passes of the
training. Those of torch's own reparametrisations stay, which compute weights and nothing else.
"""

from __future__ import annotations

import contextlib
import random
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.prune import BasePruningMethod

from tb_netviz.pytorch.global_hooks import without_global_hooks
from tb_netviz.pytorch.structure import unwrap

_PRE_HOOKS = "_forward_pre_hooks"
_DETAILS = {  # Which of the hooks take keywords, and the like; by the same keys.
    "_forward_hooks": ("_forward_hooks_with_kwargs", "_forward_hooks_always_called"),
    _PRE_HOOKS: ("_forward_pre_hooks_with_kwargs",),
    "_backward_hooks": (),
    "_backward_pre_hooks": (),
}


@contextlib.contextmanager
def undisturbed(model: nn.Module, tensors: Iterable[Tensor] = ()) -> Iterator[nn.Module]:
    """Yield `model` without its wrappers in eval mode, without its hooks and compiled code, and put everything back.

    Args:
        model: The model.
        tensors: What it will be run on; random states of their devices are put back, too.
    """
    root = unwrap(model)
    held = [*root.parameters(), *root.buffers(), *tensors]
    devices = {tensor.device for tensor in held if tensor.device.type != "meta"}
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        _keep_random_states(stack, devices)
        stack.enter_context(_without_compiled_code())
        stack.enter_context(_without_fast_path())
        for kind in {device.type for device in devices}:
            stack.enter_context(_autocast_without_cache(kind))
        stack.enter_context(without_global_hooks())
        stack.enter_context(_substituted(root))
        yield root


@contextlib.contextmanager
def _substituted(root: nn.Module) -> Iterator[None]:
    modules = list(root.modules())
    kept = [(module, dict(vars(module))) for module in modules]
    try:
        copies: dict[int, Tensor] = {}
        for module in modules:
            _substitute(module, copies)
        yield
    finally:
        for module, attributes in kept:
            _put_back(module, attributes)


def _substitute(module: nn.Module, copies: dict[int, Tensor]) -> None:
    """Give a module attributes of its own for a while, which refer to the same parameters."""
    own = vars(module)
    own["training"] = False
    own["_parameters"] = dict(module._parameters)
    own["_buffers"] = {key: None if old is None else _copy(old, copies) for key, old in module._buffers.items()}
    own["_modules"] = {key: None if child is None else unwrap(child) for key, child in module._modules.items()}
    own["_compiled_call_impl"] = None
    for name, details in _DETAILS.items():
        hooks = OrderedDict((key, hook) for key, hook in own[name].items() if name == _PRE_HOOKS and _is_torchs(hook))
        own[name] = hooks
        for detail in details:
            own[detail] = OrderedDict((key, value) for key, value in own[detail].items() if key in hooks)


def _put_back(module: nn.Module, attributes: dict[str, Any]) -> None:
    own = vars(module)
    for key in own.keys() - attributes.keys():
        del own[key]
    for key, value in attributes.items():
        if key not in own or own[key] is not value:
            own[key] = value


def _copy(buffer: Tensor, copies: dict[int, Tensor]) -> Tensor:
    if id(buffer) not in copies:  # Modules may share one.
        copies[id(buffer)] = buffer.detach().clone()
    return copies[id(buffer)]


def _is_torchs(hook: object) -> bool:
    return isinstance(hook, BasePruningMethod) or type(hook).__module__.startswith("torch.nn.utils.")


def dropped_hooks(model: nn.Module) -> bool:
    """Whether the user has forward hooks on the model that a probe leaves out."""
    hooks = [hook for module in unwrap(model).modules() for hook in _forward_hooks(module)]
    return any(not _is_torchs(hook) and not type(hook).__module__.startswith("tb_netviz.") for hook in hooks)


def _forward_hooks(module: nn.Module) -> list[object]:
    return [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]


def _keep_random_states(stack: contextlib.ExitStack, devices: set[torch.device]) -> None:
    stack.callback(random.setstate, random.getstate())
    stack.callback(np.random.set_state, np.random.get_state())  # noqa: NPY002  The user's model may draw from it.
    stack.enter_context(torch.random.fork_rng(devices=[]))
    for kind in {device.type for device in devices} - {"cpu"}:
        indices = [device.index or 0 for device in devices if device.type == kind]
        stack.enter_context(torch.random.fork_rng(devices=indices, device_type=kind))


def _without_compiled_code() -> contextlib.AbstractContextManager[Any]:
    """Functions that were compiled run as they were written; eval mode would compile them once more."""
    stance = getattr(torch.compiler, "set_stance", None)  # Since torch 2.6.
    return contextlib.nullcontext() if stance is None else stance("force_eager")


@contextlib.contextmanager
def _without_fast_path() -> Iterator[None]:
    """In eval mode torch's transformer layers would otherwise run as one operation, inside which nothing is seen."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


@contextlib.contextmanager
def _autocast_without_cache(kind: str) -> Iterator[None]:
    """Keep the user's autocast, if one is on, from remembering weights that it cast without a gradient."""
    if not torch.is_autocast_enabled(kind):
        yield
        return
    with torch.autocast(kind, dtype=torch.get_autocast_dtype(kind), cache_enabled=False):
        yield
