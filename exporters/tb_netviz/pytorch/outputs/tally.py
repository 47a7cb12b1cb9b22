"""What was measured of outputs, targets and inputs at one training step."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tb_netviz.pytorch.transfers import Transfer
from tb_netviz.recorder import OutputValues
from tb_netviz.statistics.outputs import OUTPUT_SUMS, output_columns


class OutputTally:
    """Sums of the parts that were seen; several forward passes of a step add up."""

    def __init__(self) -> None:
        self._parts: dict[str, Tensor] = {}
        self._classes: Tensor | None = None
        self._sent: dict[str, Transfer] = {}
        self._sent_classes: Transfer | None = None

    def add(self, part: str, sums: Tensor) -> None:
        """Add what a pass gave, in the order of OUTPUT_SUMS[part]."""
        known = self._parts.get(part)
        if known is None:
            self._parts[part] = sums
        elif known.device == sums.device:  # Elsewhere it would have to be waited for.
            self._parts[part] = _merged(part, known, sums)

    def add_classes(self, classes: Tensor) -> None:
        """Add CLASS_COLUMNS of each class, [classes, 3]; of a loss over other classes nothing is added."""
        if self._classes is None:
            self._classes = classes
        elif self._classes.shape == classes.shape and self._classes.device == classes.device:
            self._classes = self._classes + classes

    def merge(self, other: OutputTally) -> None:
        """Add what another part of the same step gave."""
        for part, sums in other._parts.items():
            self.add(part, sums)
        if other._classes is not None:
            self.add_classes(other._classes)

    def send(self) -> None:
        """Let it set out for the host; it is complete."""
        self._sent = {part: Transfer(sums) for part, sums in self._parts.items()}
        self._sent_classes = None if self._classes is None else Transfer(self._classes)

    @property
    def ready(self) -> bool:
        """Whether it has arrived."""
        arriving = [*self._sent.values(), *([self._sent_classes] if self._sent_classes else [])]
        return all(sent.ready for sent in arriving)

    def values(self) -> OutputValues | None:
        """Return what is recorded of it, after waiting if need be; None where nothing was seen."""
        if not self._sent:
            return None
        columns = output_columns({part: sent.array().astype(np.float64) for part, sent in self._sent.items()})
        classes = None if self._sent_classes is None else self._sent_classes.array().astype(np.float64)
        return OutputValues(columns, classes)


def _merged(part: str, one: Tensor, other: Tensor) -> Tensor:
    added, highest, _ = OUTPUT_SUMS[part]
    first, second = len(added), len(added) + len(highest)
    return torch.cat(
        [
            one[:first] + other[:first],
            torch.maximum(one[first:second], other[first:second]),
            torch.minimum(one[second:], other[second:]),
        ]
    )
