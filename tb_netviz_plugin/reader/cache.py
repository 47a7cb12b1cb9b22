"""A cache that is bounded by the memory of what it holds."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar
from weakref import WeakValueDictionary

_Value = TypeVar("_Value")
_Key = tuple[Hashable, str]


class Cache:
    """Remembers the latest revision of each key, and forgets those that were not read for longest.

    What belongs to the owner that is being read stays, however much it is: a request needs it all at
    once anyway, and to forget some of it would only mean to compute it anew at the next one.

    Safe to use from several threads: a value is computed by one of them while the others that want it
    wait, as the tab asks for several things of a run at once.

    Args:
        capacity: Bytes that the values may take together, where they are not all of one owner.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._used = 0
        self._entries: OrderedDict[_Key, tuple[Hashable, Any, int]] = OrderedDict()
        self._lock = threading.Lock()
        self._busy: WeakValueDictionary[_Key, _Gate] = WeakValueDictionary()

    def get(
        self,
        owner: Hashable,
        name: str,
        revision: Hashable,
        compute: Callable[[], _Value],
        size: Callable[[_Value], int],
    ) -> _Value:
        """Return the value of `name` at `revision`, computed if it isn't known.

        Args:
            owner: What it is a part of.
            name: Tells it from the other parts.
            revision: Changes whenever the value does.
            compute: Gives the value; what it raises is passed on and not remembered.
            size: Gives the memory that a value takes, in bytes.
        """
        key = (owner, name)
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

    def _find(self, key: _Key, revision: Hashable) -> tuple[Any] | None:
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or entry[0] != revision:
                return None
            self._entries.move_to_end(key)
            return (entry[1],)

    def _remember(self, key: _Key, revision: Hashable, value: object, size: int) -> None:
        with self._lock:
            outdated = self._entries.pop(key, None)
            self._used -= outdated[2] if outdated else 0
            self._entries[key] = (revision, value, size)
            self._used += size
            others = [other for other in self._entries if other[0] != key[0]] if self._used > self._capacity else []
            for other in others:
                if self._used <= self._capacity:
                    break
                self._used -= self._entries.pop(other)[2]


class _Gate:
    """Lets one thread at a time compute a key. Unlike a bare lock it can be referred to weakly."""

    __slots__ = ("__weakref__", "lock")

    def __init__(self) -> None:
        self.lock = threading.Lock()
