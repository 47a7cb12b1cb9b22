"""A cache that is bounded by the memory of what it holds."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar
from weakref import WeakValueDictionary

_Value = TypeVar("_Value")


class Cache:
    """Remembers the latest revision of each key, and forgets those that were not read for longest.

    Safe to use from several threads: a value is computed by one of them while the others that want it
    wait, as the tab asks for several things of a run at once.

    Args:
        capacity: Bytes that the values may take together.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._used = 0
        self._entries: OrderedDict[Hashable, tuple[Hashable, Any, int]] = OrderedDict()
        self._lock = threading.Lock()
        self._busy: WeakValueDictionary[Hashable, _Gate] = WeakValueDictionary()

    def get(
        self, key: Hashable, revision: Hashable, compute: Callable[[], _Value], size: Callable[[_Value], int]
    ) -> _Value:
        """Return the value of `key` at `revision`, computed if it isn't known.

        Args:
            key: What is wanted.
            revision: Changes whenever the value does.
            compute: Gives the value; what it raises is passed on and not remembered.
            size: Gives the memory that a value takes, in bytes.
        """
        with self._lock:
            gate = self._busy.setdefault(key, _Gate())
        with gate.lock:
            found = self._find(key, revision)
            if found is not None:
                value: _Value = found[0]
                return value
            value = compute()
            self._remember(key, revision, value, size(value))
            return value

    @property
    def used(self) -> int:
        """Bytes that the values take."""
        return self._used

    def _find(self, key: Hashable, revision: Hashable) -> tuple[Any] | None:
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or entry[0] != revision:
                return None
            self._entries.move_to_end(key)
            return (entry[1],)

    def _remember(self, key: Hashable, revision: Hashable, value: object, size: int) -> None:
        with self._lock:
            outdated = self._entries.pop(key, None)
            self._used -= outdated[2] if outdated else 0
            if size > self._capacity:
                return
            self._entries[key] = (revision, value, size)
            self._used += size
            while self._used > self._capacity:
                _, (_, _, freed) = self._entries.popitem(last=False)
                self._used -= freed


class _Gate:
    """Lets one thread at a time compute a key. Unlike a bare lock it can be referred to weakly."""

    __slots__ = ("__weakref__", "lock")

    def __init__(self) -> None:
        self.lock = threading.Lock()
