"""Which of a criterion's arguments are the outputs, and which the targets."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from tb_netviz.pytorch.activations.outputs import first_tensor


class Arguments:
    """Tells a criterion's arguments apart: the first one that holds a tensor has the outputs, the next the targets.

    Args:
        criterion: The loss module. Keyword arguments are put in the order in which its `forward` names them.
    """

    def __init__(self, criterion: nn.Module) -> None:
        try:
            self._names = list(inspect.signature(criterion.forward).parameters)
        except (TypeError, ValueError):  # Of a callable that is not written in Python.
            self._names = []

    def ends(self, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> tuple[Tensor | None, Tensor | None]:
        """Return outputs and targets; None where there are none."""
        named = sorted(keywords.items(), key=lambda item: self._place(item[0]))
        found = (first_tensor(value) for value in [*arguments, *(value for _, value in named)])
        outputs, targets, *_ = [*(tensor for tensor in found if tensor is not None), None, None]
        return outputs, targets

    def _place(self, name: str) -> int:
        return self._names.index(name) if name in self._names else len(self._names)
