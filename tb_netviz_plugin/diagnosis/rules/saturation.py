"""`saturation`: units that are stuck where their function is flat."""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.analysis.activations import ActivationRow
from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.analysis.units import UnitState
from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.course import training
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.rule import Limits, Rule, Threshold
from tb_netviz_plugin.diagnosis.starts import BEGINNING
from tb_netviz_plugin.diagnosis.stretches import PERSISTING, above
from tb_netviz_plugin.diagnosis.stuck import Stuck, layers, lines, stuck_units
from tb_netviz_plugin.schema.description import Response

_CAN_SATURATE = (Response.BOUNDED, Response.SOFTMAX)
_CERTAIN = 0.4
"""Share of the samples for which a softmax gives nearly all to one of several, where it was certain from the start."""
_AT_FIRST = 0.75
"""Share of that in the first record, which is of few samples."""
_ALL = 0.9
"""The same, whatever is chosen."""
_LEARNED = 0.85
"""Share by which the loss falls where choices that are not all certain do no harm."""
_SCORES = (
    Remedy(
        "Scale the scores down: by the root of how many terms each sums.",
        "scores = query @ key.T / key.shape[-1] ** 0.5",
    ),
    Remedy("Standardise what the scores are made of, such as distances: (x - mean) / std."),
    Remedy("Begin with smaller weights in front of the scores.", "nn.init.xavier_uniform_(layer.weight, gain=0.1)"),
)
_REMEDIES = (
    Remedy(
        "Begin with smaller weights, so that the inputs of the function stay near zero.",
        'nn.init.xavier_uniform_(layer.weight, gain=nn.init.calculate_gain("tanh"))',
    ),
    Remedy("Normalise in front of the activation.", "nn.Sequential(nn.Linear(n, m), nn.LayerNorm(m), nn.Tanh())"),
    Remedy("Lower the learning rate, and standardise the inputs: (x - mean) / std."),
    Remedy("Use an activation without a ceiling in hidden layers.", "nn.ReLU()  # or nn.GELU()"),
)


def find(case: Case, limits: Limits) -> list[Finding]:
    """Find hidden layers of which many units are saturated."""
    outputs = _outputs(case)
    found = [
        one
        for one in stuck_units(case, UnitState.SATURATED, _CAN_SATURATE)
        if one.share >= limits["share"] and one.row.name not in outputs and not _is_constant(one)
    ]
    if not found:
        return _certain_from_the_start(case, limits["share"], outputs)
    found.sort(key=lambda one: (one.since_share(limits["share"]), -one.share))
    first, onset = found[0], min(found[0].since_share(limits["share"]), _of_all_values(case, found[0]))
    return [
        Finding(
            rule="saturation",
            severity=Severity.WARNING,
            layers=layers(found),
            first_step=onset,
            last_step=first.last_step,
            message=_message(found, onset),
            beyond=Beyond("share of units that are saturated", max(one.share for one in found), limits["share"]),
            evidence=lines(found, limits["share"]),
            remedies=_REMEDIES,
            excluded=("Not the network's output, whose units may well be certain.",),
            units=first.units,
            view="units",
        )
    ]


def _of_all_values(case: Case, one: Stuck) -> float:
    """Return from which step on to the end nearly all values of an activation lie where it is flat; else infinity.

    Units that leave the flat part for single records begin anew each time, however few of them do.
    """
    steps = case.activation_steps
    if "activation_saturation" not in case.recorded or not steps.size:
        return np.inf
    row = next(index for index, other in enumerate(case.network.activations) if other is one.row)
    stretch = above(case.numbers("activation_saturation")[row], _ALL)
    lasts = stretch is not None and stretch.last >= len(steps) - PERSISTING
    return float(steps[stretch.first]) if stretch is not None and lasts else np.inf


