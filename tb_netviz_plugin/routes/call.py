"""The arguments of a request, parsed and refused in one place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tensorboard import plugin_util
from werkzeug.wrappers import Request

from tb_netviz_plugin.errors import BadArgumentError, NotFoundError


class Call:
    """A request for one of our resources.

    Attributes:
        context: TensorBoard's request context.
        experiment: Id of the experiment.
    """

    def __init__(self, request: Request) -> None:
        self.context: Any = plugin_util.context(request.environ)
        self.experiment: str = plugin_util.experiment_id(request.environ)
        self._arguments = request.args

    def accept(self, *names: str) -> None:
        """Refuse arguments other than `names`, so that a misspelt one is not ignored.

        Raises:
            BadArgumentError: If there are any.
        """
        unknown = sorted(set(self._arguments) - set(names))
        if unknown:
            known = ", ".join(names) or "none"
            raise BadArgumentError(f"unknown argument {unknown[0][:60]!r}; this resource takes: {known}")

    def text(self, name: str, default: str | None = None) -> str:
        """Return an argument, which has to be there unless it has a default.

        Raises:
            BadArgumentError: If it isn't.
        """
        value: str | None = self._arguments.get(name, default)
        if value is None:
            raise BadArgumentError(f"the argument {name!r} is missing")
        return value

    def choice(self, name: str, choices: Sequence[str], default: str | None = None) -> str:
        """Return an argument that is one of `choices`.

        Raises:
            BadArgumentError: If it is another, or is missing and has no default.
        """
        value = self.text(name) if default is None else str(self._arguments.get(name, default))
        if value not in choices:
            raise BadArgumentError(f"{name} is one of {', '.join(choices)}, not {value[:60]!r}")
        return value

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """Return a whole number from `least` to `most`.

        Raises:
            BadArgumentError: If it is none.
        """
        value = str(self._arguments.get(name, default))
        if not (_is_whole(value) and least <= int(value) <= most):
            raise BadArgumentError(f"{name} is a whole number from {least} to {most:,}, not {value[:60]!r}")
        return int(value)

    def indices(self, name: str, count: int) -> list[int] | None:
        """Return a repeatable index below `count`, or None where there is none.

        Raises:
            BadArgumentError: If one is no whole number.
            NotFoundError: If one is out of range.
        """
        values = self._arguments.getlist(name)
        return [_index(name, value, count) for value in values] if values else None


def _index(name: str, value: str, count: int) -> int:
    if not _is_whole(value):
        raise BadArgumentError(f"{name} is an index from 0, not {value[:60]!r}")
    if int(value) >= count:
        raise NotFoundError(f"{name} {value} does not exist; there are {count}")
    return int(value)


def _is_whole(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) < 10
