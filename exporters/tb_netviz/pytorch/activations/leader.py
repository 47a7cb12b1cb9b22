"""What the first process does with what the others tell of the units of their copies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from tb_netviz.pytorch.activations.posts import CAN_DIE, TOLD, Key, Post, Receipts, listed
from tb_netviz.pytorch.mailbox import Mailbox
from tb_netviz.recorder import Activities
from tb_netviz.recorder.windows import Float32
from tb_netviz.statistics.units import UNIT_SUMS
from tb_netviz_plugin.schema.description import Activation, Omission

_LARGEST = UNIT_SUMS.index("largest")

RECENT = 2
"""Records for which a process that has fallen silent still counts."""


class Peer:
    """Another process, as it was last heard.

    It goes on to count while it says nothing, since it may only observe more seldom: for `RECENT` records, and if it
    did not say that it would leave until the run is twice as long, or for twice the interval at which it observes. Only
    then can a unit be dead that fired there last.

    Args:
        step: That at which it was known to take part.

    Attributes:
        post: What it told last.
        counts: Whether it still does.
        tells: Whether what it told came since the last record.
    """

    def __init__(self, step: int) -> None:
        self.post: Post | None = None
        self.counts = True
        self.tells = False
        self._before: Post | None = None
        self._began = self._heard = step
        self._age = 0
        self._posts = 0
        self._met: dict[Key, int] = {}

    def hear(self, post: Post | None, step: int) -> None:
        """Take what it tells when the record of `step` is written; None is nothing that it has not told before."""
        self._age += 1
        self.tells = post is not None
        if post is not None:
            self._before, self.post = self.post, post
            self._heard, self._age = step, 0
            self._posts += 1
        self._began = min(self._began, step)
        self.counts = self._age <= RECENT or step - self._heard <= self._patience()

    def _patience(self) -> int:
        """Return for how many steps it counts when it says nothing."""
        if self.post is None or self.post.left:
            return 0
        return max(self._heard - self._began, 2 * self.post.interval)

    def knows(self, key: Key) -> bool:
        """Whether it has told what an activation did since it was met here, or would have if it had run there."""
        known = self.post is not None and key in self.post.seen
        return known or self._posts >= self._met.setdefault(key, self._posts) + RECENT

    def fold(self, key: Key, activities: Activities, row: int) -> Float32:
        """Add what came since the last record, and return the largest values, of which some may have been known."""
        seen = None if self.post is None else self.post.seen.get(key)
        if seen is None:
            return np.full(key.units, -np.inf if self.knows(key) else np.nan, np.float32)
        if self.tells:
            sums, counts = seen.since(None if self._before is None else self._before.seen.get(key))
            end = activities.ends[row]
            activities.sums[list(TOLD), end - key.units : end] += sums
            activities.counts[row, 1:4] += counts
        return seen.largest


class Leader:
    """Folds what other processes tell into what this one has measured.

    Args:
        mailbox: Where they tell it.
        ranks: Theirs.
        receipts: Where it is noted what was read.
        weights: Digest of the weights that this copy began with.
        step: The first one.
        omit: Takes what is left out.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        ranks: Iterable[int],
        receipts: Receipts,
        weights: str,
        step: int,
        omit: Callable[[Omission], None],
    ) -> None:
        self._mailbox = mailbox
        self._weights = weights
        self._omit = omit
        self._peers = {rank: Peer(step) for rank in ranks}
        self._receipts = receipts
        self._told: set[object] = set()

    def exchange(
        self, activations: Sequence[Activation], step: int, activities: Activities, interval: int, *, last: bool
    ) -> None:
        """Fold what is told by now into a record.

        Args:
            activations: The rows.
            step: The last one of the record.
            activities: What they did here; changed.
            interval: Every how many steps one is going to be observed here.
            last: Whether no other record follows: then nobody is missed.

        Raises:
            Exception: What torch raises where the store is gone.
        """
        self._receipts.interval = interval
        self._hear(step)
        self._say_who_left(step, last=last)
        for row, activation in enumerate(activations):
            if activation.units:
                self._fold(row, activation, activities)

    def leave(self, _reason: str) -> None:
        """Let the others know that nobody reads any more what they tell."""
        self._mailbox.put(b"")

    def _hear(self, step: int) -> None:
        messages = self._mailbox.collect(list(self._peers)) or {}
        for rank, peer in list(self._peers.items()):
            post = self._new(peer, messages.get(rank, b""))
            if post is not None and post.weights != self._weights:
                del self._peers[rank]
                self._once(rank, f"those of process {rank} are not measured, which trains weights of its own")
                continue
            peer.hear(post, step)
            if post is not None:
                self._receipts.note(rank, post.serial)
                self._say_what_is_missing(post)
        if messages:
            self._mailbox.put(self._receipts.encoded())

    def _new(self, peer: Peer, message: bytes) -> Post | None:
        """Return the post in `message`, if it is one of this watch that was not heard before."""
        post = Post.decoded(message) if message else None
        known = 0 if peer.post is None else peer.post.serial
        return post if post is not None and post.watch == self._receipts.watch and post.serial > known else None

    def _fold(self, row: int, activation: Activation, activities: Activities) -> None:
        end = int(activities.ends[row])
        key = Key(activation.name, activation.units)
        own = activities.sums[_LARGEST, end - key.units : end]
        ran = activities.counts[row, 1] > 0
        largest = [np.where(np.isneginf(own), np.nan, own) if ran else own]
        largest += [peer.fold(key, activities, row) for peer in self._peers.values() if peer.counts]
        if len(largest) == 1:
            return
        np.fmax.reduce(largest, out=own)
        # Where one process has no number of a unit, or has not told yet, it may have fired there.
        unknown = np.isnan(largest).any(axis=0) & (own <= 0) & (activation.response in CAN_DIE)
        own[unknown | np.isnan(own)] = -np.inf

    def _say_who_left(self, step: int, *, last: bool) -> None:
        for rank, peer in self._peers.items():
            if not peer.counts and not last:
                why = "has told nothing" if peer.post is None else peer.post.left or "tells nothing more"
                self._once(rank, f"those of process {rank} are not measured all the time: at step {step} it {why}")

    def _say_what_is_missing(self, post: Post) -> None:
        if post.left_out:
            names = listed(post.left_out)
            self._once(names, f"those of other processes are not measured of these, which are too many: {names}")

    def _once(self, subject: object, reason: str) -> None:
        if subject not in self._told:
            self._told.add(subject)
            self._omit(Omission("activations", reason))
