"""What a process tells the first one of the units of its copy of a model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tb_netviz.recorder.windows import Float32
from tb_netviz.statistics.partials import Array
from tb_netviz.statistics.units import UNIT_SUMS
from tb_netviz_plugin.schema.description import Response

TOLD = tuple(UNIT_SUMS.index(name) for name in ("total", "squares", "saturated", "nonfinite", "fired"))
"""Rows of UNIT_SUMS that are told."""
CAN_DIE = (Response.RECTIFIER, Response.SMOOTH)
"""Responses for which the largest value decides."""

_NAMED = 8

_HEAD, _COUNT = np.dtype("<u4"), np.dtype("<i8")
_WIDE, _NARROW = np.dtype("<f8"), np.dtype("<f4")


def listed(names: Sequence[object]) -> str:
    """Return the first of `names`."""
    return ", ".join(map(str, names[:_NAMED])) + ", …" * (len(names) > _NAMED)


class Key(NamedTuple):
    """Tells which activations of two processes are the same."""

    name: str
    units: int


@dataclass
class Seen:
    """What was seen of one activation, U units.

    Attributes:
        sums: The rows TOLD of UNIT_SUMS since the beginning, float64 [len(TOLD), U].
        counts: Samples whose largest value was read, samples that are counted and values of one unit in these, since
            the beginning, [3].
        largest: The largest values since the first process last read them, at least, [U]; -inf where the activation has
            not run, NaN where it gave nothing but NaN.
    """

    sums: Array
    counts: Array
    largest: Float32

    @classmethod
    def none(cls, units: int) -> Seen:
        """Return what nothing was seen of."""
        return cls(np.zeros((len(TOLD), units)), np.zeros(3), np.full(units, -np.inf, np.float32))

    def since(self, earlier: Seen | None) -> tuple[Array, Array]:
        """Return by how much sums and counts have grown."""
        if earlier is None:
            return self.sums, self.counts
        return self.sums - earlier.sums, self.counts - earlier.counts


@dataclass
class Post:
    """A message.

    Attributes:
        watch: Number of the watch of the first process that it is meant for.
        serial: Its number among the messages of that watch, from 1.
        weights: Digest of the weights that this copy began with.
        interval: Every how many steps one is going to be observed.
        left: Why nothing more is measured for the time being; empty if something is.
        seen: By activation; the first ones matter most.
        left_out: Names of the activations that had no room.
    """

    watch: int
    serial: int
    weights: str
    interval: int
    left: str = ""
    seen: Mapping[Key, Seen] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    def encoded(self, most: int) -> bytes:
        """Return it as bytes, of which the numbers take at most so many; what has no room is left out."""
        kept = _fitting(self.seen, most)
        left_out = [key.name for key in self.seen if key not in kept]
        sites = [[*key, *seen.counts.tolist()] for key, seen in kept.items()]
        head = json.dumps([self.watch, self.serial, self.weights, self.interval, self.left, sites, left_out]).encode()
        parts = [np.array(len(head), _HEAD).tobytes(), head]
        parts += [seen.sums.astype(_WIDE, copy=False).tobytes() for seen in kept.values()]
        parts += [seen.largest.astype(_NARROW, copy=False).tobytes() for seen in kept.values()]
        return b"".join(parts)

    @classmethod
    def decoded(cls, message: bytes) -> Post:
        """Return the post in `message`, whose numbers are not copied.

        Raises:
            ValueError: If it is none.
        """
        body = _HEAD.itemsize + int(np.frombuffer(message, _HEAD, 1)[0])
        watch, serial, weights, interval, left, sites, left_out = json.loads(message[_HEAD.itemsize : body])
        keys = [Key(name, units) for name, units, *_ in sites]
        ends = np.cumsum([0, *(key.units for key in keys)])
        total = int(ends[-1])
        sums = np.frombuffer(message, _WIDE, len(TOLD) * total, body)
        largest = np.frombuffer(message, _NARROW, total, body + sums.nbytes)
        seen = {
            key: Seen(
                sums[len(TOLD) * first : len(TOLD) * last].reshape(len(TOLD), key.units),
                np.array(counts, np.float64),
                largest[first:last],
            )
            for key, (_, _, *counts), first, last in zip(keys, sites, ends[:-1], ends[1:], strict=True)
        }
        return cls(watch, serial, weights, interval, left, seen, tuple(left_out))


def _fitting(seen: Mapping[Key, Seen], most: int) -> dict[Key, Seen]:
    """Return the first ones whose numbers fit into so many bytes."""
    sizes: npt.NDArray[np.int64] = np.cumsum([each.sums.nbytes + each.largest.nbytes for each in seen.values()])
    count = int(np.searchsorted(sizes, most, side="right"))
    return dict(list(seen.items())[:count])


class Receipts:
    """Says which message of each process the first one has read last, and how often it observes.

    That is what it leaves for the others. Where it has left nothing, it reads nothing.

    Args:
        watch: Number of its watch.
        processes: How many there are.
    """

    def __init__(self, watch: int, processes: int) -> None:
        self._numbers = np.zeros(2 + processes, _COUNT)
        self._numbers[:2] = watch, 1

    @property
    def watch(self) -> int:
        """Number of the watch."""
        return int(self._numbers[0])

    @property
    def interval(self) -> int:
        """Every how many steps the first process observes one."""
        return int(self._numbers[1])

    @interval.setter
    def interval(self, interval: int) -> None:
        self._numbers[1] = interval

    def note(self, rank: int, serial: int) -> None:
        """Note that a message was read."""
        self._numbers[2 + rank] = serial

    def last(self, rank: int) -> int:
        """Return which message of `rank` was read last, 0 where none was."""
        return int(self._numbers[2 + rank])

    def encoded(self) -> bytes:
        """Return them as bytes."""
        return self._numbers.tobytes()

    @classmethod
    def decoded(cls, message: bytes) -> Receipts | None:
        """Return what `encoded` has returned; None where nothing was left."""
        if not message:
            return None
        receipts = cls(0, 0)
        receipts._numbers = np.frombuffer(message, _COUNT)
        return receipts
