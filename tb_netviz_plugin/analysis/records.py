"""The records of one tag, and which of them a resumed run has superseded."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Values = npt.NDArray[Any]

_BLOCK = 64
"""Records that are turned at a time: few enough to stay in the processor's cache, which is twice as fast."""


@dataclass(frozen=True, slots=True)
class Records:
    """What one tag holds, N records in the order in which they were written.

    Attributes:
        steps: Last step of each record, [N].
        walls: When it was written, in seconds since the epoch, [N].
        planes: The values with time last: [rows, columns, N] for parameters and bins, [columns, N] for
            steps and metrics. One plane, or centre, low and high.
    """

    steps: Floats
    walls: Floats
    planes: tuple[Values, ...] | Planes

    @property
    def nbytes(self) -> int:
        """Memory that they take."""
        held = self.planes.nbytes if isinstance(self.planes, Planes) else sum(plane.nbytes for plane in self.planes)
        return self.steps.nbytes + self.walls.nbytes + held

    def plane(self, index: int) -> Values:
        """Return plane `index`; without a window the lowest and the highest value are the only one."""
        return self.planes[min(index, len(self.planes) - 1)]

    def column(self, index: int, plane: int) -> Values:
        """Return column `index` of a plane of two axes, [rows, N]."""
        if isinstance(self.planes, Planes) and plane > 0:
            return self.planes.column(index, plane)
        column: Values = self.plane(plane)[:, index]
        return column


class Planes(Sequence[Values]):
    """The planes of tensors, the first of which is asked for again and again, and of the others hardly a column.

    Turning them so that time is last is most of the work of reading a run, so that only the first is kept that way.

    Args:
        tensors: [planes, …] each; what has one plane only has it for all.
    """

    def __init__(self, tensors: Sequence[Values]) -> None:
        self._tensors = tensors
        self._count = max(len(tensor) for tensor in tensors)
        self._centre = _time_last(tensors, 0)

    @property
    def nbytes(self) -> int:
        """Memory that they take."""
        return self._centre.nbytes + sum(tensor.nbytes for tensor in self._tensors)

    def __len__(self) -> int:
        """Return how many there are."""
        return self._count

    def __getitem__(self, index: Any) -> Any:
        """Return one, time last."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        return _time_last(self._tensors, index) if index else self._centre

    def column(self, index: int, plane: int) -> Values:
        """Return column `index` of a plane of two axes, [rows, N]."""
        return _time_last([tensor[..., index] for tensor in self._tensors], plane)


def stack(steps: Sequence[int], walls: Sequence[float], tensors: Sequence[Values], dimensions: int) -> Records:
    """Return the records of the tensors that a tag holds.

    A tensor whose shape and type are not those of most of its tag is left out: a damaged record costs
    itself only.

    Args:
        steps: Step of each.
        walls: Wall time of each.
        tensors: One a record, of `dimensions` axes, or one more where planes lead.
        dimensions: Axes of a plane.
    """
    layouts = [_layout(tensor, dimensions) for tensor in tensors]
    common = Counter(layout for layout in layouts if layout).most_common(1)
    if not common:
        return Records(np.empty(0), np.empty(0), (np.empty((0,) * dimensions + (0,), np.float32),))
    kept = [i for i, layout in enumerate(layouts) if layout == common[0][0]]
    leading = [tensors[i] if tensors[i].ndim > dimensions else tensors[i][None] for i in kept]
    return Records(
        np.array([steps[i] for i in kept], np.float64),
        np.array([walls[i] for i in kept], np.float64),
        Planes(leading) if any(len(tensor) > 1 for tensor in leading) else (_time_last(leading, 0),),
    )


def _layout(tensor: Values, dimensions: int) -> tuple[tuple[int, ...], str] | None:
    """Return shape and type of a tensor's planes, or None if it can't be a record."""
    planes = len(tensor) if tensor.ndim == dimensions + 1 else int(tensor.ndim == dimensions)
    return (tensor.shape[-dimensions:], tensor.dtype.str) if planes in (1, 3) and tensor.dtype.kind in "fiu" else None


def _time_last(tensors: Sequence[Values], plane: int) -> Values:
    """Return one plane of each tensor; of those that have one plane only, that one."""
    shape = tensors[0].shape[1:]
    turned = np.empty((math.prod(shape), len(tensors)), tensors[0].dtype)
    for first in range(0, len(tensors), _BLOCK):
        block = [tensor[min(plane, len(tensor) - 1)].ravel() for tensor in tensors[first : first + _BLOCK]]
        turned[:, first : first + len(block)] = np.stack(block).T
    return turned.reshape(*shape, len(tensors))


def distinct(values: Floats) -> Floats:
    """Return the values in increasing order, each once.

    As np.unique does; that takes 10 to 40 ms at its first call, in which it imports numpy.ma.
    """
    ordered = np.sort(values)
    return ordered[np.append(True, ordered[1:] > ordered[:-1])] if ordered.size else ordered


def surviving(records: Records, session: Sequence[Records]) -> Bools:
    """Return which of `records` no later record has superseded, [N].

    A run that is resumed from a checkpoint goes back: whatever was written before, at that step and
    beyond, did not lead to the weights that it has now. TensorBoard's data server honours that, within
    a tag; its Python loader does not.

    Args:
        records: Records of one tag.
        session: Records of all tags that are written together with it.
    """
    walls = np.concatenate([other.walls for other in session])
    order = np.argsort(walls, kind="stable")
    steps = np.concatenate([other.steps for other in session])[order]
    lowest_after = np.append(np.minimum.accumulate(steps[::-1])[::-1], np.inf)
    cutoff = lowest_after[np.searchsorted(walls[order], records.walls, side="right")]
    alive = np.flatnonzero(records.steps < cutoff)
    _, from_the_end = np.unique(records.steps[alive][::-1], return_index=True)
    last_of_each_step = alive[len(alive) - 1 - from_the_end]
    kept = np.zeros(len(records.steps), np.bool_)
    kept[last_of_each_step] = True
    return kept
