"""The other end of the worker: a process of its own, which a training starts and asks."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import weakref
from importlib.util import find_spec
from multiprocessing.spawn import get_executable
from pathlib import Path
from typing import IO, Any

from tb_netviz.embedding.jobs import Message, await_greeting, receive, send

GRACE = 2.0
"""Seconds that a worker has to end once nobody asks it any longer."""
_ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "BLIS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "LOKY_MAX_CPU_COUNT",
    ),
    "1",
)
_PINNING = ("OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")
"""Would bind the worker to the very processor that the training is bound to."""
_MODULE = "tb_netviz.embedding.worker"


def _folder_of_script() -> str:
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    return str(Path(script).resolve().parent) if script else ""


_SCRIPTS = _folder_of_script()  # Python forgets it at the script's end, when a first worker may still be started.


class WorkerEndedError(Exception):
    """The worker can't be started, or has ended unasked; the message says how."""


class WorkerProcess:
    """A worker. Only one thread may ask it.

    It is started as a program and not forked or spawned by multiprocessing, which would run a script again that is not
    guarded by `if __name__ == "__main__"`.

    Args:
        folder: Of the run.
        most_bytes: That the projector's files may take.

    Raises:
        WorkerEndedError: If it can't be started.
    """

    def __init__(self, folder: str, most_bytes: int) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  Closed with the process.
        try:
            self._process = subprocess.Popen(  # noqa: S603  Our own module.
                [_interpreter(), "-P", "-W", "ignore", "-m", _MODULE, folder, str(most_bytes)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                bufsize=0,
                env=_environment(),
                **_apart(),
            )
        except (OSError, ValueError) as error:
            self._errors.close()
            raise WorkerEndedError(f"can't be started ({error})") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._questions, self._answers = self._process.stdin, self._process.stdout
        self._greeted = False
        _alive.add(self)

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def ask(self, question: Message) -> Message:
        """Return the answer to a question.

        Raises:
            WorkerEndedError: If the worker ended before it had answered.
        """
        try:
            if not self._greeted:
                await_greeting(self._answers)
                self._greeted = True
            send(self._questions, question)
            return receive(self._answers)
        except (OSError, EOFError, ValueError) as error:  # ValueError: it was closed meanwhile.
            raise WorkerEndedError(self._how()) from error

    def kill(self) -> None:
        """End it at once, whatever it is at."""
        self._process.kill()

    def close(self) -> None:
        """End it: nobody asks any longer."""
        self._questions.close()
        try:
            self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()
        self._errors.close()
        _alive.discard(self)

    def abandon(self) -> None:
        """In a forked child: leave it to the parent, whose end it is to notice."""
        self._process.returncode = 0  # Nobody is to wait for it here.
        for stream in (self._questions, self._answers, self._errors):
            stream.close()

    def _how(self) -> str:
        try:
            status = self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            return "no longer answers"
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        self._errors.seek(0)
        said = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return f"{how} ({said[-1].strip()})" if said and status > 0 else how


def _interpreter() -> str:
    executable = get_executable()
    if not executable or getattr(sys, "frozen", False):
        raise OSError("there is no Python to run beside this program")
    return os.fsdecode(executable)


def _environment() -> dict[str, str]:
    """Return that of the training, for one thread on any processor, with modules found where the training finds them.

    But for the folder of the script, whose modules would be taken for those of libraries.
    """
    environment = os.environ | _ONE_THREAD | {"OMP_PROC_BIND": "false"}
    for name in _PINNING:
        environment.pop(name, None)
    path = [entry for entry in sys.path if isinstance(entry, str) and entry not in ("", str(Path.cwd()), _SCRIPTS)]
    environment["PYTHONPATH"] = os.pathsep.join([*path, *_roots()])
    return environment


def _roots() -> list[str]:
    found = [find_spec(package) for package in ("tb_netviz", "tb_netviz_plugin")]
    return [str(Path(spec.origin).parents[1]) for spec in found if spec is not None and spec.origin]


def _apart() -> dict[str, Any]:
    """Return how to start a process that a Ctrl+C in the terminal does not reach, and that stands back."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.IDLE_PRIORITY_CLASS}
    return {"process_group": 0}


_alive: weakref.WeakSet[WorkerProcess] = weakref.WeakSet()


def _leave_to_parent() -> None:
    for worker in list(_alive):
        worker.abandon()
    _alive.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)
