"""Tokens and other whole numbers that are zero more often in evaluations than in training: padding, or other codes.

How far apart means of such codes lie says nothing. But in two samples of the same data any of them is about as
frequent. A network that leaves padding out does as well for it, so that the validation loss decides.
"""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.analysis.evaluations import Evaluations
from tb_netviz_plugin.analysis.outputs import CLASS_INDICES
from tb_netviz_plugin.analysis.records import Bools
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.course import course, training
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.modes import RULE_ID

_SAMPLES, _EVALUATIONS, _MOSTLY = 16, 3, 0.8
"""Entries on either side, evaluations that were measured, and share of them, from which on it is a habit."""
_TIMES, _SHARE = 2.0, 0.05
"""Factor between the shares of zeros, and the larger one, from which on it is no matter of chance."""
_NEVER, _OTHER = 0.9, 2.0
"""Shares of the first training loss: no validation loss is below the one, and the first is no more than the other."""
_LEARNED = 0.3
"""Share of the first loss by which training has to have fallen."""
_STAYS, _LAST = 0.8, 3
"""Share of its own first value at which a validation loss in the end has learned, in whatever unit it is, and the
last ones that it takes to stay there."""

_REMEDIES = (
    Remedy(
        "Pad evaluations as in training, by the longest of a batch.",
        "DataLoader(held_out, batch_size=32, collate_fn=collate)  # The collate_fn of the training data.",
    ),
    Remedy(
        "Let the network leave padding out: read the last state of each sequence, and mask attention and means.",
        "nn.utils.rnn.pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)",
    ),
    Remedy("Turn training and validation data into numbers by the same vocabulary."),
)


def padded(case: Case) -> list[Finding]:
    """Find evaluations on whole numbers with another share of zeros, where nothing that was learned helps."""
    held_out, trained = course(case.curve("val_loss")), training(case)
    if held_out is None or trained is None or not trained.has_scale or trained.learned < _LEARNED:
        return []
    lowest, first = float(held_out.values.min()), float(held_out.values[0])
    if held_out.steps.size < _EVALUATIONS or lowest < _NEVER * trained.start or first > _OTHER * trained.start:
        return []
    if float(np.median(held_out.values[-_LAST:])) <= _STAYS * first:
        return []
    given = next((one for one in case.evaluations.values() if _mostly(_differ(one))), None)
    if given is None:
        return []
    now, then = float(np.nanmedian(given.evaluated.zeros)), float(np.nanmedian(given.trained.zeros))
    low, high = sorted((now, then))
    return [
        Finding(
            rule=RULE_ID,
            severity=Severity.WARNING,
            layers=(),
            first_step=float(trained.steps[0]),
            last_step=float(held_out.steps[-1]),
            message=f"What the model is evaluated on differs from what it is trained on: {now:.1%} of the whole "
            f"numbers that it gets are 0 in evaluations, and {then:.1%} in training, as where one is padded, or made "
            f"by another vocabulary; {held_out.name} never went below {lowest:.3g}, the {trained.start:.3g} of a "
            f"network that knows nothing, while {trained.name} fell to {trained.end:.3g}.",
            beyond=Beyond("factor between the shares of zeros", high / low if low > 0 else np.inf, _TIMES),
            evidence=(
                Line("evaluations", "share of zeros", given.steps, given.evaluated.zeros),
                Line("training", "share of zeros", given.steps, given.trained.zeros),
                *(Line(one.name, one.name, one.steps, one.values) for one in (held_out, trained)),
            ),
            remedies=_REMEDIES,
            excluded=(
                "Not a network that leaves padding out: nothing that it learned helps in evaluations.",
                f"Not one odd batch: it was so in most of the {given.steps.size} evaluations that were measured.",
            ),
            view="overview",
        )
    ]


def _differ(given: Evaluations) -> Bools:
    """At which evaluations whole numbers are 0 far more often, or less, than in training, [E]."""
    now, then = given.evaluated, given.trained
    enough = (now.samples >= _SAMPLES) & (then.samples >= _SAMPLES)
    tokens = (now.kind == CLASS_INDICES) & (then.kind == CLASS_INDICES)
    high, low = np.maximum(now.zeros, then.zeros), np.minimum(now.zeros, then.zeros)
    return np.asarray(enough & tokens & (high >= _SHARE) & (high >= _TIMES * low))


def _mostly(holds: Bools) -> bool:
    return holds.size >= _EVALUATIONS and bool(holds.mean() >= _MOSTLY)
