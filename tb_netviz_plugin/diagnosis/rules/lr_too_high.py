"""`lr_too_high`: steps so large that they overwrite the weights, and the loss worse off for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tb_netviz_plugin.analysis.derive import State
from tb_netviz_plugin.analysis.series import nanmedian
from tb_netviz_plugin.analysis.units import UnitState
from tb_netviz_plugin.analysis.wording import number
from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.answers import nothing_to_tell_apart
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.course import Course, course, training
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.movement import Movement, group_of, learning_rate, matrices, movement
from tb_netviz_plugin.diagnosis.rates import Raise, raised
from tb_netviz_plugin.diagnosis.rule import Limits, Rule, Threshold
from tb_netviz_plugin.diagnosis.starts import LOUD
from tb_netviz_plugin.diagnosis.stretches import PERSISTING
from tb_netviz_plugin.diagnosis.stuck import stuck_units
from tb_netviz_plugin.schema.description import Response

_AFTERWARDS = 20
"""Records of the loss after the first large step, in which it may recover."""
_NOT_LEARNED = 0.1
"""Share of its first value by which a loss falls at least where something was learned."""
_LOST = 0.3
"""Share of what a loss had gained that it loses for good after too large a step."""
_REPLACED, _HARDLY_LEARNED = 0.5, 0.3
"""Norm of an update over that of the weights at which it replaced them, and share by which a loss has to fall then."""
_HALF = 0.5
"""Share of the run, at its end, in which a loss stands."""
_DIED, _SOON = 0.6, 0.1
"""Share of a layer's units that die of a large step, and of the run within which they do."""
_GROWN, _WORSENED = 2.0, 1.5
"""Factors over the first ones below which weights and loss show no harm, where nothing was learned."""
_WORSE = 3.0
"""Deviations of single records above its first value from which on a loss without a scale is worse."""
_ALL = 0.75
"""Share of it from which on all is lost."""
_THROWN, _RECOVERED = 10.0, 0.7
"""Factor over its first value to which a loss is thrown, and the share by which it falls where it has got over that."""
_JUMP = 30.0
"""Factor of a gradient over its past from which on it, and not the learning rate, is what made a step large."""
_CLOSE = 3
"""Records before a gradient that is not finite, in which what brought it about is seen."""
_STEADY = 3.0
"""Factor by which a step for a gradient of the same size may grow, without the learning rate being behind it."""


@dataclass(frozen=True, slots=True)
class _Harm:
    """What became of the training.

    Attributes:
        words: A clause.
        fatal: Whether nothing was learned, or all is lost.
        excluded: What was ruled out.
    """

    words: str
    fatal: bool
    excluded: tuple[str, ...] = ("Not an early large step that the training got over: the loss did not recover.",)


def find(case: Case, limits: Limits) -> list[Finding]:
    """Find models whose weights were largely overwritten by single steps, and whose loss did not recover."""
    found = (
        _by_its_steps(case, layers, limits) or _by_its_rate(case, layers, limits["raised"])
        for layers in case.layers_of_models()
    )
    return [finding for finding in found if finding]


def _by_its_steps(case: Case, layers: list[int], limits: Limits) -> Finding | None:
    ratio = limits["ratio"]
    moves = movement(case, layers)
    large = np.flatnonzero(np.nan_to_num(moves.ratios) >= ratio)
    if not large.size:
        return None
    onset = float(case.steps[large[0]])
    grown = raised(case, layers, onset, limits["raised"])
    if grown is None and _follows_a_gradient(moves, int(large[0])):
        return None
    worst = float(np.nanmax(moves.ratios))
    last = float(case.steps[large[-1]])
    harm = _harm(case, layers, onset, last, replaced=worst >= _REPLACED) or _died(case, layers, onset, last)
    if harm is None:
        return None
    ratios = case.numbers("update_ratio")[layers][:, large]
    order = np.argsort(-np.nan_to_num(ratios).max(axis=1), kind="stable")
    blamed = [layers[at] for at in order if matrices(case, [layers[at]])]
    return Finding(
        rule="lr_too_high",
        severity=Severity.CRITICAL if harm.fatal else Severity.WARNING,
        layers=tuple(blamed),
        first_step=onset,
        last_step=last,
        message=f"Single steps changed the weights by up to {worst:.0%} of their norm, {_when(onset, last)}"
        f"{_rate_then(case, layers, onset, grown)}, and {harm.words}.",
        beyond=Beyond("norm of an update over that of the weights", worst, ratio),
        evidence=(
            Line("update : weight, median of the matrices", "update_ratio", case.steps, moves.ratios, ratio),
            *_loss_line(case),
        ),
        remedies=_remedies(case, layers, grown, worst / ratio),
        excluded=(
            "Not biases or scales, which a step may well rewrite: only matrices are counted.",
            *harm.excluded,
        ),
    )


