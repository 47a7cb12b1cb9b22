"""A TensorBoard over the demo's runs, and the link that opens the tab on the worst of them."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

from tb_netviz.demo.errors import ServerError
from tb_netviz_plugin.diagnosis import Severity

USUAL_PORT = 6006
PATIENCE_SECONDS = 60.0
ANSWER_SECONDS = 10.0
POLL_SECONDS = 0.5


@contextmanager
def tensorboard(log_dir: Path, port: int | None = None) -> Iterator[Server]:
    """Run TensorBoard over `log_dir` while the context lasts.

    Args:
        log_dir: Its log folder.
        port: Its port; by default 6006, or another where that is taken.

    Raises:
        ServerError: If it does not start.
    """
    port = port or _free_port()
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(log_dir), "--port", str(port)]
    with _termination_unwinds(), tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)  # noqa: S603  (A list, no shell.)
        try:
            yield Server(f"http://localhost:{port}", process, output)
        finally:
            process.terminate()
            process.wait()


@contextmanager
def _termination_unwinds() -> Iterator[None]:
    """Let a SIGTERM end this process as an interrupt does, by way of every `finally`."""
    before = signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _exit(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)  # As a shell calls it.


class Server:
    """A TensorBoard process and its address."""

    def __init__(self, url: str, process: subprocess.Popen[bytes], output: Any) -> None:
        self.url = url
        self._process = process
        self._output = output

    def link(self, run: str) -> str:
        """Return the address that opens the tab on `run`."""
        return f"{self.url}/#netviz&p.netviz.view=overview&p.netviz.run={quote(run, safe='')}"

    def worst(self, runs: Sequence[str]) -> str:
        """Return the run with the worst findings, once TensorBoard has read them all.

        Raises:
            ServerError: If it ends or does not show them.
        """
        self._wait_for(runs)
        return max(runs, key=self._badness)

    def wait(self) -> None:
        """Return when TensorBoard ends."""
        self._process.wait()

    def _badness(self, run: str) -> list[Severity]:
        """Return the severities of its findings, the worst first; of two such lists the worse one is the greater."""
        findings = self._get(f"findings?run={quote(run, safe='')}")["findings"]
        return sorted((Severity[finding["severity"].upper()] for finding in findings), reverse=True)

    def _wait_for(self, runs: Sequence[str]) -> None:
        """Wait until TensorBoard shows `runs` and finds nothing new in them."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        before: dict[str, str] = {}
        while time.monotonic() < deadline:
            now = self._revisions()
            if set(runs) <= now.keys() and now == before:
                return
            before = now
            time.sleep(POLL_SECONDS)
        raise ServerError(f"TensorBoard did not show the runs within {PATIENCE_SECONDS:.0f} seconds.")

    def _revisions(self) -> dict[str, str]:
        if self._process.poll() is not None:
            self._output.seek(0)
            raise ServerError(f"TensorBoard ended at once:\n{self._output.read().strip()}")
        try:
            return {run["run"]: run["revision"] for run in self._get("runs")["runs"]}
        except (OSError, ValueError):  # It does not listen yet, or something else does, and it is about to end.
            return {}

    def _get(self, route: str) -> Any:
        address = f"{self.url}/data/plugin/netviz/{route}"
        with urlopen(address, timeout=ANSWER_SECONDS) as answer:  # noqa: S310  (Our own server.)
            return json.load(answer)


def _free_port() -> int:
    for port in (USUAL_PORT, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("localhost", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ServerError("No port is free.")
