"""All scenarios. To add one: write its training beside the others of its kind, and a line in that file's SCENARIOS."""

from __future__ import annotations

from tests.diagnosis.faulty import gradients, losses, numbers, outputs, rates, representations, units, wiring
from tests.diagnosis.healthy import cnn, gnn, loops, mlp, sequences
from tests.diagnosis.scenario import Scenario

FAULTY: tuple[Scenario, ...] = (
    *numbers.SCENARIOS,
    *gradients.SCENARIOS,
    *units.SCENARIOS,
    *rates.SCENARIOS,
    *wiring.SCENARIOS,
    *losses.SCENARIOS,
    *outputs.SCENARIOS,
    *representations.SCENARIOS,
)
HEALTHY: tuple[Scenario, ...] = (
    *mlp.SCENARIOS,
    *loops.SCENARIOS,
    *cnn.SCENARIOS,
    *sequences.SCENARIOS,
    *gnn.SCENARIOS,
)
SCENARIOS = (*FAULTY, *HEALTHY)
