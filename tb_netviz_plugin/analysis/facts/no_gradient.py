"""Layers that have no gradient, whether they ask for one or are frozen."""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.analysis.derive import State
from tb_netviz_plugin.analysis.facts.evidence import PERSISTING, Evidence
from tb_netviz_plugin.analysis.facts.fact import Fact
from tb_netviz_plugin.analysis.records import Bools
from tb_netviz_plugin.analysis.wording import subject


def no_gradient(evidence: Evidence) -> list[Fact]:
    """State which layers never had a gradient though they ask for one, while others had."""
    return _never_a_gradient(
        evidence,
        ~evidence.frozen,
        ("never had a gradient", "never had a gradient"),
        "They ask for a gradient, but none reached them in any of {records:,} records: nothing that the loss depends "
        "on uses them, or they are detached.",
    )


def frozen_layers(evidence: Evidence) -> list[Fact]:
    """State which layers are frozen: they ask for no gradient."""
    return _never_a_gradient(
        evidence,
        evidence.frozen,
        ("is frozen, without a gradient", "are frozen, without a gradient"),
        "They ask for no gradient (requires_grad is off), and had none in {records:,} records.",
    )


def _never_a_gradient(evidence: Evidence, wanted: Bools, predicate: tuple[str, str], detail: str) -> list[Fact]:
    """Return the fact about those of the `wanted` layers; `predicate` is in the singular and the plural."""
    states = evidence.statistic("gradient_norm").states
    there = np.isin(states, (State.NUMBER, State.NONFINITE))
    without = (states == State.NO_GRADIENT) & there.any(axis=0)
    layers = np.flatnonzero(wanted & ~there.any(axis=1) & (without.sum(axis=1) >= PERSISTING)).tolist()
    if not layers:
        return []
    seen = np.flatnonzero(without[layers].any(axis=0))
    return [
        Fact(
            id=f"no_gradient:{layers[0]}",
            kind="no_gradient",
            title=f"{subject(evidence.network, layers)} {predicate[len(layers) > 1]}",
            detail=detail.format(records=len(seen)),
            statistic="gradient_norm",
            layers=tuple(layers),
            step=evidence.steps[seen[0]],
            last_step=evidence.steps[seen[-1]],
            evidence={"layers": len(layers), "records": len(seen)},
        )
    ]
