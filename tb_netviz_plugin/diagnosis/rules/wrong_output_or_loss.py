"""`wrong_output_or_loss`: outputs or targets that the loss does not expect, or targets out of the outputs' reach."""

from __future__ import annotations

from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.answers import answers, in_python, last_activation, logged_loss, output_layers
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.finding import Finding, Remedy
from tb_netviz_plugin.diagnosis.misfits import MISFITS, Ends, Misfit
from tb_netviz_plugin.diagnosis.rule import Limits, Rule, Threshold
from tb_netviz_plugin.diagnosis.stretches import PERSISTING


def find(case: Case, limits: Limits) -> list[Finding]:
    """Find the first way in which outputs do not go with the loss, at all records."""
    given = answers(case)
    if given is None or len(given.steps) < PERSISTING:
        return []
    ends = Ends(given, logged_loss(case, given.steps))
    misfit = next((found for look in MISFITS if (found := look(ends, limits)) is not None), None)
    if misfit is None:
        return []
    return [
        Finding(
            rule="wrong_output_or_loss",
            severity=misfit.severity,
            layers=output_layers(case, given.model),
            first_step=float(given.steps[0]),
            last_step=float(given.steps[-1]),
            message=misfit.message,
            beyond=misfit.beyond,
            evidence=misfit.evidence,
            remedies=(*_without_the_last(case, given.model, misfit), *misfit.remedies),
            excluded=(f"No accident: it is so at all {len(given.steps):,} records.", *misfit.excluded),
            view="overview",
        )
    ]


def _without_the_last(case: Case, model: str, misfit: Misfit) -> tuple[Remedy, ...]:
    """Return how to leave out the activation that the model ends in, where that is what is wrong."""
    last = last_activation(case, model)
    if not misfit.without or last is None or not last.activation.response:
        return ()
    kind, name = last.activation.kind, last.activation.name
    if last.function:
        return (Remedy(f"Leave out the call of {kind} that the network ends in."),)
    return (Remedy(f"Leave out the {kind} that the network ends in.", f"{in_python(name)} = nn.Identity()"),)


RULE = Rule(
    id="wrong_output_or_loss",
    title="Output and loss do not fit",
    needs=(
        needs.outputs("outputs were recorded; give the loss to watch(criterion=…), or call observe(outputs=…)"),
        needs.records(PERSISTING),
    ),
    thresholds=(
        Threshold("sum", 0.01, "distance from 1 of the sum over the classes", 0.0, 1.0),
        Threshold("reach", 1.0, "how far targets lie beyond the outputs, in their deviations", 0.1, 100.0),
    ),
    find=find,
)
