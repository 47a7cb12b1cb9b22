"""The store in which the processes of a run find each other, used for messages that may be lost or late.

It is asked by a thread of its own: a store whose process has stopped answers no longer, nor does one in which another
thread waits for something, and training must not wait for that. A connection of our own would spare us the latter, but
one in twenty takes torch 2.13 five seconds to make. Nothing of ours waits in the store.
"""

from __future__ import annotations

import atexit
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any

import torch

PATIENCE = 0.25
"""Seconds that training waits for an answer; once only, since nothing more is asked until that answer is there."""
FIRST_PATIENCE = 10.0
"""Likewise, for what is asked once in a run."""

_Task = Callable[[], None]


def common_store() -> Any:
    """Return the store of the process group."""
    distributed: Any = torch.distributed
    return distributed.distributed_c10d._get_default_store()  # The only way to it.


def replaces(store: Any) -> bool:
    """Whether a message takes the place of the one before, as in a TCPStore; a file would grow with each."""
    distributed: Any = torch.distributed
    while isinstance(store, distributed.PrefixStore):
        store = store.underlying_store
    return isinstance(store, distributed.TCPStore)


class Mailbox:
    """Leaves one message for the other processes, which each later one replaces, and reads theirs.

    Args:
        store: That of the process group.
        topic: What the messages are about; processes that say the same here hear each other.
        rank: That of this process.

    Attributes:
        heard: The message of the first process, as it was when this one last put its own.
    """

    def __init__(self, store: Any, topic: str, rank: int) -> None:
        distributed: Any = torch.distributed
        self._store = distributed.PrefixStore(topic, store)
        self._rank = rank
        self._outgoing: deque[bytes] = deque(maxlen=1)
        self._failure: Exception | None = None
        self._asked: Future[Any] | None = None
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._thread = threading.Thread(target=_work, args=(self._tasks,), name="netviz-mailbox", daemon=True)
        self._thread.start()
        atexit.register(self.close)  # The interpreter aborts where it ends while a thread of its own is in torch.
        self.heard = b""

    def put(self, message: bytes) -> None:
        """Replace the message of this process, soon.

        Raises:
            Exception: What an earlier one has failed with.
        """
        if self._failure is not None:
            raise self._failure
        self._outgoing.append(message)
        self._tasks.put(self._deliver)

    def _deliver(self) -> None:
        if not self._outgoing:
            return  # It was replaced before its turn came.
        try:
            self._store.set(str(self._rank), self._outgoing.pop())
            # Asked after every message: the store takes messages without an answer, but one after the other.
            if self._store.check(["0"]):
                self.heard = self._store.get("0")
        except Exception as error:  # Whatever torch raises where the store is gone.
            self._failure = error

    def settle(self) -> bool:
        """Wait until what was put has arrived; return whether it has."""
        return self._ask(lambda: True, FIRST_PATIENCE) is not None and self._failure is None

    def present(self, ranks: Sequence[int]) -> dict[int, bytes]:
        """Return the messages of those of `ranks` that have left one.

        Raises:
            Exception: What torch raises where the store is gone.
        """
        return self._ask(lambda: self._present(ranks), FIRST_PATIENCE) or {}

    def _present(self, ranks: Sequence[int]) -> dict[int, bytes]:
        return self._collect(ranks) or self._collect([rank for rank in ranks if self._store.check([str(rank)])])

    def collect(self, ranks: Sequence[int]) -> dict[int, bytes] | None:
        """Return the messages of `ranks`, none if one of them has left none; None while the store doesn't answer.

        Raises:
            Exception: What torch raises where the store is gone.
        """
        messages: dict[int, bytes] | None = self._ask(lambda: self._collect(ranks))
        return messages

    def _collect(self, ranks: Sequence[int]) -> dict[int, bytes]:
        keys = [str(rank) for rank in ranks]
        if not keys or not self._store.check(keys):  # What is not there would be waited for.
            return {}
        return dict(zip(ranks, self._store.multi_get(keys), strict=True))

    def close(self) -> None:
        """End; what was put still arrives if the store is there."""
        atexit.unregister(self.close)
        self._tasks.put(None)
        self._thread.join(PATIENCE)

    def _ask(self, question: Callable[[], Any], patience: float = PATIENCE) -> Any:
        """Return the answer, or None if there is none within so many seconds."""
        if self._asked is not None and not self._asked.done():
            return None
        asked: Future[Any] = Future()
        self._asked = asked
        self._tasks.put(lambda: _answer(asked, question))
        try:
            return asked.result(patience)
        except TimeoutError:
            return None


def _answer(asked: Future[Any], question: Callable[[], Any]) -> None:
    try:
        asked.set_result(question())
    except Exception as error:  # Handed to who has asked.
        asked.set_exception(error)


def _work(tasks: SimpleQueue[_Task | None]) -> None:
    while (task := tasks.get()) is not None:
        task()
