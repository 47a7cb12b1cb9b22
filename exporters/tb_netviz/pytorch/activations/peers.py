"""The processes of a run that train copies of a watched model.

Each measures what activations do in its own copy, at steps of its own schedule, and tells the first one, which alone
writes: a unit that fires in any of them is alive. Who takes part is settled at the first step. It is no common act:
nobody waits for anybody, and a message that does not arrive is made up for by the next.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence

import torch
from torch import nn

from tb_netviz.pytorch.activations.copies import digest, fingerprint
from tb_netviz.pytorch.activations.follower import Follower
from tb_netviz.pytorch.activations.leader import Leader
from tb_netviz.pytorch.activations.posts import Post, Receipts, listed
from tb_netviz.pytorch.hooks import Guard
from tb_netviz.pytorch.mailbox import Mailbox, common_store, replaces
from tb_netviz.pytorch.shards import processes, rank, splits_outputs
from tb_netviz.pytorch.team import wait_for_device
from tb_netviz.recorder import Activities
from tb_netviz_plugin.schema.description import Activation, Omission

CUT = "those of other processes are not measured: some units may be in one process and some in another"
LATE = "those of other processes are not measured: watch was called before torch.distributed was initialised"
NO_STORE = "those of other processes are not measured: the processes have no TCPStore in common"
ABSENT = "those of other processes ({}) are not measured: watch was not called there for a copy of this model"

MOST_BYTES = 4 << 20
"""Of a message; what has no room is left out of it. torch's store takes no more than 8 MB."""
MOST_READ = 64 << 20
"""Bytes of the messages of all processes together."""


class Peers:
    """Connects the measurements of a model's activations over the processes of its run.

    Args:
        guard: Runs what may fail; nothing does where there is one process only.
        measuring: Runs the measurement of activations.
        name: Of the model.
    """

    def __init__(self, guard: Guard, measuring: Guard, name: str) -> None:
        self._guard = guard
        self._measuring = measuring
        self._name = name
        self._refusal = LATE
        self._mailbox: Mailbox | None = None
        self._receipts: Receipts | None = None  # Of the first process.
        self._role: Leader | Follower | None = None

    @property
    def follows(self) -> bool:
        """Whether this process measures activations for the first one."""
        return isinstance(self._role, Follower) and self._mailbox is not None and self._guard.on

    def sign_up(self, model: nn.Module) -> None:
        """Say that this process measures activations; before the forward pass, in which processes wait for each other.

        Args:
            model: The model, as it is wrapped and sharded now.
        """
        if processes() > 1:
            self._guard.run(self._sign_up, model)

    def _sign_up(self, model: nn.Module) -> None:
        store = common_store()
        self._refusal = CUT if splits_outputs(model) else NO_STORE if not replaces(store) else ""
        if self._refusal:
            return
        self._mailbox = Mailbox(store, f"netviz/units/{fingerprint(model, self._name)}", rank())
        if rank() == 0:
            self._receipts = Receipts(time.time_ns(), processes())  # Another number than that of any earlier watch.
        self._mailbox.put(b"" if self._receipts is None else self._receipts.encoded())
        self._mailbox.settle()

    def settle(self, model: nn.Module, step: int, omit: Callable[[Omission], None]) -> None:
        """Settle, at the first step, who takes part.

        Args:
            model: The model.
            step: The first step.
            omit: Takes what is left out.
        """
        if processes() > 1:
            self._guard.run(self._settle, model, step, omit)

    def _settle(self, model: nn.Module, step: int, omit: Callable[[Omission], None]) -> None:
        if self._mailbox is None:
            omit(Omission("activations", self._refusal))
            return
        wait_for_device(model)
        if self._receipts is not None:
            self._role = self._lead(self._mailbox, self._receipts, model, step, omit)
        else:
            self._role = self._follow(self._mailbox, model)
        if self._role is None:
            self.close()

    @staticmethod
    def _lead(
        mailbox: Mailbox, receipts: Receipts, model: nn.Module, step: int, omit: Callable[[Omission], None]
    ) -> Leader | None:
        others = range(1, processes())
        found = mailbox.present(others)
        # What is not empty is of an earlier watch, unless it answers this one.
        present = [other for other in found if not found[other] or Post.decoded(found[other]).watch == receipts.watch]
        absent = sorted({*others} - {*present})
        if absent:
            omit(Omission("activations", ABSENT.format(listed(absent))))
        return Leader(mailbox, present, receipts, digest(model), step, omit) if present else None

    @staticmethod
    def _follow(mailbox: Mailbox, model: nn.Module) -> Follower | None:
        mailbox.put(b"")
        receipts = Receipts.decoded(mailbox.heard) if mailbox.settle() else None
        most = min(MOST_BYTES, MOST_READ // (processes() - 1))
        return None if receipts is None else Follower(mailbox, rank(), receipts.watch, digest(model), most)

    @property
    def interval(self) -> int:
        """Every how many steps one is to be observed, at most."""
        return self._role.interval if isinstance(self._role, Follower) else 1

    def exchange(
        self, activations: Sequence[Activation], step: int, activities: Activities, *, interval: int, last: bool
    ) -> bool:
        """Tell the first process what a record of units holds; there, fold in what the others have told.

        Args:
            activations: The rows.
            step: The last one of the record.
            activities: What they did; changed.
            interval: Every how many steps one is going to be observed here.
            last: Whether no other record follows.

        Returns:
            Whether the record is to be written here.
        """
        if not last:
            self._guard.run(self._exchange, activations, step, activities, interval, last)
        elif self._guard.on:
            with contextlib.suppress(RuntimeError):  # At the end of a run the store may be gone.
                self._exchange(activations, step, activities, interval, last)
        return not isinstance(self._role, Follower)

    def _exchange(
        self, activations: Sequence[Activation], step: int, activities: Activities, interval: int, last: bool
    ) -> None:
        if self._mailbox is None or self._role is None:
            return
        if not torch.distributed.is_initialized():  # Asked in vain the store would print a long complaint.
            self.close()
            raise RuntimeError("torch.distributed was shut down")
        if isinstance(self._role, Leader):
            self._role.exchange(activations, step, activities, interval, last=last)
        elif not self._measuring.on:
            self.leave("failed")
        elif self._role.is_alone:
            self.close()
        else:
            self._role.exchange(activations, activities, interval)

    def pause(self) -> None:
        """Tell the first process that nothing more is told until something is."""
        if isinstance(self._role, Follower):
            self._say("paused")

    def leave(self, reason: str = "stopped") -> None:
        """Take no further part.

        Args:
            reason: Why, for the first process to tell.
        """
        self._say(reason)
        self.close()

    def _say(self, reason: str) -> None:
        if self._mailbox is not None and self._role is not None and torch.distributed.is_initialized():
            with contextlib.suppress(RuntimeError):  # The store may be gone.
                self._role.leave(reason)

    def close(self) -> None:
        """End the connection."""
        mailbox, self._mailbox = self._mailbox, None
        if mailbox is not None:
            mailbox.close()
