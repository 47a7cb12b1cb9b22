"""What can go wrong in words that a user can act on.

NetVizError                 500 internal
├── BadArgumentError        400 bad_argument    a request that makes no sense
├── NotFoundError           404 not_found       no such run, statistic or row
└── UnreadableError         422 unreadable      the data are there, but can't be read
"""

from __future__ import annotations

from typing import ClassVar


class NetVizError(Exception):
    """Base of the errors that are meant for a user. Its text is shown as it is."""

    kind: ClassVar[str] = "internal"
    status: ClassVar[int] = 500


class BadArgumentError(NetVizError):
    """An argument is missing, unknown or malformed."""

    kind = "bad_argument"
    status = 400


class NotFoundError(NetVizError):
    """There is no such thing (any more)."""

    kind = "not_found"
    status = 404


class UnreadableError(NetVizError):
    """A run's data are damaged, or were written by a newer version."""

    kind = "unreadable"
    status = 422
