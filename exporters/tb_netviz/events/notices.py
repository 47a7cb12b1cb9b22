"""What we tell the user of a training run: a warning, never an exception."""

from __future__ import annotations

import logging
import warnings


class NetVizWarning(UserWarning):
    """Something was not recorded. Training goes on."""


def warn(message: str, stacklevel: int = 2) -> None:
    """Warn, and never raise: where warnings are errors, the message is logged instead.

    Args:
        message: What happened, and what becomes of the training.
        stacklevel: As for `warnings.warn`, called in the place of this function.
    """
    try:
        warnings.warn(f"netviz: {message}", NetVizWarning, stacklevel=stacklevel + 1)
    except NetVizWarning as raised:
        logging.getLogger("tb_netviz").warning("%s", raised)
