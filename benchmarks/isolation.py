"""A call in a process of its own, with a limit of time and of memory.

Tools that patch a framework, hold on to threads or run out of memory then do so without their neighbours.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import textwrap
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

# How long a process that has answered may take to put away its own.
SECONDS_TO_END = 10


class CallFailedError(Exception):
    """The call gave no result; says why in a few words."""


def call(function: Callable[..., Any], *arguments: Any, seconds: float) -> Any:
    """Return `function(*arguments)`, called in a new process that may hold half of the machine's memory.

    Its temporary files are gone afterwards, however it ended.

    Raises:
        CallFailedError: It raised, took longer than `seconds`, or its process ended.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = context.Process(target=_answer, args=(sender, folder, function, arguments))
        process.start()
        sender.close()
        try:
            return _received(receiver, seconds)
        finally:
            process.join(SECONDS_TO_END)
            process.kill()
            process.join()


def _received(receiver: Connection, seconds: float) -> Any:
    if not receiver.poll(seconds):
        raise CallFailedError(f"no result in {seconds:.0f} s")
    try:
        succeeded, result = receiver.recv()
    except EOFError as error:
        raise CallFailedError("the process ended") from error
    if not succeeded:
        raise CallFailedError(result)
    return result


def _answer(sender: Connection, folder: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    tempfile.tempdir = folder
    os.dup2(2, 1)  # Standard output is the caller's: what the call prints goes to standard error.
    _limit_memory()
    try:
        sender.send((True, function(*arguments)))
    except Exception as error:  # Whatever it is, the caller hears of it.
        traceback.print_exc()
        sender.send((False, _in_a_few_words(error)))


def _limit_memory() -> None:
    if sys.platform == "linux":
        import resource

        half = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
        resource.setrlimit(resource.RLIMIT_DATA, (half, half))


def _in_a_few_words(error: BaseException) -> str:
    """Return what went wrong first, as Markdown that fits into a table."""
    while error.__context__ is not None:
        error = error.__context__
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        return "out of memory"
    first_line = str(error).partition("\n")[0].replace("`", "'").replace("|", "¦")
    return f"`{textwrap.shorten(f'{type(error).__name__}: {first_line}', 130, placeholder=' …')}`"
