"""What a rule finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from tb_netviz_plugin.analysis.records import Floats


class Severity(IntEnum):
    """How bad it is."""

    INFO = 1
    """Worth knowing; training goes on as it should."""
    WARNING = 2
    """Training is worse than it could be."""
    CRITICAL = 3
    """Training fails, or a part of the network does not learn at all."""

    @property
    def id(self) -> str:
        """Name of it in JSON and on the command line."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Line:
    """A series that shows what was found, T values.

    Attributes:
        label: What it is of.
        statistic: Id of the statistic, or the name of the metric.
        steps: float64 [T].
        values: float64 [T], NaN where there is none.
        threshold: Where the limit lies on the same axis, or None.
    """

    label: str
    statistic: str
    steps: Floats
    values: Floats
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class Remedy:
    """Something to try.

    Attributes:
        text: A sentence.
        code: Lines to paste, in the framework's own words; empty where none fit.
    """

    text: str
    code: str = ""


@dataclass(frozen=True, slots=True)
class Beyond:
    """The number that decided, and its limit.

    Attributes:
        label: What was measured.
        measured: Its value.
        threshold: The limit.
    """

    label: str
    measured: float
    threshold: float


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong with a run.

    Attributes:
        rule: Id of the rule.
        severity: How bad it is.
        layers: Indices of the layers that it is about, the one that shows it best first; none where it is about all.
        modules: Names of modules without weights that show it themselves, and are to blame before any layer.
        units: Indices of units of the first layer, or None where it is not about single units.
        first_step: Where it began.
        last_step: Up to where it was seen.
        message: A sentence in plain words, with the numbers.
        beyond: What decided.
        evidence: What shows it; the first line is drawn first.
        excluded: Explanations that were ruled out, a sentence each.
        remedies: What to try, in order of promise.
        view: Where the tab shows it: "flow", "units", "activations" or "overview".
        consequences: What follows from it; see `causes.py`.
        subject: Tells it from others of its rule, where there are several: a model, a layer. It says nothing of
            layers that come and go, nor of how bad it is, which change while a run goes on.
    """

    rule: str
    severity: Severity
    layers: tuple[int, ...]
    first_step: float
    last_step: float
    message: str
    beyond: Beyond
    evidence: tuple[Line, ...]
    remedies: tuple[Remedy, ...]
    excluded: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    units: tuple[int, ...] | None = None
    view: str = "flow"
    consequences: tuple[Finding, ...] = field(default=())
    subject: str = ""

    @property
    def id(self) -> str:
        """Tells it from the other findings of the run, and stays the same while the run goes on."""
        return f"{self.rule}:{self.subject}" if self.subject else self.rule
