"""`loss_oscillation`: a training loss that keeps losing what it gained, by its steps or by the order of its data."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from tb_netviz_plugin.analysis.records import Bools, Floats
from tb_netviz_plugin.analysis.wording import fold, number
from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.answers import answers, entries
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.causes import SORTED
from tb_netviz_plugin.diagnosis.course import Course, training
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.leaps import steps_were_ordinary
from tb_netviz_plugin.diagnosis.movement import movement, set_from_outside
from tb_netviz_plugin.diagnosis.rule import Limits, Rule, Threshold
from tb_netviz_plugin.diagnosis.stretches import smooth

_LOW, _HIGH = 0.15, 0.4
"""Shares of what was gained so far, above the best, between which a swing goes."""
_GAINED = 0.1
"""Share of its first value that a loss has to have gained before it can lose any of that."""
_AGAINST = -0.2
"""Cosine of successive gradients at which steps undo each other."""
_LINKED = 0.25
"""Correlation of successive deviations, of either sign, from which on they are no scatter of single batches."""
_AROUND = 31
"""Records whose median is the course that a loss swings about."""
_LATE = 0.3
"""Share of the run in which it has to swing at the least."""
_UNTIL = 0.6
"""Share of the run up to which it has to swing: what has died down by then does no harm."""
_HEAVY, _FEWER, _LOWER = 0.98, 0.6, 0.4
"""Momentum that carries steps past where they ought to end, and the shares of the swings, in number and in height, that
show it then."""
_SAME = 1e-4
"""Share of the inputs' deviation by which their mean moves at most where all batches are the same."""
_BEGAN = 0.5
"""Share of the usual loss that its first value has at the least where that is what it costs to know nothing."""
_FEWEST_SAMPLES = 8
"""Samples of a batch from which on it is a matter of their order that their targets are alike."""
_MIDDLE = (0.1, 0.9)
"""Quantiles of the means of batches that most of them lie between."""
_ALIKE, _MOSTLY = 0.3, 0.8
"""Deviation of the targets within a record, over half of what the means span, where they are of one kind, and the share
of the records."""
_CHANGE = 0.2
"""Share of that by which the mean moves where another kind follows."""
_ERRORS, _MOVED = 8.0, 0.25
"""Standard errors, and deviations of the targets, by which their mean or deviation moves, from the first third of a run
to the last, where what is asked for changes."""
_SIDE = 2
"""Records on either side of such a change whose losses are compared."""
_LEAPS, _MANY = 1.25, 0.4
"""Factor by which the loss is higher after such a change, and comes down again, and the share of such changes."""
_BACK = 0.4
"""Share of the stretches of one kind that had come before: else it is the task that changes."""

_ABOVE, _LEFT = 2.0, 0.5
"""Factor by which two records lie above the three before where a block of other data begins, and share of that leap
which is left over the first records of it: a single wrong batch is over at once."""

_BLOCK = 5
"""Records that a block has at the least."""

_LESS_MOMENTUM = "torch.optim.SGD(model.parameters(), lr=lr, momentum=0.5)"
_SHUFFLE = (
    Remedy("Shuffle the data: each batch has to hold targets of all kinds.", "DataLoader(dataset, shuffle=True)"),
    Remedy("If they come as a stream, draw batches from a buffer of what came before."),
)
_REMEDIES = (
    Remedy(
        "Lower the learning rate, or let it fall.", "torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)"
    ),
    Remedy("Take larger batches, and shuffle the data.", "DataLoader(dataset, batch_size=256, shuffle=True)"),
    Remedy("Take less momentum.", _LESS_MOMENTUM),
)


def find(case: Case, limits: Limits) -> list[Finding]:
    """Find a loss that keeps swinging: as the batches hold one kind of targets after the other, or by itself."""
    loss = training(case)
    if loss is None or len(case.network.models) > 1:
        return []
    least = limits["swings"]
    return _of_order(case, loss, least) or _of_blocks(case, loss, least) or _of_steps(case, loss, least)


