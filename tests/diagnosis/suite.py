"""All scenarios. To add one: write its training beside the others of its kind, and a line in that file's SCENARIOS."""

from __future__ import annotations

from tests.diagnosis.faulty import fresh, gradients, losses, numbers, outputs, rates, representations, units, wiring
from tests.diagnosis.healthy import (
    cnn,
    fresh_graphs,
    fresh_layers,
    fresh_loops,
    fresh_losses,
    fresh_optimizers,
    fresh_pictures,
    fresh_sequences,
    gnn,
    loops,
    mlp,
    sequences,
    stranger_agents,
    stranger_columns,
    stranger_graphs,
    stranger_pictures,
    stranger_recipes,
    stranger_relations,
    stranger_sciences,
    stranger_series,
    stranger_towers,
    stranger_words,
)
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
    *fresh.SCENARIOS,
)
HEALTHY: tuple[Scenario, ...] = (
    *mlp.SCENARIOS,
    *loops.SCENARIOS,
    *cnn.SCENARIOS,
    *sequences.SCENARIOS,
    *gnn.SCENARIOS,
    *fresh_optimizers.SCENARIOS,
    *fresh_losses.SCENARIOS,
    *fresh_layers.SCENARIOS,
    *fresh_pictures.SCENARIOS,
    *fresh_sequences.SCENARIOS,
    *fresh_graphs.SCENARIOS,
    *fresh_loops.SCENARIOS,
    *stranger_agents.SCENARIOS,
    *stranger_columns.SCENARIOS,
    *stranger_graphs.SCENARIOS,
    *stranger_pictures.SCENARIOS,
    *stranger_recipes.SCENARIOS,
    *stranger_relations.SCENARIOS,
    *stranger_sciences.SCENARIOS,
    *stranger_series.SCENARIOS,
    *stranger_towers.SCENARIOS,
    *stranger_words.SCENARIOS,
)
SCENARIOS = (*FAULTY, *HEALTHY)
