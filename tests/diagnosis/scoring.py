"""How well a diagnosis does: each run is compared with what its scenario says is wrong, and the runs are counted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from tb_netviz_plugin.diagnosis import Finding, Severity
from tb_netviz_plugin.reader import Run
from tests.diagnosis.scenario import Scenario, Truth

ONSET_SHARE = 0.1
"""Share of the run by which an onset may be missed."""
_Z = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Told:
    """What a tool says of a run: a cause, which no other explains.

    Attributes:
        rule: Id of the rule.
        severity: How bad it is.
        layers: Names of the layers, and of modules without weights, the one to blame first.
        first_step: Where it began; None where the tool does not say.
        message: Its words.
    """

    rule: str
    severity: Severity
    layers: tuple[str, ...] = ()
    first_step: float | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a tool said of one run, beside the truth.

    Attributes:
        scenario: What was trained.
        seed: Of the training.
        hits: The causes that are right.
        false_alarms: Those of warning or worse that are not.
        others: What else was told: too lightly, or right beside the cause.
        right_layer: Whether the first hit blames a right layer first; None without a hit, or where none is to blame.
        right_onset: Whether its onset is right; None without a hit.
        records: How many there were.
    """

    scenario: Scenario
    seed: int
    hits: tuple[Told, ...]
    false_alarms: tuple[Told, ...]
    others: tuple[Told, ...]
    right_layer: bool | None
    right_onset: bool | None
    truth: Truth | None
    records: int


@dataclass(slots=True)
class Count:
    """So many of so many."""

    good: int = 0
    of: int = 0

    def add(self, good: object) -> None:
        """Count one more."""
        self.good += bool(good)
        self.of += 1

    def __str__(self) -> str:
        """Return the share with its 95 % interval after Wilson."""
        if not self.of:
            return "–"
        low, high = wilson(self.good, self.of)
        return f"{self.good / self.of:.2f} [{low:.2f}, {high:.2f}] {self.good}/{self.of}"


@dataclass(slots=True)
class Score:
    """Counts over runs."""

    recall: Count = field(default_factory=Count)
    precision: Count = field(default_factory=Count)
    healthy: Count = field(default_factory=Count)
    layer: Count = field(default_factory=Count)
    onset: Count = field(default_factory=Count)


def told_by(run: Run) -> list[Told]:
    """Return what our rules say of a run, without what they fold under a cause."""
    return [_told(run, finding) for finding in run.report({}).findings]


def compare(scenario: Scenario, seed: int, truth: Truth | None, run: Run, told: Sequence[Told]) -> Outcome:
    """Return how what was told stands to the truth."""
    hits = tuple(one for one in told if one.rule in scenario.rules and one.severity >= scenario.least)
    right = (*scenario.rules, *scenario.beside)
    wrong = tuple(one for one in told if one.severity >= Severity.WARNING and one.rule not in right)
    return Outcome(
        scenario,
        seed,
        hits,
        wrong,
        tuple(one for one in told if one not in hits and one not in wrong),
        _right_layer(hits[0], truth) if hits and truth and truth.layers else None,
        _right_onset(hits[0], truth, run.listing.last_step) if hits and truth else None,
        truth,
        len(run.grid.steps),
    )


def score(outcomes: Sequence[Outcome], rule: str | None = None) -> Score:
    """Count over all runs, or what concerns one rule: the runs that have that fault, and what was told under its id."""
    counts = Score()
    for outcome in outcomes:
        if not outcome.scenario.rules:
            counts.healthy.add(not any(rule in (None, one.rule) for one in outcome.false_alarms))
        elif rule in (None, outcome.scenario.rule):
            counts.recall.add(outcome.hits)
            for count, right in ((counts.layer, outcome.right_layer), (counts.onset, outcome.right_onset)):
                if right is not None:
                    count.add(right)
        for told, good in ((outcome.hits, True), (outcome.false_alarms, False)):
            for one in told:
                if rule in (None, one.rule):
                    counts.precision.add(good)
    return counts


def wilson(good: int, of: int) -> tuple[float, float]:
    """Return the 95 % interval of a share after Wilson."""
    share, square = good / of, _Z**2
    centre = (share + square / (2 * of)) / (1 + square / of)
    reach = _Z / (1 + square / of) * math.sqrt(share * (1 - share) / of + square / (4 * of**2))
    return max(0.0, centre - reach), min(1.0, centre + reach)


def _told(run: Run, finding: Finding) -> Told:
    names = (*finding.modules, *(run.network.layers[layer].name for layer in finding.layers))
    return Told(finding.rule, finding.severity, names, finding.first_step, finding.message)


def _right_layer(told: Told, truth: Truth) -> bool:
    return bool(told.layers) and told.layers[0] in truth.layers


def _right_onset(told: Told, truth: Truth, last_step: int) -> bool:
    slack = ONSET_SHARE * max(1, last_step)
    until = truth.onset if truth.until is None else truth.until
    return told.first_step is not None and truth.onset - slack <= told.first_step <= until + slack
