"""A report as plain data, for the tab and for `tb-netviz check --format json`; the keys stand in docs/http-api.md."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.analysis.thinning import thin
from tb_netviz_plugin.diagnosis.checking import Report
from tb_netviz_plugin.diagnosis.finding import Finding, Line
from tb_netviz_plugin.diagnosis.rules import RULES

POINTS = 400
"""A line of evidence has so many points at most."""
ALL_POINTS = 40_000
"""All lines of a report together have so many points at most, as long as each has a few."""
_FEW = 32
_DIGITS = 6
_TITLES = {rule.id: rule.title for rule in RULES}

Naming = Callable[[int], int | str]
"""How a layer is told, by its index."""


def tell(report: Report, naming: Naming = int) -> dict[str, Any]:
    """Return {"checks", "findings", "passed", "not_checked"}, in which NaN is None."""
    lines = sum(len(finding.evidence) for finding in report.every)
    points = max(_FEW, min(POINTS, ALL_POINTS // max(1, lines)))
    findings = []
    for finding in report.findings:
        consequences = [_finding(one, naming, points) for one in finding.consequences]
        findings.append(_finding(finding, naming, points) | {"consequences": consequences})
    return {
        "checks": report.checks,
        "findings": findings,
        "passed": [{"rule": rule.id, "title": rule.title} for rule in report.passed],
        "not_checked": [
            {"rule": skipped.rule.id, "title": skipped.rule.title, "reason": skipped.reason}
            for skipped in report.skipped
        ],
    }


def tell_thresholds(moved: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return what a user may move, and where each stands."""
    return [
        {
            "rule": rule.id,
            "name": one.name,
            "label": one.label,
            "value": rule.limits(moved)[one.name],
            "default": one.default,
            "least": one.least,
            "most": one.most,
        }
        for rule in RULES
        for one in rule.thresholds
    ]


def _finding(finding: Finding, naming: Naming, points: int) -> dict[str, Any]:
    beyond = finding.beyond
    return {
        "id": finding.id,
        "rule": finding.rule,
        "title": _TITLES[finding.rule],
        "severity": finding.severity.id,
        "layers": [naming(layer) for layer in finding.layers],
        "modules": list(finding.modules),
        "units": None if finding.units is None else [int(unit) for unit in finding.units],
        "first_step": _number(finding.first_step),
        "last_step": _number(finding.last_step),
        "message": finding.message,
        "beyond": {
            "label": beyond.label,
            "measured": _number(beyond.measured),
            "threshold": _number(beyond.threshold),
        },
        "evidence": [_line(line, finding.first_step, points) for line in finding.evidence],
        "excluded": list(finding.excluded),
        "remedies": [{"text": remedy.text, "code": remedy.code} for remedy in finding.remedies],
        "view": finding.view,
    }


def _line(line: Line, onset: float, points: int) -> dict[str, Any]:
    kept = thin(line.steps, line.values, points, onset)
    return {
        "label": line.label,
        "statistic": line.statistic,
        "steps": _numbers(line.steps[kept]),
        "values": [None if value is None else float(f"{value:.{_DIGITS}g}") for value in _numbers(line.values[kept])],
        "threshold": None if line.threshold is None else _number(line.threshold),
    }


def _numbers(values: Floats | Sequence[float]) -> list[float | None]:
    return [_number(value) for value in np.asarray(values, np.float64).tolist()]


def _number(value: float) -> float | None:
    """Return a whole number as one, and None in the place of what JSON has no number for."""
    if not math.isfinite(value):
        return None
    return int(value) if float(value).is_integer() and abs(value) < 1e15 else float(value)
