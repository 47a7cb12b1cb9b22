"""All scenarios. To add one: write its training beside the others of its kind, and a line in that file's SCENARIOS."""

from __future__ import annotations

from tests.diagnosis.faulty import gradients, wiring
from tests.diagnosis.healthy import mlp
from tests.diagnosis.scenario import Scenario

FAULTY: tuple[Scenario, ...] = (*gradients.SCENARIOS, *wiring.SCENARIOS)
HEALTHY: tuple[Scenario, ...] = (*mlp.SCENARIOS,)
SCENARIOS = (*FAULTY, *HEALTHY)
