"""`tb-netviz check`: read, judge, write what is found, and say by the exit status how bad it is."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from tb_netviz.check.checked import Checked
from tb_netviz.check.formats import FORMATS
from tb_netviz.reading import read_runs
from tb_netviz.refusal import RefusalError
from tb_netviz_plugin.diagnosis import RULES, Severity
from tb_netviz_plugin.diagnosis.moving import parse, refuse
from tb_netviz_plugin.errors import NetVizError
from tb_netviz_plugin.reader import Run

CLEAN, FOUND, UNREAD = 0, 1, 2
"""Exit statuses: without findings that count, with one, and where a run could not be read."""


def run(arguments: argparse.Namespace) -> int:
    """Write the findings of the runs below `arguments.logdir` to standard output, and return the exit status.

    Raises:
        RefusalError: If there is nothing to read, or no such run or threshold.
    """
    moved = _moved(arguments.threshold)
    runs = read_runs(Path(arguments.logdir), arguments.run)
    checked = [done for done in (_check(one, moved) for one in runs) if done is not None]
    if not checked:
        raise RefusalError("no run could be read")
    sys.stdout.write(FORMATS[arguments.format](checked))
    if len(checked) < len(runs):
        return UNREAD
    return FOUND if _counts(checked, Severity[arguments.fail_on.upper()]) else CLEAN


def _moved(texts: Iterable[str]) -> dict[str, float]:
    try:
        moved = parse(texts, "=")
        refuse(moved, RULES)
    except ValueError as error:
        raise RefusalError(str(error)) from error
    return moved


def _check(run: Run, moved: Mapping[str, float]) -> Checked | None:
    """Return what the rules say of a run; None, with a reason on standard error, where it can't be read."""
    try:
        return Checked(run.name, run.network, run.report(moved))
    except NetVizError as error:
        print(f"tb-netviz: {run.name!r} can't be read: {error}", file=sys.stderr)
        return None


def _counts(checked: Iterable[Checked], least: Severity) -> bool:
    return any(finding.severity >= least for one in checked for finding in one.report.every)
