"""The user's hooks on all modules there are, which expect the passes of the training and no others."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from torch.nn.modules import module as torch_module

_NAMES = ("_global_forward_hooks", "_global_forward_pre_hooks", "_global_backward_hooks", "_global_backward_pre_hooks")


@contextlib.contextmanager
def without_global_hooks() -> Iterator[None]:
    """Let them be absent for a while."""
    hooks: list[dict[int, Any]] = [getattr(torch_module, name) for name in _NAMES]
    kept = [dict(each) for each in hooks]
    for each in hooks:
        each.clear()
    try:
        yield
    finally:
        for each, before in zip(hooks, kept, strict=True):
            each.clear()
            each.update(before)
