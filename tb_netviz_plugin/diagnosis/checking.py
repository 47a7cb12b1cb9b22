"""Checks a run by all rules."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tb_netviz_plugin.analysis.network import Network
from tb_netviz_plugin.diagnosis.case import Case, Recorded
from tb_netviz_plugin.diagnosis.causes import fold
from tb_netviz_plugin.diagnosis.finding import Finding
from tb_netviz_plugin.diagnosis.moving import refuse
from tb_netviz_plugin.diagnosis.rule import Limits, Rule
from tb_netviz_plugin.diagnosis.rules import RULES
from tb_netviz_plugin.errors import NetVizError

FAILED = "the rule itself failed with"
"""How the reason begins where that is a mistake of ours."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A rule that could not be checked, and why."""

    rule: Rule
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """What all rules say of a run.

    Attributes:
        findings: What is wrong, the worst first; what follows from another finding stands in that one.
        passed: The rules that found nothing.
        skipped: The rules that could not be checked.
    """

    findings: tuple[Finding, ...]
    passed: tuple[Rule, ...]
    skipped: tuple[Skipped, ...]

    @property
    def checks(self) -> int:
        """How many rules were checked."""
        return len(RULES) - len(self.skipped)

    @property
    def every(self) -> tuple[Finding, ...]:
        """All findings, each followed by its consequences."""
        return tuple(one for finding in self.findings for one in (finding, *finding.consequences))


def check(run: Recorded, moved: Mapping[str, float] | None = None, rules: Sequence[Rule] = RULES) -> Report:
    """Return what all rules say of a run.

    Args:
        run: What was recorded.
        moved: Thresholds that are not to stand where they do by default, such as {"dead_units.share": 0.5}.
        rules: The rules.

    Raises:
        ValueError: If there is no threshold of a name in `moved`, or its value makes no sense.
    """
    moved = moved or {}
    refuse(moved, rules)
    case = Case(run)
    found: list[Finding] = []
    passed, skipped = [], []
    for rule in rules:
        findings, reason = _apply(rule, case, rule.limits(moved))
        found += findings
        if reason:
            skipped.append(Skipped(rule, reason))
        elif not findings:
            passed.append(rule)
    return Report(tuple(fold(told_apart(found, case.network))), tuple(passed), tuple(skipped))


def told_apart(findings: Sequence[Finding], network: Network) -> list[Finding]:
    """Return findings with unique ids: with their model, where there are several, and a number as a last resort."""
    told: list[Finding] = []
    seen: Counter[str] = Counter()
    for finding in findings:
        several = finding.layers and len(network.models) > 1
        parts = (network.layers[finding.layers[0]].model if several else "", finding.subject)
        one = replace(finding, subject=":".join(filter(None, parts)))
        seen[one.id] += 1
        if seen[one.id] > 1:
            one = replace(one, subject=f"{one.subject}#{seen[one.id]}")
        told.append(one)
    return told


def _apply(rule: Rule, case: Case, limits: Limits) -> tuple[list[Finding], str]:
    """Return what a rule finds, or why it could not be checked. A rule that fails is no verdict, and stops no other."""
    try:
        reason = rule.missing(case)
        return ([], reason) if reason else (rule.find(case, limits), "")
    except NetVizError:  # The run itself can't be read.
        raise
    except Exception as error:
        logging.getLogger("tb_netviz").exception("the rule %s failed", rule.id)
        return [], f"{FAILED} {type(error).__name__}: {error}"
