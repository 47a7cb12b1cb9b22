"""`loss_oscillation`: a training loss that keeps losing what it gained, by its steps or by the order of its data."""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.analysis.records import Bools, Floats
from tb_netviz_plugin.analysis.wording import number
from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.answers import answers, entries
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.course import Course, training
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.movement import movement, set_from_outside
from tb_netviz_plugin.diagnosis.rates import rate_returns
from tb_netviz_plugin.diagnosis.rule import Limits, Rule, Threshold
from tb_netviz_plugin.diagnosis.sorted_data import of_blocks, of_order
from tb_netviz_plugin.diagnosis.stretches import PERSISTING, smooth

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
_FOLLOWS = 0.7
"""Correlation of such deviations with those of what is fed or asked from which on the one comes of the other."""
_LATE = 0.3
"""Share of the run in which it has to swing at the least."""
_UNTIL = 0.6
"""Share of the run up to which it has to swing: what has died down by then does no harm."""
_HEAVY, _FEWER, _LOWER = 0.98, 0.6, 0.4
"""Momentum that carries steps past where they ought to end, and the shares of the swings, in number and in height, that
show it then."""
_SAME = 1e-4
"""Share of the inputs' deviation by which their mean moves at most where all batches are the same."""
_ERRORS, _MOVED = 8.0, 0.25
"""Standard errors, and deviations of the targets, by which their mean or deviation moves, from the first third of a run
to the last, where what is asked for changes."""
_LESS_MOMENTUM = "torch.optim.SGD(model.parameters(), lr=lr, momentum=0.5)"
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
    by_data = of_order(case, loss, least, RULE.id) or of_blocks(case, loss, least, RULE.id)
    return by_data or _of_steps(case, loss, least)


def _of_steps(case: Case, loss: Course, least: float) -> list[Finding]:
    """Find a loss that swings back again and again, beyond the scatter of its batches, whatever they hold."""
    if loss.gain <= 0 or rate_returns(case) or _asks_for_other(case) or _follows_data(case, loss):
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
    if given is None or known is None or known.sum() < 3 * PERSISTING:
        return False
    within, third = float(np.median(given.targets.std[known])), int(known.sum()) // 3
    for moments in (given.targets.mean[known], given.targets.std[known]):
        early, late = moments[:third], moments[-third:]
        error = float(np.sqrt((early.var() + late.var()) / third))
        if abs(float(late.mean() - early.mean())) > max(_ERRORS * error, _MOVED * within):
            return True
    return False


def _follows_data(case: Case, loss: Course) -> bool:
    """Whether the loss goes up and down with what is fed or asked: some batches are harder than others."""
    given = entries(case)
    if given is None or len(given.steps) < _AROUND:
        return False
    beside = _deviations(np.interp(given.steps, loss.steps, loss.values))
    moments = [of for values in (given.inputs, given.targets) for of in (values.mean, values.std, values.largest)]
    known = [of for of in (*moments, given.samples) if np.isfinite(of).all() and np.ptp(of) > 0]
    return any(abs(_correlation(beside, _deviations(of))) >= _FOLLOWS for of in known)


def _deviations(values: Floats) -> Floats:
    """Return by how much values deviate from their course."""
    return values - smooth(values, _AROUND)


def _correlation(some: Floats, others: Floats) -> float:
    spread = float(np.sqrt((some**2).sum() * (others**2).sum()))
    return float((some * others).sum()) / spread if spread > 0 else 0.0


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


RULE = Rule(
    id="loss_oscillation",
    title="Loss swings",
    needs=(needs.curve("train_loss", "training loss was logged", 60),),
    thresholds=(Threshold("swings", 5, "times that the loss rises again", 2, 1_000),),
    find=find,
)
