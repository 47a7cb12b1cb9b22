"""`oversmoothing`: with each layer that averages over neighbours, different items become more alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.analysis.wording import layer_name
from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.course import training
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Remedy, Severity
from tb_netviz_plugin.diagnosis.movement import matrices
from tb_netviz_plugin.diagnosis.rule import Limits, Rule, Threshold
from tb_netviz_plugin.diagnosis.stretches import at_end
from tb_netviz_plugin.diagnosis.variety import Places, Variety, places, varieties
from tb_netviz_plugin.schema.description import Response

_LATE = 0.3
"""Share of the run, at its end, that is judged."""
_FEWEST_LAYERS = 3
"""Layers in a row, up to the last, in which items are alike."""
_FEWEST_INSIDE = 5
"""The same where layers behind tell them apart again."""
_TIMES_BEHIND = 3
"""How many times as many as those behind they are at least, there."""
_FADED = 0.3
"""Share of the largest deviation before that is left behind at the most, there."""
_FEWEST_SAME = 2
"""The same where they are next to equal."""
_SAME = 0.3
"""Share of the threshold below which they are next to equal."""
_DIFFER = 0.4
"""Share of what an early layer puts out that varies, where items differ to begin with."""
_FEWEST_ATTENTIONS = 3
"""Attentions over places that are next to equal, which have nothing to choose from, whatever the loss does."""
_BEGINNING = 3
"""First records, by which it is judged where hardly any gradient came through: weights then decay, and what is left of
a signal is rounding."""
_GONE, _DECAYED = 1e-3, 0.1
"""Gradient of the layer that gets least of it over that of the one that gets most, at which hardly any comes through;
and share of their first norm that weights keep at most then, at the median."""
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
    if loss is None:
        return []
    found: list[Finding | None] = []
    for model in (description.model for description in case.network.descriptions):
        if loss.learned > _LEARNED:
            found.append(_blurred(case, model, _SAME * limits["within"], learns=True))
        else:
            smoothed = _smoothed(case, model, limits["share"]) or _smoothed_at_first(case, model, limits["share"])
            found.append(smoothed or _blurred(case, model, limits["within"], learns=False))
    return [finding for finding in found if finding]


def _smoothed_at_first(case: Case, model: str, limit: float) -> Finding | None:
    """Find it in the first records where no gradient came through, whatever became of weights that nothing teaches."""
    layers = [index for index, layer in enumerate(case.network.layers) if layer.model == model]
    gradients = case.numbers("gradient_norm")[layers, :_BEGINNING]
    if not np.isfinite(gradients).all() or gradients.shape[1] < _BEGINNING:
        return None
    if not (gradients.min(axis=0) <= _GONE * gradients.max(axis=0)).all():
        return None
    norms = case.column("weight_norm")[matrices(case, layers)]
    norms = norms[np.isfinite(norms[:, [0, -1]]).all(axis=1) & (norms[:, 0] > 0)]
    if not len(norms) or np.median(norms[:, -1] / norms[:, 0]) > _DECAYED:
        return None
    return _smoothed(case, model, limit, at_first=True)


def _smoothed(case: Case, model: str, limit: float, *, at_first: bool = False) -> Finding | None:
    looks = list(varieties(case, model))
    # Where there are no outputs, they don't differ.
    if not looks or any(_is_shifted(look) or look.size[-1] == 0 for look in looks):
        return None
    late = np.array([_first(look.share) if at_first else _late(look.share, look.steps) for look in looks])
    alike = np.flatnonzero(late <= limit)
    end = int(alike[-1]) + 1 if alike.size else 0
    behind = looks[end:]  # The last layers may well make much of the little that is left.
    looks, late = looks[:end], late[:end]
    first = _first_alike(late, limit)
    blamed = _layers(looks[first:], [*looks[:first], *behind])
    if not first or not blamed or late[:first].max() < _DIFFER:
        return None
    fewest = _FEWEST_SAME if late[first:].max() <= _SAME * limit else _FEWEST_LAYERS
    if behind:
        fewest = max(_FEWEST_INSIDE, _TIMES_BEHIND * len(_layers(behind, ())))
    if len(blamed) < fewest or (behind and not _fades(looks[:first], looks[first:])):
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


def _blurred(case: Case, model: str, limit: float, *, learns: bool) -> Finding | None:
    """Find what becomes alike within each entry only, such as the words of a sentence, while entries still differ.

    Where the loss falls, what places have in common may be all that is asked for; but attention is of no use then.
    """
    looks = list(places(case, model))
    if not looks or any(_is_shifted(look) for look in looks):
        return None
    late = np.array([_late(look.share, look.steps) for look in looks])
    first = _first_alike(late, limit)
    blamed = _layers(looks[first:], looks[:first])
    if not first or len(blamed) < _FEWEST_LAYERS or late[:first].max() < _DIFFER:
        return None
    idle = _attentions(case, looks[first])
    if learns and idle < _FEWEST_ATTENTIONS:
        return None
    worst = looks[first:][int(np.argmin(late[first:]))]
    before = looks[int(np.argmax(late[:first]))]
    return Finding(
        rule="oversmoothing",
        severity=Severity.WARNING,
        layers=blamed,
        first_step=float(worst.steps[0]),
        last_step=float(worst.steps[-1]),
        message=f"From {layer_name(case.network, blamed[0])} on, over {len(blamed)} layers, all places of an entry "
        "(the words of a sequence, the nodes of a graph, the pixels of a picture) are nearly alike: "
        f"{late[first:].min():.1%} of the outputs of {worst.row.label} varies within one, and {late[:first].max():.0%} "
        f"of those of {before.row.label}.",
        beyond=Beyond("share of the outputs that varies within an entry", float(late[first:].max()), limit),
        evidence=(worst.line(limit), before.line()),
        remedies=_REMEDIES,
        excluded=(
            "Not places that are alike to begin with, nor padding: early layers tell them apart.",
            "Not one layer: all that follow and have places are like that.",
            f"Not what a sound network needs: {idle} attentions behind it have nothing to choose from."
            if learns
            else "Not a network that needs no more than what places have in common: the loss hardly falls.",
        ),
        view="units",
    )


def _attentions(case: Case, first: Places) -> int:
    """Return how many attentions of the same model run behind an activation."""
    rows = case.network.activations
    behind = rows[rows.index(first.row) + 1 :]
    return sum(
        row.model == first.row.model
        and (row.activation.response is Response.SOFTMAX or row.activation.kind == "MultiheadAttention")
        for row in behind
    )


def _is_shifted(look: Variety | Places) -> bool:
    """Whether outputs lie around a half, as those of a sigmoid do, which hides how they differ."""
    return look.row.activation.kind.lower() == "sigmoid"


def _first_alike(late: Floats, limit: float) -> int:
    """Return the index of the first activation from which on all are alike; their number where the last is not."""
    ends = np.flatnonzero(late > limit)
    return int(ends[-1]) + 1 if ends.size else 0


def _fades(before: list[Variety], behind: list[Variety]) -> bool:
    """Whether what differs from item to item becomes less itself, and not only beside something that all have."""
    apart = [float(np.nanmedian(look.deviation)) for look in before]
    alike = [float(np.nanmedian(look.deviation)) for look in behind]
    return max(apart, default=0.0) * _FADED >= max(alike, default=0.0)


def _layers(looks: Sequence[Variety | Places], before: Sequence[Variety | Places]) -> tuple[int, ...]:
    """Return the layers all of whose activations lie there: the averaging shows behind a layer's weights."""
    held = dict.fromkeys(look.row.layer for look in looks)
    apart = {look.row.layer for look in before}
    return tuple(layer for layer in held if layer is not None and layer not in apart)


def _late(share: Floats, steps: Floats) -> float:
    """Return the share at the end, at the median of its records."""
    values = share[at_end(steps, _LATE)]
    values = values[np.isfinite(values)]
    return float(np.median(values)) if values.size else 0.0


def _first(share: Floats) -> float:
    """Return the share at the beginning, at the median of its records."""
    values = share[np.isfinite(share)][:_BEGINNING]
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
    thresholds=(
        Threshold("share", 0.2, "share of the outputs that varies from item to item", 0.0, 1.0),
        Threshold("within", 0.05, "share of the outputs that varies within an entry, as from word to word", 0.0, 1.0),
    ),
    find=find,
)