def _by_its_rate(case: Case, layers: list[int], factor: float) -> Finding | None:
    """Find a rate that was raised while the training went well, and undid it; its large steps may be in no record."""
    loss, curve = training(case), learning_rate(case, layers)
    if loss is None or curve is None or not np.isfinite(curve.values).any():
        return None
    onset = _undone(loss)
    grown = None if onset is None else raised(case, layers, onset, factor)
    if onset is None or grown is None or loss.steps[-1] - onset < _AFTERWARDS:
        return None
    return Finding(
        rule="lr_too_high",
        severity=Severity.CRITICAL if loss.lost >= _ALL else Severity.WARNING,
        layers=tuple(layer for layer in layers if matrices(case, [layer])),
        first_step=max(grown.step, float(case.steps[0])),
        last_step=float(loss.steps[-1]),
        message=f"The learning rate was raised from {number(grown.before)} to {number(grown.now)} from step "
        f"{grown.first_step:,.0f} on, and the loss, {number(loss.best)} at best, is {number(loss.end)} since step "
        f"{onset:,.0f}.",
        beyond=Beyond("learning rate over what it was", grown.factor, factor),
        evidence=(
            Line("learning rate", curve.name, curve.steps, curve.values, factor * grown.before),
            *_loss_line(case),
        ),
        remedies=_remedies(case, layers, grown, grown.factor),
        excluded=(
            "Not a warm-up: the network had learned at the lower rate.",
            "Not a restart that the training got over: the loss did not recover.",
        ),
    )


def _undone(loss: Course) -> float | None:
    """Return the step from which on a good part of what a loss had gained is gone for good, if it is."""
    if loss.gain <= 3 * loss.noise or loss.lost < _LOST:
        return None
    good = np.flatnonzero(loss.level < loss.best + _LOST * loss.gain)
    return float(loss.steps[min(good[-1] + 1, len(loss.steps) - 1)])


def _follows_a_gradient(moves: Movement, onset: int) -> bool:
    """Whether the step at `onset` is large because the gradient is: the cause then lies in that."""
    past = slice(max(0, onset - 4 * PERSISTING), onset)
    before = moves.gradient[past][np.isfinite(moves.gradient[past])]
    if before.size < PERSISTING or not moves.gradient[onset] >= _JUMP * np.median(before):
        return False
    with np.errstate(divide="ignore", invalid="ignore"):
        per_gradient = moves.ratios / moves.gradient
    usual = np.nanmedian(per_gradient[past])
    return bool(per_gradient[onset] <= _STEADY * usual)


def _died(case: Case, layers: list[int], onset: float, last: float) -> _Harm | None:
    """Return which units died of the large steps, if most of a layer's did."""
    if nothing_to_tell_apart(case):
        return None
    until = last + _SOON * (case.steps[-1] - case.steps[0])
    for one in stuck_units(case, UnitState.DEAD, (Response.RECTIFIER, Response.SMOOTH)):
        if one.row.layer in layers and one.share >= _DIED and onset < one.since_share(_DIED) <= until:
            words = f"{len(one.units):,} of {len(one.row.units):,} {one.row.activation.unit or 'unit'}s of "
            words += f"{one.row.label} are dead since step {one.since_share(_DIED):,.0f}"
            return _Harm(
                words, fatal=False, excluded=("Not units that never lived: they died after the first of them.",)
            )
    return None


