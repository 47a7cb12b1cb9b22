"""The processes that hold the shards of a watched model between them.

Of a shard alone nothing is worth recording, so these processes measure at the same steps, and merge what they have
measured. Whether they do so is settled once, at the first step: if one of them does not watch the model, or watches it
with other settings, sharded parameters are not recorded at all. A process that fails or leaves closes its connections,
which ends it for the others, too. Training is not stopped by any of that.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from tb_netviz.pytorch.exchange import Array, Exchange
from tb_netviz.pytorch.shards import SHARDED, holders, is_sharded, rank, reason_to_omit
from tb_netviz.recorder import Plan

APART = "is sharded over processes, and not all of them watch the model with the same settings"
LATE = "was sharded after watch was called; shard the model first"

_numbers = itertools.count()


class TeamError(Exception):
    """The processes no longer record together."""


class Merged(NamedTuple):
    """What all processes have handed over, merged.

    Attributes:
        sums: As handed over, added up.
        largest: As handed over, the largest.
        plan: That of the first process.
        complete: Whether all have measured.
    """

    sums: Array
    largest: Array
    plan: Plan
    complete: bool


class Team:
    """This process's part in it.

    Attributes:
        together: Whether sharded parameters are recorded, and this process takes part.
        refusal: Why sharded parameters are not recorded; empty if they are.
    """

    def __init__(self) -> None:
        self.together = False
        self.refusal = LATE
        self._rank = rank()
        self._members: frozenset[int] = frozenset()
        self._list: Any = None  # Of those who have signed up and not settled yet.
        self._store: Any = None  # Of those who have settled.
        self._exchange: Exchange | None = None
        self._rows: int | None = None
        self._first_ordinal = 0
        self._first_index = 0

    def sign_up(self, model: nn.Module, terms: object) -> None:
        """Say that this process watches, if it holds a shard that counts.

        This has to be before the forward pass, in which sharded training makes the processes wait for each other: so at
        the first step it is known who has signed up.

        Args:
            model: The model, as it is sharded now.
            terms: What must be the same for all: the settings of the watch.

        Raises:
            RuntimeError: If the processes' common store can't be reached.
        """
        members = _members(model)
        if not members:
            return
        self.refusal = APART
        distributed: Any = torch.distributed
        root = distributed.distributed_c10d._get_default_store()  # The only way to it.
        self._list = distributed.PrefixStore(f"netviz/{_fingerprint(model, terms)}", root)
        self._list.set(str(self._rank), json.dumps([next(_numbers), sorted(members)]))
        self._members = members

    def settle(self, model: nn.Module, ordinal: int, index: int) -> None:
        """Settle, at the first step, whether the processes record together.

        Args:
            model: The model.
            ordinal: How many steps this process has seen before.
            index: Its number of the step.

        Raises:
            RuntimeError: If the processes can't be connected.
        """
        if self._list is None:
            return
        wait_for_device(model)
        try:
            decision = self._decision(index)
            if decision is not None:
                self._exchange = Exchange(self._store, sorted(self._members), self._rank)
                self._first_ordinal, self._first_index = ordinal, decision
                self.together, self.refusal = True, ""
        finally:
            self._sign_off()  # Whoever comes later is too late.

    def _sign_off(self) -> None:
        names, self._list = self._list, None
        names.set(str(self._rank), "")  # Not deleted, since another process may be about to read it, and would wait.

    def _decision(self, index: int) -> int | None:
        """Return the number of the first step that is observed together; None if none is."""
        first = self._signature(0)
        if not first:
            return None
        number, members = json.loads(first)
        self._members = frozenset(members)
        all_here = self._rank in members and all(self._signature(member) for member in members)
        # The first to come decides for all, so that none is left to wait for another.
        distributed: Any = torch.distributed
        self._store = distributed.PrefixStore(str(number), self._list)
        decision = self._store.compare_set("decision", "", str(index) if all_here else "no").decode()
        return None if decision == "no" else int(decision)

    def _signature(self, member: int) -> bytes:
        """Return what a process has signed up with; empty where it has not, or has settled."""
        signature: bytes = self._list.get(str(member)) if self._list.check([str(member)]) else b""
        return signature

    def position(self, ordinal: int) -> int:
        """Return the number of a step that is the same in all processes, whatever the user's own."""
        return self._first_index + ordinal - self._first_ordinal

    def measures(self, parameter: nn.Parameter) -> bool:
        """Whether this process holds a shard of `parameter` that counts."""
        return is_sharded(parameter) and 0 in holders(parameter)

    def merge(self, sums: Array, largest: Array, plan: Plan, *, measured: bool) -> Merged:
        """Merge what the processes have measured at a step. All of them must do so at the same steps.

        Args:
            sums: Of the sharded parameters in the order of their names, float64 [rows, sums].
            largest: Magnitudes of the same, float64 [rows].
            plan: What should hold next; only that of the first process counts.
            measured: Whether this process could measure; otherwise the arrays hold zeros.

        Raises:
            TeamError: If another process has left, or the rows are others than before.
        """
        if self._exchange is None:
            raise TeamError("this process takes no part")
        if self._rows not in (None, len(sums)):
            raise TeamError("sharded parameters were added or removed")
        self._rows = len(sums)
        head = [not measured, *(plan if self._rank == 0 else (0, 0))]
        try:
            total = self._exchange.add(sums)
            absent, interval, start, *rest = self._exchange.largest(np.concatenate([head, largest]))
        except RuntimeError as error:
            raise TeamError(self._reason()) from error
        return Merged(total, np.array(rest), Plan(int(interval), int(start)), complete=not absent)

    def leave(self, reason: str = "") -> None:
        """Take no further part; the others notice when they merge.

        Args:
            reason: What went wrong, for the first process to tell.
        """
        with contextlib.suppress(RuntimeError):  # At the end of a run the store may be gone.
            if self._list is not None:
                self._sign_off()
            elif self.together and reason:
                self._store.set(f"{self._rank}/reason", reason)
        if self._exchange is not None:
            self.refusal = f"{SHARDED}; {reason}" if reason else SHARDED
            self._exchange.close()
            self._exchange = None
            self.together = False

    def _reason(self) -> str:
        for member in sorted(self._members):
            key = f"{member}/reason"
            if self._store.check([key]):
                return f"process {member} has stopped: {self._store.get(key).decode()}"
        return "another process has stopped recording, or steps at other times"


def _members(model: nn.Module) -> frozenset[int]:
    """Return the ranks that hold the shards of the first process's copy, if this process is one of them."""
    found: frozenset[int] = frozenset()
    for parameter in model.parameters():
        if is_sharded(parameter) and not reason_to_omit(parameter):
            ranks = holders(parameter)
            found |= ranks if 0 in ranks else frozenset()
    return found


def _fingerprint(model: nn.Module, terms: object) -> str:
    parameters = [
        (name, tuple(parameter.shape), str(getattr(parameter, "placements", "")))
        for name, parameter in model.named_parameters()
    ]
    return hashlib.sha256(repr((terms, parameters)).encode()).hexdigest()[:16]


def wait_for_device(model: nn.Module) -> None:
    """Wait until this step's backward pass is over, and so the other processes have begun it. Once in a run."""
    for device in {parameter.device for parameter in model.parameters()}:
        if device.type not in {"cpu", "meta"}:
            torch.get_device_module(device).synchronize()
