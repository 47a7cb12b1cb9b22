"""Findings for people: in 80 columns, the worst first, what to try last."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence

from tb_netviz.check.checked import Checked
from tb_netviz.check.colours import Paint, paint
from tb_netviz.printable import printable, short_name
from tb_netviz_plugin.analysis.wording import number
from tb_netviz_plugin.diagnosis import Finding, Remedy, Report
from tb_netviz_plugin.diagnosis.rules import RULES

_WIDTH = 80
_INDENT = "  "
_NAMES = 5
"""Layers that are named; of more the number is given."""
_TITLES = {rule.id: rule.title for rule in RULES}


def as_text(checked: Sequence[Checked]) -> str:
    """Return a paragraph for each finding of each run, below a line that sums the run up."""
    colour = paint()
    return "\n".join("".join(f"{line}\n" for line in _run(one, colour)) for one in checked)


def _run(checked: Checked, colour: Paint) -> Iterator[str]:
    report = checked.report
    yield from _wrapped(f"run {short_name(checked.run)}: {_sum(report)}", "")
    for finding in report.findings:
        yield ""
        yield from _finding(checked, finding, colour)
        yield from _effects(checked, finding, colour)
        yield from _remedies(finding.remedies, _INDENT)
    yield ""
    yield from _checks(report)


def _sum(report: Report) -> str:
    counts = Counter(finding.severity for finding in report.every)
    if not counts:
        return "nothing found"
    return ", ".join(f"{counts[severity]:,} {severity.id}" for severity in sorted(counts, reverse=True))


def _checks(report: Report) -> Iterator[str]:
    passed, skipped = len(report.passed), len(report.skipped)
    more = f", {skipped:,} not checked:" if skipped else ""
    yield f"{_INDENT}{passed:,} {'check' if passed == 1 else 'checks'} passed{more}"
    for one in report.skipped:
        yield from _wrapped(f"{one.rule.title}: {printable(one.reason)}", 2 * _INDENT)


def _finding(checked: Checked, finding: Finding, colour: Paint, indent: str = _INDENT) -> Iterator[str]:
    """Yield severity, title, layers, steps, the message, what decided, and what was ruled out."""
    head = f"{finding.severity.id.upper()}: {_TITLES[finding.rule]} [{finding.rule}]"
    for line in _wrapped(head, indent):
        yield colour(line, finding.severity)
    yield from _wrapped(_where(checked, finding), indent)
    yield from _wrapped(printable(finding.message), indent)
    beyond = finding.beyond
    measured = f"{printable(beyond.label)}: {number(beyond.measured)}, threshold {number(beyond.threshold)}"
    yield from _wrapped(measured, indent)
    for sentence in finding.excluded:
        yield from _wrapped(f"Ruled out: {printable(sentence)}", indent)


def _where(checked: Checked, finding: Finding) -> str:
    modules = [printable(module) for module in finding.modules]
    named = [short_name(checked.layer(layer)) or "(no name)" for layer in finding.layers[:_NAMES]]
    more = [f"{len(finding.layers) - _NAMES:,} more"] if len(finding.layers) > _NAMES else []
    first, last = finding.first_step, finding.last_step
    steps = f"step {first:,.0f}" if first == last else f"steps {first:,.0f} to {last:,.0f}"
    return f"{', '.join([*modules, *named, *more]) or 'the whole run'}, {steps}"


def _effects(checked: Checked, finding: Finding, colour: Paint) -> Iterator[str]:
    if finding.consequences:
        yield f"{_INDENT}From this follows:"
    for consequence in finding.consequences:
        yield from _finding(checked, consequence, colour, 2 * _INDENT)


def _remedies(remedies: Sequence[Remedy], indent: str) -> Iterator[str]:
    if remedies:
        yield f"{indent}What to try:"
    for place, remedy in enumerate(remedies, 1):
        yield from _wrapped(f"{place}. {printable(remedy.text)}", indent, hanging="   ")
        for line in remedy.code.splitlines():
            yield f"{indent}       {printable(line)}"


def _wrapped(text: str, indent: str, hanging: str = "") -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=indent, subsequent_indent=indent + hanging, break_on_hyphens=False
    ) or [indent]
