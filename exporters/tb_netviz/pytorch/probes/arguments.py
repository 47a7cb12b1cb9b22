"""Arguments of what runs a model beside its training."""

from __future__ import annotations

from typing import Any


def text_of(name: Any) -> str:
    """Return `name`.

    Raises:
        TypeError: If it is no text.
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a text, got {name!r}")
    return name


def bytes_of(budget: Any) -> int:
    """Return `budget`.

    Raises:
        ValueError: If it is no number of bytes.
    """
    if not isinstance(budget, int) or isinstance(budget, bool) or budget < 1:
        raise ValueError(f"budget_bytes must be a whole number of bytes, at least 1, got {budget!r}")
    return budget
