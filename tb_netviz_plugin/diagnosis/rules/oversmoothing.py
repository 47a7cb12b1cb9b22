"""`oversmoothing`: with each layer that averages over neighbours, different items become more alike."""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.analysis.wording import layer_name
from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.course import training
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Remedy, Severity
from tb_netviz_plugin.diagnosis.rule import Limits, Rule, Threshold
from tb_netviz_plugin.diagnosis.stretches import at_end
from tb_netviz_plugin.diagnosis.variety import Variety, varieties

_LATE = 0.3
"""Share of the run, at its end, that is judged."""
_FEWEST_LAYERS = 3
"""Layers in a row, up to the last, in which items are alike."""
_FEWEST_INSIDE = 5
"""The same where the last layer tells them apart again."""
_FADED = 0.3
"""Share of the largest deviation before that is left behind at the most, there."""
_FEWEST_SAME = 2
"""The same where they are next to equal."""
_SAME = 0.3
"""Share of the threshold below which they are next to equal."""
_DIFFER = 0.4
"""Share of what an early layer puts out that varies, where items differ to begin with."""
_LEARNED = 0.3
"""Share of itself by which the loss falls at most, where items can't be told apart."""

_REMEDIES = (
    Remedy("Add what comes into a layer to what it puts out.", "hidden = hidden + layer(hidden, edges)"),
    Remedy("Take fewer layers: each one looks a step further, and two or three are often enough."),
    Remedy("Let the head see all layers.", "scores = head(torch.cat(hidden_of_each_layer, dim=-1))"),
    Remedy("Leave out edges at random in training, or normalise so that pairs keep their distance (PairNorm)."),
)


def find(case: Case, limits: Limits) -> list[Finding]:
    """Find networks in whose later layers all items are alike, as where each averages, and which learn little."""
    loss = training(case)
    if loss is None or loss.learned > _LEARNED:
        return []
    found = (_smoothed(case, description.model, limits["share"]) for description in case.network.descriptions)
    return [finding for finding in found if finding]


def _smoothed(case: Case, model: str, limit: float) -> Finding | None:
    looks = list(varieties(case, model))
    # Outputs of a sigmoid lie around a half, which hides how they differ; where there are none, they don't.
    if not looks or any(look.row.activation.kind.lower() == "sigmoid" or look.size[-1] == 0 for look in looks):
        return None
    late = np.array([_late(look.share, look.steps) for look in looks])
    behind = looks[-1].row.layer
    apart_again = bool(late[-1] > limit)
    if apart_again:  # The last layer may well make much of the little that is left.
        kept = [look.row.layer != behind for look in looks]
        looks, late = [look for look, keep in zip(looks, kept, strict=True) if keep], late[kept]
    if not looks:
        return None
    ends = np.flatnonzero(late > limit)
    first = int(ends[-1]) + 1 if ends.size else 0
    # Of a layer all activations have to lie there: the averaging shows behind its weights.
    blamed = _layers(looks[first:], [look.row.layer for look in looks[:first]])
    if not first or not blamed or late[:first].max() < _DIFFER:
        return None
    fewest = _FEWEST_SAME if late[first:].max() <= _SAME * limit else _FEWEST_LAYERS
    if len(blamed) < (_FEWEST_INSIDE if apart_again else fewest):
        return None
    if apart_again and not _fades(looks[:first], looks[first:]):
        return None
    worst = looks[first:][int(np.argmin(late[first:]))]
    before = looks[int(np.argmax(late[:first]))]
    steps = worst.steps
    return Finding(
        rule="oversmoothing",
        severity=Severity.WARNING,
        layers=blamed,
        first_step=float(steps[0]),
        last_step=float(steps[-1]),
        message=f"From {layer_name(case.network, blamed[0])} on, over {len(blamed)} layers, all items are nearly "
        f"alike: {late[first:].min():.0%} of the outputs of {worst.row.label} varies, and {late[:first].max():.0%} of "
        f"those of {before.row.label}.",
        beyond=Beyond("share of the outputs that varies from item to item", float(late[first:].max()), limit),
        evidence=(worst.line(limit), before.line()),
        remedies=_REMEDIES,
        excluded=(
            "Not inputs that are alike: early layers tell items apart.",
            "Not one layer: all that follow are like that.",
            "Not a collapse of which the loss takes no harm: it hardly falls.",
        ),
        view="units",
    )


def _fades(before: list[Variety], behind: list[Variety]) -> bool:
    """Whether what differs from item to item becomes less itself, and not only beside something that all have."""
    apart = [float(np.nanmedian(look.deviation)) for look in before]
    alike = [float(np.nanmedian(look.deviation)) for look in behind]
    return max(apart, default=0.0) * _FADED >= max(alike, default=0.0)


def _layers(looks: list[Variety], before: list[int | None]) -> tuple[int, ...]:
    held = dict.fromkeys(look.row.layer for look in looks)
    return tuple(layer for layer in held if layer is not None and layer not in before)


def _late(share: Floats, steps: Floats) -> float:
    """Return the share at the end, at the median of its records."""
    values = share[at_end(steps, _LATE)]
    values = values[np.isfinite(values)]
    return float(np.median(values)) if values.size else 0.0


RULE = Rule(
    id="oversmoothing",
    title="Items become alike with depth",
    needs=(
        needs.units,
        needs.layers(_FEWEST_SAME + 1),
        needs.records(20),
        needs.curve("train_loss", "training loss was logged", 10),
    ),
    thresholds=(Threshold("share", 0.2, "share of the outputs that varies from item to item", 0.0, 1.0),),
    find=find,
)
