"""The kinds of facts, in the order in which they strike. To add one: write its function, add a line to FACTS."""

from __future__ import annotations

from collections.abc import Callable

from tb_netviz_plugin.analysis.facts.evidence import Evidence
from tb_netviz_plugin.analysis.facts.fact import Fact
from tb_netviz_plugin.analysis.facts.gradient_drop import gradient_drop
from tb_netviz_plugin.analysis.facts.gradient_fall import gradient_fall
from tb_netviz_plugin.analysis.facts.no_gradient import frozen_layers, no_gradient
from tb_netviz_plugin.analysis.facts.nonfinite import nonfinite
from tb_netviz_plugin.analysis.facts.update_spike import update_spike
from tb_netviz_plugin.analysis.facts.zero_gradient import zero_gradient
from tb_netviz_plugin.analysis.grid import Grid

FACTS: tuple[Callable[[Evidence], list[Fact]], ...] = (
    nonfinite,
    zero_gradient,
    no_gradient,
    gradient_drop,
    gradient_fall,
    update_spike,
    frozen_layers,
)


def find_facts(grid: Grid) -> tuple[Fact, ...]:
    """Return the facts about a run, the most striking first."""
    if not grid.network.layers or not grid.steps.size:
        return ()
    evidence = Evidence(grid)
    return tuple(fact for kind in FACTS for fact in kind(evidence))
