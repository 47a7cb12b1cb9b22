"""What holds for every test: no skip passes in silence, property tests repeat themselves, and each has one thread."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

PERMITTED = [
    line
    for line in Path(__file__).with_name("permitted_skips.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]

# Before torch and NumPy are imported, here and in other processes: threads that wait for each other where several tests
# run at once take many times as long as one alone.
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile("repeatable")


def pytest_addoption(parser):
    parser.addoption("--pictures", type=Path, help="take the pictures of the README again, into this folder")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    return _without_silent_skips((yield))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(collector):
    return _without_silent_skips((yield))


def _without_silent_skips(report):
    if report.skipped or hasattr(report, "wasxfail"):
        reason = getattr(report, "wasxfail", None) or _reason(report)
        if reason not in PERMITTED:
            report.outcome = "failed"
            report.longrepr = f"Skipped for a reason that tests/permitted_skips.txt does not permit: {reason}"
            vars(report).pop("wasxfail", None)
    return report


def _reason(report):
    _path, _line, message = report.longrepr
    return message.removeprefix("Skipped: ")
