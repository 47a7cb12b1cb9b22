"""TorchScript: modules whose code runs where no Python is, and on which torch lets nobody put a hook."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

UNSEEN = "is TorchScript, which takes no hooks: order, shapes and activations of what is inside are unknown"
WHOLE = (
    "{} is TorchScript, which takes no hooks. Gradients, weights and updates are recorded; order, shapes and "
    "activations of its modules are unknown, and writer.step moves on with the optimizer's step rather than with the "
    "forward pass before it. To see all of it, train the model as it was written and script it afterwards."
)


def is_scripted(module: nn.Module) -> bool:
    """Whether `module` was scripted, traced or loaded as TorchScript; what is inside of it is then, too."""
    return isinstance(module, torch.jit.ScriptModule)


def has_scripted(model: nn.Module) -> bool:
    """Whether anything in `model` is TorchScript."""
    return any(is_scripted(module) for module in model.modules())


def outermost(modules: Iterator[tuple[str, nn.Module]]) -> Iterator[tuple[str, nn.Module]]:
    """Yield those of named modules that are TorchScript, without what is inside of them."""
    inside: set[int] = set()
    for name, module in modules:
        if is_scripted(module) and id(module) not in inside:
            inside.update(id(inner) for inner in module.modules())
            yield name, module
