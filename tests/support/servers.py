"""Starts real TensorBoard processes, and calls them over HTTP."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

START_SECONDS = 180.0
ROOT = Path(__file__).resolve().parents[2]


class Server:
    """A running TensorBoard.

    Attributes:
        url: Its address with the path prefix, without a slash at the end.
        process: The process.
    """

    def __init__(self, url: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.url = url
        self.process = process
        self._log = log

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def get(self, path: str, arguments: Mapping[str, Any] | None = None) -> bytes:
        """Return the body of `path`, such as "/data/plugins_listing".

        Raises:
            urllib.error.HTTPError: If the answer is not a success.
        """
        query = "?" + urlencode(arguments, doseq=True) if arguments else ""
        with urllib.request.urlopen(self.url + path + query, timeout=30) as response:
            body: bytes = response.read()
        return body

    def json(self, path: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON at `path`."""
        return json.loads(self.get(path, arguments))

    def plugin(self, route: str, **arguments: Any) -> bytes:
        """Return the body of one of our routes, such as "runs"."""
        return self.get(f"/data/plugin/netviz/{route}", arguments)

    def plugin_json(self, route: str, **arguments: Any) -> Any:
        """Return the JSON of one of our routes."""
        return json.loads(self.plugin(route, **arguments))

    def wait_for_runs(self, *names: str, last_step: int = 0) -> None:
        """Wait until every run of these names is read up to `last_step`, or any run where none is named."""

        def loaded() -> bool:
            runs = {run["run"]: run for run in self.plugin_json("runs")["runs"]}
            return bool(runs) and all(
                name in runs and (runs[name]["error"] or runs[name]["last_step"] >= last_step) for name in names
            )

        wait_until(loaded, f"runs {names} did not appear")

    def wait_for_dashboard(self, name: str) -> None:
        """Wait until the plugin of that name offers its dashboard, that is, until it has read what it shows.

        The projector reads in a thread of its own, and what it answers meanwhile is incomplete.
        """
        wait_until(lambda: self.json("/data/plugins_listing")[name]["enabled"], f"{name} has nothing to show")


def wait_until(done: Callable[[], bool], complaint: str, seconds: float = START_SECONDS) -> None:
    """Poll `done` until it is true.

    Raises:
        TimeoutError: If it is still false after `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(complaint)
        time.sleep(0.1)


@contextmanager
def tensorboard(
    log_dir: Path | None,
    *,
    load_fast: bool = True,
    tensorflow: bool = False,
    arguments: Sequence[str] = (),
    path_prefix: str = "",
    reload_seconds: int = 1,
) -> Iterator[Server]:
    """Run a TensorBoard on a free port while the context lasts.

    Args:
        log_dir: What it reads, or None for a TensorBoard without --logdir (pass what it needs in `arguments`).
        load_fast: Whether it reads by the Rust server or the Python loader.
        tensorflow: Whether it may import TensorFlow; without, an import of it fails as if it weren't installed.
        arguments: Further flags.
        path_prefix: What the server's paths begin with, such as "/tb".
        reload_seconds: Pause between two looks at the files.
    """
    port = free_port()
    command = [sys.executable, "-m", "tensorboard.main", "--host", "127.0.0.1", "--port", str(port)]
    command += [f"--load_fast={str(load_fast).lower()}", f"--reload_interval={reload_seconds}"]
    command += ["--logdir", str(log_dir)] if log_dir is not None else []
    command += ["--path_prefix", path_prefix] if path_prefix else []
    with tempfile.TemporaryDirectory(prefix="netviz_server_") as scratch:
        log = Path(scratch) / "output.txt"
        environment = os.environ | {"PYTHONWARNINGS": "ignore"}
        if not tensorflow:
            environment |= without_tensorflow(Path(scratch))
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        server = Server(f"http://127.0.0.1:{port}{path_prefix}", process, log)
        try:
            wait_until(lambda: _answers(server), f"TensorBoard did not start:\n{server.output}")
            yield server
        finally:
            _kill(process)


def without_tensorflow(scratch: Path) -> dict[str, str]:
    """Return environment variables under which `import tensorflow` fails, by a package written below `scratch`."""
    package = scratch / "no_tensorflow" / "tensorflow"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text('raise ImportError("TensorFlow is absent in this test")\n', encoding="utf-8")
    paths = [str(package.parent), str(ROOT), str(ROOT / "exporters"), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _answers(server: Server) -> bool:
    if server.process.poll() is not None:
        raise RuntimeError(f"TensorBoard ended with {server.process.returncode}:\n{server.output}")
    try:
        server.get("/data/plugins_listing")
    except urllib.error.HTTPError:
        raise
    except OSError:
        return False
    return True


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=10)
