"""What is done about a finding while the run goes on."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

_Word = Literal["warn", "raise", "breakpoint", "ignore"]


@dataclass(frozen=True, slots=True)
class LiveFinding:
    """Something that is wrong with a run in training.

    Attributes:
        rule: Id of the rule; see docs/findings.md.
        severity: "warning" or "critical".
        layers: Names of the layers that it is about.
        model: Name under which their model is watched.
        first_step: Where it began.
        last_step: Up to where it was seen.
        message: A sentence with the numbers.
        remedies: What to try, in order of promise; some with a line of code.
    """

    rule: str
    severity: str
    layers: tuple[str, ...]
    model: str
    first_step: int
    last_step: int
    message: str
    remedies: tuple[str, ...]

    def __str__(self) -> str:
        """Return it in one line."""
        return f"{self.message} [{self.severity}: {self.rule}]"


OnFinding = _Word | Callable[[LiveFinding], object]
"""What is to be done: print a line, raise FindingError, open the debugger, nothing, or call something."""


class FindingError(RuntimeError):
    """A finding that is to stop the training.

    Attributes:
        finding: What was found.
    """

    def __init__(self, finding: LiveFinding) -> None:
        super().__init__(str(finding))
        self.finding = finding


def check_action(action: object) -> None:
    """Refuse what can't be done about a finding.

    Raises:
        ValueError: If it is another word than those of OnFinding.
        TypeError: If it is neither a word nor callable.
    """
    words = get_args(_Word)
    if isinstance(action, str) and action not in words:
        raise ValueError(f"on_finding must be {', '.join(map(repr, words))} or a callable, got {action!r}")
    if not isinstance(action, str) and not callable(action):
        raise TypeError(f"on_finding must be {', '.join(map(repr, words))} or a callable, got {type(action).__name__}")


class Alarm:
    """Tells of each finding once.

    A line is printed as soon as it is found. What stops or may stop the training happens in the next call of the
    writer that the user makes, never in a hook.
    """

    def __init__(self) -> None:
        self._actions: dict[str, OnFinding] = {}
        self._models: dict[str, Callable[[], Any]] = {}
        self._waiting: deque[LiveFinding] = deque()
        self._delivering = threading.Lock()

    @property
    def wanted(self) -> bool:
        """Whether anything is to be done about findings at all."""
        return any(action != "ignore" for action in self._actions.values())

    def watch(self, name: str, model: Callable[[], Any], action: OnFinding) -> None:
        """Say what is to be done about a model's findings.

        Args:
            name: Under which it is watched.
            model: Returns it, or None once it is gone.
            action: What is to be done.
        """
        self._actions[name], self._models[name] = action, model

    def tell(self, finding: LiveFinding) -> None:
        """Tell of a finding, from any thread."""
        action = self._action(finding)
        if action == "ignore":
            return
        if action == "warn":
            _print(f"netviz: {finding}")
        else:
            self._waiting.append(finding)

    def deliver(self) -> None:
        """Do what the user asked for; called where the user calls us.

        Raises:
            FindingError: Where that was asked for.
        """
        while self._waiting and self._delivering.acquire(blocking=False):
            try:
                self._act(self._waiting.popleft())
            finally:
                self._delivering.release()

    def _act(self, finding: LiveFinding) -> None:
        action = self._action(finding)
        if action == "raise":
            raise FindingError(finding)
        if action == "breakpoint":
            _print(f"netviz: {finding}")
            _stop(finding, self._models.get(finding.model, lambda: None)())
        elif callable(action):
            try:
                action(finding)
            except Exception as error:  # What the user's own code raises on purpose is to be raised.
                raise error from FindingError(finding)

    def _action(self, finding: LiveFinding) -> OnFinding:
        fallback: OnFinding = next(iter(self._actions.values()), "ignore")
        return self._actions.get(finding.model, fallback)


def _stop(finding: LiveFinding, model: Any) -> None:  # noqa: ARG001  They are at hand in the debugger.
    """Open the debugger, with the finding and the model at hand."""
    breakpoint()  # noqa: T100  It is what the user asked for.


def _print(line: str) -> None:
    """Print a line where a progress bar of tqdm may be."""
    bars = getattr(sys.modules.get("tqdm"), "tqdm", None)
    if bars is not None and getattr(bars, "_instances", None):
        bars.write(line, file=sys.stderr)
    else:
        sys.stderr.write(f"{line}\n")
