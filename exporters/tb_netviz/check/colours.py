"""Colours on a terminal that wants them; without colour the words say the same."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from tb_netviz_plugin.diagnosis import Severity

Paint = Callable[[str, Severity], str]
"""Returns a line in the colour of a severity."""

_CODES = {Severity.CRITICAL: "1;31", Severity.WARNING: "1;33", Severity.INFO: "1;34"}


def paint() -> Paint:
    """Return what colours a line, or leaves it as it is: see https://no-color.org."""
    wanted = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return _coloured if wanted else _plain


def _coloured(line: str, severity: Severity) -> str:
    return f"\x1b[{_CODES[severity]}m{line}\x1b[0m"


def _plain(line: str, _severity: Severity) -> str:
    return line
