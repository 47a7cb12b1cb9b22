"""Keeps a pass of one process from waiting for the others."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_COLLECTIVE = ("c10d", "_c10d_functional", "_c10d_functional_autograd")


def alone() -> contextlib.AbstractContextManager[Any]:
    """Return a context in which an exchange between processes raises instead of waiting for ever."""
    distributed = torch.distributed
    together = distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
    return _Alone() if together else contextlib.nullcontext()  # type: ignore[no-untyped-call]  # In torch.


class _Alone(TorchDispatchMode):  # type: ignore[no-untyped-call]  # In torch.
    def __torch_dispatch__(
        self, operation: Any, types: Iterable[type], arguments: Sequence[Any] = (), keywords: Any = None
    ) -> Any:
        """Run `operation`, unless other processes have to run it too."""
        if operation.namespace in _COLLECTIVE:
            raise RuntimeError("the model exchanges something with other processes when it is run")
        return operation(*arguments, **(keywords or {}))
