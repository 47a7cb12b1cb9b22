"""Which optimizers train a model, and which rows each of them steps."""

from __future__ import annotations

import math
import sys
import weakref
from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer

from tb_netviz_plugin.schema.description import OptimizerGroup

MOST_SETTINGS = 32
"""Numbers that are recorded of an optimizer group."""
_NO_SETTINGS = frozenset({"params", "lr", "initial_lr", "foreach", "fused", "capturable", "differentiable"})
"""What an optimizer group holds beside settings: its parameters, learning rates, and how a step is computed."""


def innermost(optimizer: Optimizer) -> Optimizer:
    """Return the optimizer that steps, inside those that wrap one in an attribute `optimizer`."""
    inner = getattr(optimizer, "optimizer", None)
    return innermost(inner) if isinstance(inner, Optimizer) else optimizer


def parameters_of(optimizer: Optimizer) -> list[nn.Parameter]:
    """Return the parameters of all groups."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def learning_rates(optimizer: Optimizer) -> list[float]:
    """Return the learning rate of each group, NaN where it has none."""
    return [float(group.get("lr", math.nan)) for group in optimizer.param_groups]


def holds_any(optimizer: Optimizer, model: nn.Module) -> bool:
    """Whether `optimizer` holds a parameter of `model`."""
    ids = {id(parameter) for parameter in model.parameters()}
    return any(id(parameter) in ids for parameter in parameters_of(optimizer))


class Membership:
    """Tells the optimizers that hold parameters of a model from others.

    An answer is kept until the number of the optimizer's parameters changes, and optimizers and model are held weakly.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = weakref.ref(model)
        self._answers: weakref.WeakKeyDictionary[Optimizer, tuple[int, bool]] = weakref.WeakKeyDictionary()

    @property
    def optimizers(self) -> list[Optimizer]:
        """Optimizers that were found to hold parameters of the model, in the order in which they were met."""
        return [optimizer for optimizer, (_, holds) in self._answers.items() if holds]

    def concerns(self, optimizer: Optimizer) -> bool:
        """Whether `optimizer` holds a parameter of the model."""
        count = sum(len(group["params"]) for group in optimizer.param_groups)
        answer = self._answers.get(optimizer)
        if answer is None or answer[0] != count:
            model = self._model()
            holds = model is not None and holds_any(optimizer, model)
            self._answers[optimizer] = answer = (count, holds)
        return answer[1]


def describe_groups(optimizers: Iterable[Optimizer]) -> tuple[tuple[OptimizerGroup, ...], dict[int, int]]:
    """Return the groups of `optimizers`, and by a parameter's id the index of its group among them."""
    groups: list[OptimizerGroup] = []
    places: dict[int, int] = {}
    for optimizer in optimizers:
        for index, group in enumerate(optimizer.param_groups):
            places.update((id(parameter), len(groups)) for parameter in group["params"])
            rate = float(group.get("lr", 0.0))
            groups.append(OptimizerGroup(type(optimizer).__name__, index, rate, settings_of(group)))
    return tuple(groups), places


def settings_of(group: Mapping[str, Any]) -> tuple[tuple[str, float], ...]:
    """Return the finite numbers of an optimizer group beside its learning rate, in alphabetical order; no tensors."""
    named = ((str(name), value) for name, value in group.items() if name not in _NO_SETTINGS)
    numbers = (number for name, value in named for number in _numbers(name, value))
    return tuple(sorted(numbers)[:MOST_SETTINGS])


def _numbers(name: str, value: object) -> list[tuple[str, float]]:
    if isinstance(value, int | float):
        return [(name, float(value))] if abs(value) <= sys.float_info.max else []
    if isinstance(value, tuple | list):
        return [number for index, one in enumerate(value) for number in _numbers(f"{name}.{index}", one)]
    return []
