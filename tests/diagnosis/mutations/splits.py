"""Changes the part that is trained on wherever a training splits its data."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from unittest import mock

from torch import Tensor

from tests.diagnosis import data
from tests.diagnosis.data import Part, Split


def patch(fault: Callable[[Part], Part], undo: ExitStack) -> Callable[[], str]:
    """Let every `split` put the fault; return what tells what is missing for it to be one."""
    original = data.split
    made: list[Split] = []

    def split(inputs: Tensor, targets: Tensor, held_out: int, seed: int) -> Split:
        whole = original(inputs, targets, held_out, seed)
        made.append(Split(fault(whole.train), whole.held_out))
        return made[-1]

    for name, module in list(sys.modules.items()):  # Scenarios have imported it by its name.
        if name.startswith("tests.diagnosis.") and vars(module).get("split") is original:
            undo.enter_context(mock.patch.object(module, "split", split))
    return lambda: "" if made else "split of data"
