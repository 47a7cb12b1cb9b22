"""Which modules are looked at, and where in the network a pass is."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn

from tb_netviz.pytorch.structure import named_modules

CONVOLUTIONS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
_BY_DEFAULT = (*CONVOLUTIONS, nn.RNNBase, nn.MultiheadAttention)
_SHOWN = 6


class Selection:
    """The modules whose output is looked at.

    Args:
        model: The model.
        patterns: Patterns of module names, or None for convolutions, recurrent layers and attention.

    Attributes:
        names: Of all modules of the model, by their ids.

    Raises:
        ValueError: If a pattern names no module.
    """

    def __init__(self, model: nn.Module, patterns: Sequence[str] | None) -> None:
        self.names = {id(module): name for name, module in named_modules(model)}
        self._patterns = patterns
        self._chosen = {
            id(module)
            for name, module in named_modules(model)
            if (isinstance(module, _BY_DEFAULT) if patterns is None else _matches(name, patterns))
        }
        for pattern in patterns or ():
            if not any(fnmatch.fnmatchcase(name, pattern) for name in self.names.values()):
                some = ", ".join(list(self.names.values())[1 : 1 + _SHOWN])
                raise ValueError(f"modules: no module is named {pattern!r}; this model has {some}, …")

    def has_output(self, module: nn.Module) -> bool:
        """Whether the output of `module` is looked at."""
        return id(module) in self._chosen and not isinstance(module, nn.MultiheadAttention)

    def has_attention(self, module_name: str) -> bool:
        """Whether attention that is computed in the module of this name is looked at."""
        return self._patterns is None or _matches(module_name, self._patterns)


class Whereabouts:
    """The modules that a pass is in, and how often each place was visited."""

    def __init__(self, names: dict[int, str]) -> None:
        self._names = names
        self._inside: list[str] = []
        self._visits: Counter[tuple[str, str]] = Counter()

    def enter(self, module: nn.Module, *_: Any) -> None:
        """Note that `module` was entered."""
        self._inside.append(self._names.get(id(module), type(module).__name__))

    def leave(self, *_: Any) -> None:
        """Note that the module that was entered last was left."""
        self._inside.pop()

    @property
    def innermost(self) -> str:
        """Name of the module that the pass is in."""
        return self._inside[-1] if self._inside else ""

    def label(self, name: str, kind: str) -> str:
        """Return `name`, with a number from the second visit on."""
        self._visits[name, kind] += 1
        visit = self._visits[name, kind]
        return name if visit == 1 else f"{name}#{visit}"


def patterns_of(modules: str | Iterable[str] | None) -> list[str] | None:
    """Return the argument `modules` as patterns.

    Raises:
        TypeError: If it is something else.
    """
    if modules is None:
        return None
    patterns: list[Any] = [modules] if isinstance(modules, str) else list(modules)
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise TypeError(f'modules must be patterns of module names such as "blocks.*.conv", got {pattern!r}')
    return patterns


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
