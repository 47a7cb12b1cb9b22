"""Batches far shorter than the others, as the last one of an epoch, that are too few to normalise over."""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.analysis.wording import fold
from tb_netviz_plugin.diagnosis.answers import answers
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.course import Course, training
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity

_SHORT = 0.25
"""Share of the usual samples of a batch that a short one has at most."""
_FEWEST = 3
"""Short batches that it takes to tell."""
_AROUND = 10
"""Losses on either side that that of a short batch is compared with."""
_TIMES = 4.0
"""Factor over the median around them that the losses of short batches have at the median."""
_MOST = 0.6
"""Share of the short batches whose loss is above every one around: of one in twenty-one it would be so by chance."""
_NORMALISES = ("BatchNorm", "SyncBatchNorm")

_REMEDIES = (
    Remedy("Leave the last, shorter batch out.", "DataLoader(dataset, batch_size=64, shuffle=True, drop_last=True)"),
    Remedy("Or normalise over each sample alone.", "nn.GroupNorm(8, channels)  # in place of nn.BatchNorm2d(channels)"),
)


def of_short_batches(case: Case, rule: str) -> Finding | None:
    """Return that the loss leaps at short batches, which a layer normalises over; None where it doesn't.

    Args:
        case: The run.
        rule: Id of the rule that tells of it.
    """
    given, loss = answers(case), training(case)
    types = (layer.module.type for layer in case.network.layers)
    if given is None or loss is None or not any(kind.startswith(_NORMALISES) for kind in types):
        return None
    usual = float(np.median(given.samples))
    short = given.steps[(given.samples <= _SHORT * usual) & np.isin(given.steps, loss.steps)]
    short = short[short > loss.steps[min(_AROUND, len(loss.steps) - 1)]]
    if short.size < _FEWEST:
        return None
    times, above = np.array([_stands_out(loss, step) for step in short]).T
    if np.median(times) < _TIMES or above.mean() < _MOST:
        return None
    samples = float(np.median(given.samples[np.isin(given.steps, short)]))
    return Finding(
        rule=rule,
        severity=Severity.WARNING,
        layers=(),
        first_step=float(short[0]),
        last_step=float(short[-1]),
        message=f"{loss.name} leaps at the {short.size:,} batches of {samples:,.0f} samples in place of {usual:,.0f}, "
        f"{fold(float(np.median(times)))} at the median: too few for the normalisation over a batch.",
        beyond=Beyond("loss of short batches over that around", float(np.median(times)), _TIMES),
        evidence=(
            Line(loss.name, loss.name, loss.steps, loss.values),
            Line("samples of a batch", "outputs", given.steps, given.samples, _SHORT * usual),
        ),
        remedies=_REMEDIES,
        excluded=(
            "Not the scatter of few samples, which lies below as often: of most of them the loss is above all around.",
        ),
        view="overview",
    )


def _stands_out(loss: Course, step: float) -> tuple[float, bool]:
    """Return the loss of a step over the median around it, and whether it is above all of these."""
    at = int(np.searchsorted(loss.steps, step))
    around: Floats = np.delete(loss.values[max(0, at - _AROUND) : at + _AROUND + 1], min(at, _AROUND))
    value, level = float(loss.values[at]), float(np.median(around))
    return value / level if level > 0 else 0.0, value > float(around.max())
