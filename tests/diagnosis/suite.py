"""All scenarios: the `SCENARIOS` of every file in `faulty/` and `healthy/`, of the files in alphabetical order.

To add one, write its training beside the others of its kind, and a line in that file's SCENARIOS.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from tests.diagnosis.scenario import Scenario


def _scenarios(folder: str) -> tuple[Scenario, ...]:
    files = sorted(Path(__file__).with_name(folder).glob("*.py"))
    modules = [import_module(f"tests.diagnosis.{folder}.{file.stem}") for file in files]
    return tuple(scenario for module in modules for scenario in module.SCENARIOS)


FAULTY = _scenarios("faulty")
HEALTHY = _scenarios("healthy")
SCENARIOS = (*FAULTY, *HEALTHY)
