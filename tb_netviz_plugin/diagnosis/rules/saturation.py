"""`saturation`: units that are stuck where their function is flat."""

from __future__ import annotations

from tb_netviz_plugin.analysis.units import UnitState
from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.choices import certain_from_the_start
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Remedy, Severity
from tb_netviz_plugin.diagnosis.rule import Limits, Rule, Threshold
from tb_netviz_plugin.diagnosis.stuck import Stuck, layers, lines, saturated_since, stuck_units
from tb_netviz_plugin.diagnosis.thrown import thrown_to_their_ends
from tb_netviz_plugin.schema.description import Response

_CAN_SATURATE = (Response.BOUNDED, Response.SOFTMAX)
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
        return certain_from_the_start(case, limits["share"], outputs) or thrown_to_their_ends(case, outputs)
    found.sort(key=lambda one: (one.since_share(limits["share"]), -one.share))
    first, onset = found[0], saturated_since(case, found[0], limits["share"])
    return [
        Finding(
            rule="saturation",
            severity=Severity.WARNING,
            layers=layers(case, found),
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