def _comes_out_of_nothing(case: Case, layers: list[int], spoiled: int, last: float) -> bool:
    """Whether no large step, the last at `last`, went just before that record, and no gradient that grew."""
    norms = movement(case, layers).gradient[:spoiled]
    known = norms[np.isfinite(norms)]
    close = spoiled <= _CLOSE or case.steps[spoiled - _CLOSE] <= last
    if close or known.size < 2 * PERSISTING:
        return False
    return bool(known[-_CLOSE:].max() < _JUMP * np.median(known))


def _harm(case: Case, layers: list[int], onset: float, last: float, *, replaced: bool) -> _Harm | None:
    """Return what became of the training after the first large step, or None where it got over it."""
    nonfinite = (case.statistic("gradient_nonfinite").states[layers] == State.NONFINITE).any(axis=0)
    later = np.flatnonzero(nonfinite & (case.steps >= onset))
    if later.size and not _comes_out_of_nothing(case, layers, int(later[0]), last):
        return _Harm(f"the gradient was not finite from step {case.steps[later[0]]:,.0f} on", fatal=True)
    loss = training(case)
    if loss is None or (loss.steps > onset).sum() < _AFTERWARDS:
        return None
    if not loss.has_scale and loss.end - loss.start <= max(
        _WORSE * loss.noise, float(np.ptp(loss.values[:_AFTERWARDS]))
    ):
        return None  # As of a policy's gradient: such a loss says nothing of how well it does.
    return (
        (_thrown_held_out(case, loss) if replaced else None)
        or _harm_since(loss, onset)
        or _harm_from_the_start(
            loss, small=_stay_small(case, layers, loss), replaced=replaced, loud=_are_loud(case, layers)
        )
    )


def _harm_since(loss: Course, onset: float) -> _Harm | None:
    """Return how much of what had been gained before a step was lost after it, where that is much."""
    before = loss.upto(onset - 1)
    if before is None or before.values.size < PERSISTING:
        return None
    gained = before.start - before.best
    if not gained > before.noise or (loss.end - before.best) / gained < _LOST:
        return None
    words = f"the loss, {number(before.best)} before, is {number(loss.end)}"
    return _Harm(words, fatal=loss.end >= before.start - gained / 4)


def _thrown_held_out(case: Case, loss: Course) -> _Harm | None:
    """Return that the network is far worse in evaluation than as it began, if it is, whatever it is in training."""
    held_out = course(case.curve("val_loss"))
    if held_out is None or not loss.has_scale or not held_out.end >= _THROWN * max(loss.start, loss.values[0]):
        return None
    words = f"{held_out.name} is {number(held_out.end)}, where the loss was {number(loss.start)} at first"
    return _Harm(words, fatal=False)


def _stay_small(case: Case, layers: list[int], loss: Course) -> bool:
    """Whether nothing was learned and nothing spoiled, as of weights about zero where nothing else is any better."""
    norms = case.column("weight_norm")[matrices(case, layers)]
    with np.errstate(divide="ignore", invalid="ignore"):
        grown = nanmedian(norms[:, -PERSISTING:].T) / nanmedian(norms[:, :PERSISTING].T)
    return bool(np.nanmax(grown, initial=0.0) < _GROWN and loss.values.max() < _WORSENED * loss.start)


def _are_loud(case: Case, layers: list[int]) -> bool:
    """Whether the weights end so large that the signal can't keep its scale."""
    rows = matrices(case, layers)
    outputs = np.array([case.network.parameters[row].parameter.shape[0] for row in rows], np.float64)
    gains = case.column("weight_norm")[rows, -1] / np.sqrt(outputs)
    known = gains[np.isfinite(gains)]
    return bool(known.size) and bool(np.median(known) >= LOUD)


