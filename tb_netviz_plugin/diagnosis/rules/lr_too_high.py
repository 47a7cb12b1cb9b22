"""`lr_too_high`: steps so large that they overwrite the weights, and the loss worse off for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tb_netviz_plugin.analysis.wording import number
from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.case import Case, Curve
from tb_netviz_plugin.diagnosis.course import Course, training
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.harm import AFTERWARDS, LOST, dead_layers, died, harm_of
from tb_netviz_plugin.diagnosis.leaps import leap_of_data
from tb_netviz_plugin.diagnosis.movement import JUMP, Movement, group_of, learning_rate, matrices, movement
from tb_netviz_plugin.diagnosis.rates import OUTGROWN, Raise, outgrown, raised
from tb_netviz_plugin.diagnosis.rule import Limits, Rule, Threshold
from tb_netviz_plugin.diagnosis.stretches import PERSISTING

_ALL = 0.75
"""Share of it from which on all is lost."""
_DID_WELL = 0.3
"""Share of its first value by which a loss had fallen where its steps were not too large."""
_STEADY = 3.0
"""Factor by which a step for a gradient of the same size may grow, without the learning rate being behind it."""
_LOST_TO_IT, _CLEARLY = 0.2, 3.0
"""Share of what a loss had gained that it loses to a rate which rises on and on, and by how many of its deviations."""


def find(case: Case, limits: Limits) -> list[Finding]:
    """Find models whose weights were largely overwritten by single steps, and whose loss did not recover."""
    found = (
        _by_its_steps(case, layers, limits)
        or _by_its_rate(case, layers, limits["raised"])
        or _by_its_rise(case, layers, limits["raised"])
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
    undone = _undone_by_data(case) if grown is None else None
    harm = harm_of(case, layers, onset, last, worst=worst) if undone is None else None
    if harm is None and (undone is None or onset < undone):
        harm = died(case, layers, onset, last, worst=worst)
    if harm is None:
        return None
    ratios = case.numbers("update_ratio")[layers][:, large]
    order = np.argsort(-np.nan_to_num(ratios).max(axis=1), kind="stable")
    first = dead_layers(case, layers, onset)
    largest = [layers[at] for at in order if matrices(case, [layers[at]])]
    blamed = [*first, *(layer for layer in largest if layer not in first)]
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
    if onset is None or grown is None or loss.steps[-1] - onset < AFTERWARDS:
        return None
    return _of_a_raise(case, layers, loss, curve, grown, factor, onset)


def _by_its_rise(case: Case, layers: list[int], factor: float) -> Finding | None:
    """Find a rate that rises on and on, as of a warm-up without an end, past the one at which the loss did best."""
    loss, curve = training(case), learning_rate(case, layers)
    if loss is None or curve is None or not loss.has_scale or loss.gain <= _CLEARLY * loss.noise:
        return None
    did_well = loss.gain >= _DID_WELL * loss.start
    if not did_well or loss.lost < _LOST_TO_IT or loss.end - loss.best <= _CLEARLY * loss.noise:
        return None
    grown = outgrown(case, layers, factor, _LOST_TO_IT)
    if grown is None or loss.steps[-1] - grown.step < AFTERWARDS:
        return None
    since = grown.step
    return _of_a_raise(case, layers, loss, curve, replace(grown, step=grown.first_step), OUTGROWN, since)


def _of_a_raise(
    case: Case, layers: list[int], loss: Course, curve: Curve, grown: Raise, factor: float, undone: float
) -> Finding:
    """Return the finding of a rate that was raised by `factor` at least, and undid a training from a step on."""
    return Finding(
        rule="lr_too_high",
        severity=Severity.CRITICAL if loss.lost >= _ALL else Severity.WARNING,
        layers=tuple(layer for layer in layers if matrices(case, [layer])),
        first_step=max(grown.step, float(case.steps[0])),
        last_step=float(loss.steps[-1]),
        message=f"The learning rate was raised from {number(grown.before)} to {number(grown.now)} from step "
        f"{grown.first_step:,.0f} on, and the loss, {number(loss.best)} at best, is {number(loss.end)} since step "
        f"{undone:,.0f}.",
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


def _undone_by_data(case: Case) -> float | None:
    """Return the step until which the loss did well, whatever its steps, as other data threw it up.

    None where there was no such leap.
    """
    loss = training(case)
    leap = None if loss is None else leap_of_data(case, loss)
    return leap.step if leap and leap.before.learned >= _DID_WELL and leap.before.lost < LOST else None


def _undone(loss: Course) -> float | None:
    """Return the step from which on a good part of what a loss had gained is gone for good, if it is."""
    if loss.gain <= 3 * loss.noise or loss.lost < LOST:
        return None
    good = np.flatnonzero(loss.level < loss.best + LOST * loss.gain)
    return float(loss.steps[min(good[-1] + 1, len(loss.steps) - 1)])


def _follows_a_gradient(moves: Movement, onset: int) -> bool:
    """Whether the step at `onset` is large because the gradient is: the cause then lies in that."""
    past = slice(max(0, onset - 4 * PERSISTING), onset)
    before = moves.gradient[past][np.isfinite(moves.gradient[past])]
    if before.size < PERSISTING or not moves.gradient[onset] >= JUMP * np.median(before):
        return False
    with np.errstate(divide="ignore", invalid="ignore"):
        per_gradient = moves.ratios / moves.gradient
    usual = np.nanmedian(per_gradient[past])
    return bool(per_gradient[onset] <= _STEADY * usual)


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
