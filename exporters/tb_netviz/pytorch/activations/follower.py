"""What a process does that measures activations for the first one: it tells what its copy of the model did."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tb_netviz.pytorch.activations.posts import CAN_DIE, TOLD, Key, Post, Receipts, Seen
from tb_netviz.pytorch.mailbox import Mailbox
from tb_netviz.recorder import Activities
from tb_netviz.recorder.windows import Float32
from tb_netviz.statistics.units import UNIT_SUMS
from tb_netviz_plugin.schema.description import Activation

_LARGEST = UNIT_SUMS.index("largest")


class Ledger:
    """Sums up what activations did, from record to record.

    Sums go on for ever, so that a message that was not read is made up for by the next one. Largest values do not, or a
    unit could never die: they are forgotten once they have been read.

    Attributes:
        seen: By activation.
    """

    def __init__(self) -> None:
        self.seen: dict[Key, Seen] = {}
        self._new: dict[Key, Float32] = {}  # Largest values since `forget` forgot some.

    def add(self, activations: Sequence[Activation], activities: Activities) -> None:
        """Add what they did in a record."""
        for activation, counts, end in zip(activations, activities.counts, activities.ends.tolist(), strict=True):
            if not activation.units:
                continue  # Single ones of these are not recorded.
            key = Key(activation.name, activation.units)
            sums = activities.sums[:, end - key.units : end]
            seen = self.seen.setdefault(key, Seen.none(key.units))
            seen.sums += sums[list(TOLD)]
            seen.counts += counts[1:4]
            if counts[1]:
                new = self._new.setdefault(key, Seen.none(key.units).largest)
                for known in (seen.largest, new):
                    _raise(known, sums[_LARGEST])

    def forget(self) -> None:
        """Forget the largest values from before the last call."""
        for key, seen in self.seen.items():
            seen.largest = self._new.get(key, Seen.none(key.units).largest)
        self._new = {}


def _raise(known: Float32, largest: Float32) -> None:
    """Let `known` be the larger of both; it is NaN only where there was no number."""
    np.fmax(known, largest, out=known)
    known[np.isneginf(known)] = np.nan


class Follower:
    """Tells the first process what the units of this copy did.

    Args:
        mailbox: Where it is told.
        rank: That of this process.
        watch: Number of the first process's watch.
        weights: Digest of the weights that this copy began with.
        most: Bytes that a message has at most.
    """

    def __init__(self, mailbox: Mailbox, rank: int, watch: int, weights: str, most: int) -> None:
        self._mailbox = mailbox
        self._rank = rank
        self._watch = watch
        self._weights = weights
        self._most = most
        self._ledger = Ledger()
        self._can_die: dict[str, bool] = {}
        self._interval = 1
        self._serial = 0
        self._first_serial = 1  # Of the messages that hold all largest values.

    def exchange(self, activations: Sequence[Activation], activities: Activities, interval: int) -> None:
        """Tell what they did in a record.

        Args:
            activations: The rows.
            activities: What they did.
            interval: Every how many steps one is going to be observed.

        Raises:
            Exception: What torch raises where the store is gone.
        """
        self._ledger.add(activations, activities)
        self._can_die |= {activation.name: activation.response in CAN_DIE for activation in activations}
        receipts = self._receipts()
        if receipts is not None and receipts.last(self._rank) >= self._first_serial:
            self._ledger.forget()
            self._first_serial = self._serial + 1
        self._interval = interval
        self._tell()

    @property
    def is_alone(self) -> bool:
        """Whether the first process reads no more."""
        return self._receipts() is None

    @property
    def interval(self) -> int:
        """Every how many steps the first process observes one.

        More often it is not to be done here either: processes that train together wait for each other, and where they
        observe the same steps it costs no more than where one does.
        """
        receipts = self._receipts()
        return 1 if receipts is None else receipts.interval

    def _receipts(self) -> Receipts | None:
        receipts = Receipts.decoded(self._mailbox.heard)
        return receipts if receipts is not None and receipts.watch == self._watch else None

    def leave(self, reason: str) -> None:
        """Tell, beside what is known, why nothing more is measured for the time being."""
        self._tell(reason)

    def _tell(self, left: str = "") -> None:
        self._serial += 1
        first = sorted(self._ledger.seen, key=lambda key: not self._can_die[key.name])
        seen = {key: self._ledger.seen[key] for key in first}
        post = Post(self._watch, self._serial, self._weights, self._interval, left, seen)
        self._mailbox.put(post.encoded(self._most))
