"""`dead_units`: units that fire for no sample any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tb_netviz_plugin.analysis.outputs import NUMBERS
from tb_netviz_plugin.analysis.units import UnitState
from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.answers import answers, last_activation
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Remedy, Severity
from tb_netviz_plugin.diagnosis.rule import Limits, Rule, Threshold
from tb_netviz_plugin.diagnosis.stuck import Stuck, layers, lines, stuck_units
from tb_netviz_plugin.schema.description import Response

_LOOKS, _SAMPLES = 10, 1000
"""Records, and samples times units, from which on it is no chance that nothing of a layer fires."""
_SMALL = 8
"""Units below which a layer is a bottleneck, as of a squeeze-and-excitation: there it takes nearly all of them."""
_CAN_DIE = (Response.RECTIFIER, Response.SMOOTH)


def find(case: Case, limits: Limits) -> list[Finding]:
    """Find layers of which many units are dead, and tell of those of which a few are."""
    found = [*stuck_units(case, UnitState.DEAD, _CAN_DIE), *_silent(case)]
    many = [one for one in found if one.share >= _least(one, limits) and not _may_be_zero(case, one)]
    few = [one for one in found if one not in many]
    findings = []
    if many:
        many.sort(key=lambda one: (one.since_share(limits["share"]), -one.share))
        worst = max(one.share for one in many)
        severity = Severity.CRITICAL if worst >= limits["nearly_all"] else Severity.WARNING
        onset = many[0].since_share(limits["share"])
        findings.append(_finding(case, many, severity, onset, worst, limits["share"]))
    if few:
        few.sort(key=lambda one: -one.share)
        onset = min(float(one.since[0]) for one in few)
        findings.append(_finding(case, few, Severity.INFO, onset, few[0].share, limits["share"]))
    return findings


def _least(one: Stuck, limits: Limits) -> float:
    """Return the share of a layer's units from which on it matters that they are dead."""
    return limits["share"] if len(one.row.units) >= _SMALL else limits["nearly_all"]


def _may_be_zero(case: Case, one: Stuck) -> bool:
    """Whether they are some of the network's outputs, and what is asked of these is never below zero, and zero too.

    As of counts or spectra, of which most are always empty.
    """
    given = answers(case)
    if given is None or given.model != one.row.model or one.row is not last_activation(case, given.model):
        return False
    asked = (given.target_kind == NUMBERS).all() and float(given.targets.smallest.min()) == 0
    return bool(asked) and one.share < 1


def _silent(case: Case) -> list[Stuck]:
    """Return layers none of whose units ever fired, though too few samples were seen to call a single one dead."""
    found = []
    for one in stuck_units(case, UnitState.SILENT, _CAN_DIE):
        looks = case.judged(case.network.activations.index(one.row)).looks
        samples = float(looks.samples.sum())
        if (one.shares == 1).all() and len(one.steps) >= _LOOKS and samples * len(one.units) >= _SAMPLES:
            since = np.full(len(one.units), float(looks.first_steps[0]))
            found.append(replace(one, samples=samples, since=since))
    return found


def _finding(
    case: Case, found: Sequence[Stuck], severity: Severity, onset: float, share: float, threshold: float
) -> Finding:
    first = found[0]
    return Finding(
        rule="dead_units",
        severity=severity,
        layers=layers(case, found),
        first_step=onset,
        last_step=first.last_step,
        message=f"{_told(first)} fired for none of the last {first.samples:,.0f} samples, since step {onset:,.0f}"
        + (f"; so did units of {len(found) - 1:,} more layers." if len(found) > 1 else "."),
        beyond=Beyond("share of units that are dead", share, threshold),
        evidence=lines(found, threshold),
        remedies=_remedies(severity),
        excluded=_excluded(case, first),
        units=first.units,
        view="units",
    )


def _told(one: Stuck) -> str:
    return f"{len(one.units):,} of {len(one.row.units):,} {one.row.activation.unit or 'unit'}s of {one.row.label}"


def _excluded(case: Case, one: Stuck) -> tuple[str, ...]:
    """Say what else it might have been: sparse, or ill before it learned anything."""
    facts = ["Not merely sparse: a unit that fires for a single sample is not counted."]
    alive = np.flatnonzero(case.judged(case.network.activations.index(one.row)).last != UnitState.DEAD)
    if alive.size:
        facts.append(f"Not the data: the other {alive.size:,} units of the layer saw the same samples, and fire.")
    return tuple(facts)


def _remedies(severity: Severity) -> tuple[Remedy, ...]:
    if severity is Severity.INFO:
        return (Remedy("A few dead units do no harm; to save their cost, prune them: see `tb-netviz units`."),)
    return (
        Remedy(
            "Lower the learning rate, or warm it up: one large step can push units below zero for all samples.",
            "torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=500)",
        ),
        Remedy("Use an activation that has a gradient below zero, too.", "nn.LeakyReLU(0.01)  # or nn.GELU()"),
        Remedy("Normalise in front of the activation.", "nn.Sequential(nn.Linear(n, m), nn.BatchNorm1d(m), nn.ReLU())"),
        Remedy("Look at the biases: units begin dead where these are far below zero.", "nn.init.zeros_(layer.bias)"),
    )


RULE = Rule(
    id="dead_units",
    title="Dead units",
    needs=(needs.units, needs.samples_that_differ),
    thresholds=(
        Threshold("share", 0.6, "share of a layer's units that are dead", 0.001, 1.0),
        Threshold("nearly_all", 0.9, "share of a layer's units from which on nothing passes", 0.01, 1.0),
    ),
    find=find,
)