def _of_order(case: Case, loss: Course, least: float) -> list[Finding]:
    """Find a loss that leaps each time that the batches begin to hold targets of another kind, as sorted data do."""
    given = answers(case)
    if given is None or not (given.samples >= _FEWEST_SAMPLES).all():
        return []
    known = np.isfinite(given.targets.mean) & np.isfinite(given.targets.std)
    means, within, steps = given.targets.mean[known], given.targets.std[known], given.steps[known]
    # Half of what the middle of the means spans: a few targets far out say nothing of the others.
    apart = float(np.ptp(np.quantile(means, _MIDDLE))) / 2 if known.any() else 0.0
    if not apart > 0 or (within <= _ALIKE * apart).mean() < _MOSTLY:
        return []
    at = 1 + np.flatnonzero(np.abs(np.diff(means)) >= _CHANGE * apart)
    changes = steps[at]
    kinds = np.array([np.median(part) for part in np.split(means, at)])
    back = [bool((np.abs(kinds[:late] - kind) < _CHANGE * apart).any()) for late, kind in enumerate(kinds)]
    leaps = np.array([_leap(loss, step, end) for step, end in pairwise([*changes, np.inf])])
    count = int((leaps >= _LEAPS).sum())
    if count < least or count < _MANY * len(changes) or np.mean(back) < _BACK:
        return []
    return [
        Finding(
            rule="loss_oscillation",
            severity=Severity.WARNING,
            layers=(),
            first_step=float(loss.steps[0]),
            last_step=float(loss.steps[-1]),
            message=f"The targets of a batch are of one kind, which changes {len(changes):,} times: {count:,} times "
            f"{loss.name} was higher then than before, {fold(float(np.median(leaps)))} at the median. It learns the "
            "one and forgets the other.",
            beyond=Beyond("changes after which the loss is higher", float(count), least),
            evidence=(
                Line(loss.name, loss.name, loss.steps, loss.values),
                Line("mean of a batch's targets", "targets", steps, means),
            ),
            remedies=_SHUFFLE,
            excluded=(
                f"Not single samples: there are at least {given.samples.min():,.0f} to a batch.",
                "Not the size of the steps: the loss leaps as the targets change.",
            ),
            view="overview",
            subject=SORTED,
        )
    ]


def _of_blocks(case: Case, loss: Course, least: float) -> list[Finding]:
    """Find a loss that leaps beyond its beginning again and again, behind no large step, and is learned down each time.

    Only where targets are not known: else it is seen whether they are of one kind, and whether kinds come back.
    """
    if answers(case) is not None or not loss.has_scale or _rate_returns(case):
        return []
    if loss.start < _BEGAN * np.median(loss.values):
        return []  # What is asked grows, as what an agent expects does: a loss that began low is no measure.
    at = [place for place in _block_starts(loss) if steps_were_ordinary(case, float(loss.steps[place]))]
    if len(at) < max(least, 2) or loss.steps[at[-1]] - loss.steps[at[0]] < _LATE * (loss.steps[-1] - loss.steps[0]):
        return []
    if set_from_outside(case, range(len(case.network.layers))).sum() >= len(at):
        return []
    before, after = (float(np.median(loss.values[np.array(at) + side])) for side in (-1, 0))
    return [
        Finding(
            rule="loss_oscillation",
            severity=Severity.WARNING,
            layers=(),
            first_step=float(loss.steps[at[0]]),
            last_step=float(loss.steps[at[-1]]),
            message=f"{loss.name} leapt beyond its first value {len(at):,} times, from {number(before)} to "
            f"{number(after)} at the median, though no step before was large, and was learned down each time: as if "
            "data came in blocks of one kind, of which it learns the one and forgets the other.",
            beyond=Beyond("leaps beyond the first value", float(len(at)), least),
            evidence=(Line(loss.name, loss.name, loss.steps, loss.values, loss.start),),
            remedies=_SHUFFLE,
            excluded=(
                "Not single batches: each time it took several records to come down.",
                "Not the size of the steps: those before a leap were no larger than usual.",
            ),
            view="overview",
            subject=SORTED,
        )
    ]