def _harm_from_the_start(loss: Course, *, small: bool, replaced: bool, loud: bool) -> _Harm | None:
    if loss.learned < _NOT_LEARNED and loss.start - loss.end < 3 * loss.noise and not small:
        return _Harm(f"the loss, {number(loss.start)} at first, is {number(loss.end)}", fatal=True)
    if loss.lost >= _LOST and loss.end - loss.best > loss.noise and loss.gain > _WORSE * loss.noise:
        return _Harm(f"the loss, {number(loss.best)} at best, is {number(loss.end)}", fatal=False)
    highest = float(loss.values.max())
    first = float(loss.values[0])  # Of one that is thrown at once, its start may be no first value any more.
    thrown = highest >= _THROWN * loss.start > 0 and loss.learned < _RECOVERED
    if thrown or (highest >= _THROWN * first > 0 and loss.end >= first):
        words = f"the loss, {number(first)} at first, was thrown up to {number(highest)} and is {number(loss.end)}"
        return _Harm(words, fatal=False)
    leapt = highest >= _WORSENED * loss.start > 0 and not small
    if replaced and loss.learned < _HARDLY_LEARNED and (leapt or (loud and loss.stands(_HALF))):
        return _Harm(f"the loss, {number(loss.start)} at first, fell to {number(loss.end)} only", fatal=False)
    return None


def _rate_then(case: Case, layers: list[int], onset: float, grown: Raise | None) -> str:
    """Return the learning rate at that step, and what it was before where it was far less."""
    if grown is not None:
        since = f" from step {grown.first_step:,.0f} on"
        return f" (learning rate {number(grown.now)}, raised from {number(grown.before)}{since})"
    curve = learning_rate(case, layers)
    if curve is None or not (curve.steps >= onset).any():
        return ""
    at = int(np.flatnonzero(curve.steps >= onset)[0])
    now, before = curve.values[at], curve.values[max(0, at - PERSISTING)]
    raised = f", raised from {number(before)}" if now >= 2 * before > 0 else ""
    return f" (learning rate {number(now)}{raised})"


def _loss_line(case: Case) -> tuple[Line, ...]:
    loss = case.curve("train_loss")
    return () if loss is None else (Line(loss.name, loss.name, loss.steps, loss.values),)


def _when(first: float, last: float) -> str:
    return f"at step {first:,.0f}" if first == last else f"from step {first:,.0f} to step {last:,.0f}"


def _lower(case: Case, layers: list[int], excess: float) -> float:
    """Return a rate so many powers of ten below the highest that there was that it makes up for what was too much."""
    curve = learning_rate(case, layers)
    rate = float(np.nanmax(curve.values)) if curve is not None and np.isfinite(curve.values).any() else 0.0
    return float(rate / 10 ** max(1.0, np.ceil(np.log10(excess))))


def _remedies(case: Case, layers: list[int], grown: Raise | None, excess: float) -> tuple[Remedy, ...]:
    group = group_of(case, layers)
    rate = grown.before if grown else _lower(case, layers, excess)
    first = (
        f"Stay at the rate of {number(rate)}, at which it learned."
        if grown
        else "Lower the learning rate at least tenfold."
    )
    code = f"torch.optim.{group.optimizer}(model.parameters(), lr={rate:.1g})" if group and rate > 0 else ""
    return (
        Remedy(first, code),
        Remedy(
            "Warm it up over the first few hundred steps.",
            "torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.01, total_iters=500)",
        ),
        Remedy(
            "Clip the gradient, so that a single batch can't do this.",
            "torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)",
        ),
    )


RULE = Rule(
    id="lr_too_high",
    title="Learning rate too high",
    needs=(needs.statistics("update_ratio", "gradient_norm", "gradient_nonfinite"), needs.records(PERSISTING)),
    thresholds=(
        Threshold("ratio", 0.1, "norm of an update over that of the weights", 1e-3, 10.0),
        Threshold("raised", 10.0, "learning rate over what it was while the training went well", 2.0, 1e9),
    ),
    find=find,
)