def _certain_from_the_start(case: Case, limit: float, outputs: frozenset[str]) -> list[Finding]:
    """Find softmaxes inside the network that gave nearly all to one from the first record to the last."""
    inner = [row for row in case.network.activations if row.name not in outputs]
    held = [(row, *known) for row in inner if (known := _one_hot(case, row)) is not None]
    found = [
        (row, steps, shares)
        for row, steps, shares in held
        if steps[0] <= BEGINNING
        and len(steps) >= PERSISTING
        and shares[0] >= _AT_FIRST * _CERTAIN
        and np.median(shares) >= _CERTAIN
    ]
    if not found or len(found) < limit * len(held):
        return []
    row, steps, shares = found[0]
    more = f"; so do {len(found) - 1:,} more layers" if len(found) > 1 else ""
    return [
        Finding(
            rule="saturation",
            severity=Severity.INFO if np.median(shares) < _ALL and _learns(case) else Severity.WARNING,
            layers=tuple(dict.fromkeys(layer for one, _, _ in found for layer in _scored_by(case, one))),
            first_step=float(steps[0]),
            last_step=float(steps[-1]),
            message=f"{row.label} gives at least 99 % to one of its {len(row.units):,} from the first record on, for "
            f"{float(np.median(shares)):.0%} of the samples{more}: hardly any gradient passes to what it chooses by.",
            beyond=Beyond("share of samples for which one gets nearly all", float(np.median(shares)), _CERTAIN),
            evidence=tuple(
                Line(f"{one.label}: share of samples for which one gets nearly all", "units", when, what, _CERTAIN)
                for one, when, what in found[:4]
            ),
            remedies=_SCORES,
            excluded=(
                "Not a choice that was learned: it was so before anything was.",
                "Not the network's output, which may well be certain.",
            ),
            view="units",
        )
    ]


def _learns(case: Case) -> bool:
    """Whether the loss fell nearly all the way: what is chosen may well be meant to be so sharp."""
    loss = training(case)
    return loss is not None and loss.has_scale and loss.learned >= _LEARNED


def _scored_by(case: Case, row: ActivationRow) -> list[int]:
    """Return the layers that make its scores: that of its units, else those of the module that it stands in."""
    if row.layer is not None:
        return [row.layer]
    parent = row.name.rpartition(".")[0]
    return [
        index
        for index, layer in enumerate(case.network.layers)
        if layer.model == row.model and parent and layer.name.startswith(f"{parent}.")
    ]


def _one_hot(case: Case, row: ActivationRow) -> tuple[Floats, Floats] | None:
    """Return the steps of the N records of a softmax, and for which share of its samples one value is next to 1.

    Unless that is nearly all of them, the value that is chosen most is left out: the first of those that see only what
    came before sees itself, and so does a single one beside padding.
    """
    table, about = case.unit_table, row.activation
    if about.response is not Response.SOFTMAX or len(row.units) < 2 or about.unit == "head" or not table.steps.size:
        return None
    each = table.units.column("saturated", rows=np.arange(row.units.start, row.units.stop)).astype(np.float64)
    known = np.isfinite(each[0])
    total, most = np.nansum(each, axis=0)[known], np.nan_to_num(each).max(axis=0)[known]
    spread = (total - most) * len(row.units) / (len(row.units) - 1)
    return (table.steps[known], np.where(total >= _ALL, total, spread)) if known.any() else None


def _message(found: list[Stuck], onset: float) -> str:
    first, kind = found[0], found[0].row.activation.kind
    more = f"; so are units of {len(found) - 1:,} more layers" if len(found) > 1 else ""
    return (
        f"{len(first.units):,} of {len(first.row.units):,} units of {first.row.label} lie where {kind} is flat for at "
        f"least 95 % of their values, since step {onset:,.0f}{more}: hardly any gradient passes."
    )


def _is_constant(one: Stuck) -> bool:
    """Whether it is a softmax over a single value, which is 1 whatever that is."""
    about = one.row.activation
    return about.response is Response.SOFTMAX and len(one.row.units) == 1 and about.unit != "head"


def _outputs(case: Case) -> frozenset[str]:
    """Return the names of the last activation of each model."""
    return frozenset({row.model: row.name for row in case.network.activations}.values())


RULE = Rule(
    id="saturation",
    title="Saturated units",
    needs=(needs.units,),
    thresholds=(Threshold("share", 0.5, "share of a layer's units that are saturated", 0.001, 1.0),),
    find=find,
)