def _block_starts(loss: Course) -> list[int]:
    """Return the records from which on a loss has leapt beyond its first value, and come down slowly."""
    found: list[int] = []
    for at in range(_BLOCK, len(loss.values) - _BLOCK):
        past, first, block = loss.values[at - 3 : at], loss.values[at : at + 2], loss.values[at : at + _BLOCK]
        if found and at - found[-1] < _BLOCK:
            continue
        high = first.min() >= max(_ABOVE * float(past.max()), loss.start)
        if high and np.median(block) >= _LEFT * first.max():
            found.append(at)
    return found


def _leap(loss: Course, step: float, end: float) -> float:
    """Return the loss just after a step over that just before; 0 where it does not come down again until `end`.

    Of tasks that take turns each has a loss of its own, and none of them is forgotten.
    """
    at, until = (int(np.searchsorted(loss.steps, when)) for when in (step, end))
    stretch = loss.values[at:until]
    parts = (loss.values[max(0, at - _SIDE) : at], stretch[:_SIDE], stretch[-_SIDE:])
    if not all(part.size for part in parts):
        return 0.0
    before, after, last = (float(np.median(part)) for part in parts)
    return after / before if last * _LEAPS <= after and before > 0 else 0.0


def _of_steps(case: Case, loss: Course, least: float) -> list[Finding]:
    """Find a loss that swings back again and again, beyond the scatter of its batches, whatever they hold."""
    if loss.gain <= 0 or _rate_returns(case) or _asks_for_other(case):
        return []
    linked = _linked(loss)
    heavy = _momentum(case) >= _HEAVY and (linked > 0 or _is_of_all_data(case))
    # Undone from step to step, the swings show in single records; slow ones stand out from those around them.
    values = loss.values if linked < 0 else loss.level
    peaks = _swings(values, loss, 0.0 if linked < 0 else 3 * loss.noise, _LOWER if heavy else 1.0)
    swings = int(peaks.sum())
    if set_from_outside(case, range(len(case.network.layers))).sum() >= swings:
        return []  # As in meta-learning, where each task begins from the same weights.
    if abs(linked) < _LINKED or swings < (_FEWER * least if heavy else least):
        return []
    at = np.flatnonzero(peaks)
    first, last = float(loss.steps[at[0]]), float(loss.steps[at[-1]])
    if (not heavy and linked < 0 and not _undone(case)) or not _lasts(loss, first, last, damped=heavy):
        return []
    height = float(np.median(values[at]))
    return [
        Finding(
            rule="loss_oscillation",
            severity=Severity.WARNING,
            layers=(),
            first_step=first,
            last_step=last,
            message=f"{loss.name}, {number(loss.best)} at best, rose again {swings:,} times after it had fallen, to "
            f"{number(height)} at the median, from step {first:,.0f} to step {last:,.0f}"
            + (
                f": a momentum of {_momentum(case):g} carries the weights past where they ought to end."
                if heavy
                else "."
            ),
            beyond=Beyond("swings", float(swings), least),
            evidence=(Line(loss.name, loss.name, loss.steps, loss.values, loss.best + _HIGH * loss.gain),),
            remedies=_lighter(case) if heavy else _REMEDIES,
            excluded=(
                f"Not the scatter of single batches: successive records are linked (correlation {linked:.2f}).",
                "Not the schedule: the learning rate does not return to higher values.",
            ),
            view="overview",
        )
    ]


def _asks_for_other(case: Case) -> bool:
    """Whether targets are others late than early, as where the network makes them itself, or a copy of it does.

    Those of a value function come from a copy that is renewed now and then, whereupon the loss leaps.
    """
    given = answers(case)
    known = None if given is None else np.isfinite(given.targets.mean) & np.isfinite(given.targets.std)
    if given is None or known is None or known.sum() < 3 * _SIDE:
        return False
    within, third = float(np.median(given.targets.std[known])), int(known.sum()) // 3
    for moments in (given.targets.mean[known], given.targets.std[known]):
        early, late = moments[:third], moments[-third:]
        error = float(np.sqrt((early.var() + late.var()) / third))
        if abs(float(late.mean() - early.mean())) > max(_ERRORS * error, _MOVED * within):
            return True
    return False


