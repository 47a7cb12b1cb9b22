"""What we tell the user of a training run: a warning, never an exception."""

from __future__ import annotations

import logging
import warnings


class NetVizWarning(UserWarning):
    """Something was not recorded. Training goes on."""


def warn(message: str, stacklevel: int = 2) -> None:
    """Warn, and never raise: where warnings are errors, the message is logged instead."""
    try:
        warnings.warn(f"netviz: {message}", NetVizWarning, stacklevel=stacklevel + 1)
    except NetVizWarning as raised:
        logging.getLogger("tb_netviz").warning("%s", raised)
