"""Text that comes from a file, such that a terminal shows it and does not obey it."""

from __future__ import annotations

_WIDEST = 60


def printable(text: str) -> str:
    """Return `text` with escapes in the place of what is no sign to print."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def short_name(name: str) -> str:
    """Return `name` likewise, cut where it is very long."""
    shown = printable(name)
    return shown if len(shown) <= _WIDEST else f"{shown[: _WIDEST - 1]}…"
