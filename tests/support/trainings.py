"""Trainings that go on when they are asked to, each in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.forks import FORKS

_LIMIT = 60.0


class Training:
    """A process that trains some steps whenever it is asked to, and ends with the context.

    Args:
        train: Of a module's top level. Called with `folder`, and with a function that waits and returns whether to go
            on.
        folder: Of the run.
    """

    def __init__(self, train: Callable[[Path, Callable[[], bool]], None], folder: Path) -> None:
        theirs, self._asking = FORKS.Pipe(duplex=False)
        self._process: Any = FORKS.Process(target=_work, args=(train, folder, theirs))
        self._process.start()
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._asking.close()
        self._process.join(_LIMIT)
        code = self._process.exitcode
        self._process.kill()
        assert code == 0, f"the training ended with {code}"

    def go_on(self) -> None:
        """Ask for some more steps."""
        self._asking.send(None)


def _work(train: Callable[[Path, Callable[[], bool]], None], folder: Path, asked: Any) -> None:
    train(folder, lambda: _wait(asked))


def _wait(asked: Any) -> bool:
    """Return True once asked to go on, and False once nobody can ask any more."""
    try:
        asked.recv()
    except EOFError:
        return False
    return True