def _swings(values: Floats, loss: Course, scatter: float, height: float) -> Bools:
    """Return the records at which the loss has come back up after it had been low, and gained something, [T].

    Args:
        values: The loss, or its course, [T].
        loss: It.
        scatter: What it has to have gained at the least.
        height: Share of the usual heights between which a swing goes.
    """
    best = np.minimum.accumulate(values)
    least = max(_GAINED * abs(loss.start), scatter)
    gained = np.where(loss.start - best >= least, loss.start - best, 0.0)
    low = values <= best + height * _LOW * gained
    high = (values >= best + height * _HIGH * gained) & (gained > 0)
    # After each record that is low or high, whether the last such one was low.
    marks = np.where(high, 1, np.where(low & (gained > 0), -1, 0))
    seen = np.flatnonzero(marks)
    turned = seen[1:][(marks[seen[1:]] == 1) & (marks[seen[:-1]] == -1)]
    peaks = np.zeros(len(values), np.bool_)
    peaks[turned] = True
    return peaks


def _linked(loss: Course) -> float:
    """Return the correlation of successive deviations from the course, in ranks' stead clipped to the usual ones."""
    around = loss.values - smooth(loss.values, _AROUND)
    late = around[len(around) // 4 :]
    if late.size < _AROUND:
        return 0.0
    usual = 3 * np.median(np.abs(late)) + 1e-300
    late = np.clip(late, -usual, usual)
    late = late - late.mean()
    spread = float((late**2).sum())
    return float((late[1:] * late[:-1]).sum() / spread) if spread > 0 else 0.0


def _undone(case: Case) -> bool:
    """Whether successive gradients point against each other: else it is tasks or kinds of batches that take turns."""
    if "gradient_cosine" not in case.recorded:
        return False
    agreement = movement(case, range(len(case.network.layers))).agreement
    known = agreement[np.isfinite(agreement)]
    return bool(known.size) and float(np.median(known)) <= _AGAINST


def _is_of_all_data(case: Case) -> bool:
    """Whether each batch is the same, as far as its inputs tell: else two kinds of them may take turns."""
    given = entries(case)
    return given is not None and bool(np.ptp(given.inputs.mean) <= _SAME * np.median(given.inputs.std))


def _lasts(loss: Course, first: float, last: float, *, damped: bool) -> bool:
    """Whether it swings for long, and in the later part of the run, unless it dies down by itself."""
    span = loss.steps[-1] - loss.steps[0]
    return bool(last - first >= _LATE * span and (damped or last >= loss.steps[0] + _UNTIL * span))


def _lighter(case: Case) -> tuple[Remedy, ...]:
    """Return what to do about a momentum that is too large: that first."""
    betas = any(group.setting("betas.0") is not None for _, group in case.network.groups)
    code = "torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.999))" if betas else _LESS_MOMENTUM
    return (Remedy("Take less momentum.", code), *(one for one in _REMEDIES if one.code != _LESS_MOMENTUM))


def _momentum(case: Case) -> float:
    """Return the largest momentum of an optimizer group, 0 where none is known."""
    known = [group.setting(name) for _, group in case.network.groups for name in ("momentum", "betas.0")]
    return max((one for one in known if one is not None), default=0.0)


def _rate_returns(case: Case) -> bool:
    """Whether a learning rate rises again after it fell: the loss then follows the schedule."""
    for curve in case.curves("learning_rate"):
        rates = curve.values[np.isfinite(curve.values)]
        if (
            rates.size
            and (rates > 1.5 * np.minimum.accumulate(rates))[np.argmax(rates[: max(1, rates.size // 4)]) :].any()
        ):
            return True
    return False


RULE = Rule(
    id="loss_oscillation",
    title="Loss swings",
    needs=(needs.curve("train_loss", "training loss was logged", 60),),
    thresholds=(Threshold("swings", 5, "times that the loss rises again", 2, 1_000),),
    find=find,
)
