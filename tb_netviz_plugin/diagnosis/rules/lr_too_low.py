"""`lr_too_low`: weights that hardly moved in the whole run, though the gradients agree on where to go."""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.analysis.wording import number
from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.answers import beats_guessing, guess
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.course import Course, training
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.movement import decay_over_gradient, group_of, learning_rate, movement
from tb_netviz_plugin.diagnosis.rule import Limits, Rule, Threshold

_FEWEST_STEPS = 100
_KNEW = 0.5
"""Share of what guessing costs at which a loss begins at most where the network had learned before: as one that is
fine-tuned or resumed it may well go on in small steps.
"""
_UNCHANGED = 0.1
"""Share of its first value by which a loss falls at most where nothing was learned."""
_SURELY, _FALLS, _TWICE = 0.5, 0.25, 2.0
"""Cosine of successive gradients that leaves no doubt, the share by which a loss may fall then, and the factor by which
the weights may have gone further where it has not.
"""
_GRADIENT_LEFT = 0.3
"""Share of the first gradients that the last ones still have where nothing has converged."""
_HARDLY, _LESS = 0.1, 0.4
"""Share of the way below which even fine-tuning changes nothing, and of the agreement that is enough there."""
_NO_BETTER, _FURTHER = 0.93, 5.0
"""Loss over that of guessing from which on nothing can have been learned before, and the factor by which the weights
may have gone further then."""
_TWO_OF_THREE = 2
"""Of what shows that even a new head on a frozen network gets nowhere: it knows nothing, hardly moves, and its
gradients leave no doubt."""
_IGNORANT = 0.5
"""Share of the way below which nothing can have been learned where the loss stays that of guessing as well, whatever
the gradients of batches say: those of a few samples need not agree.
"""
_BALANCED = 0.5
"""Share of the gradient that a decay takes back in the later half of a run, at the median of the matrices."""
_HALF = 0.5
"""Share of a model's elements from which on, if they are frozen, it is being fine-tuned on purpose."""
_WARMING = 0.5
"""Share of its highest value that a learning rate reached only lately, where it is still being warmed up."""
_LITTLE, _EARLY = 0.1, 0.5
"""Share of its highest value to which a rate has fallen where what is left of the way is next to nothing, and of the
run by which that is early."""
_ENOUGH = 20
"""Values of the loss from then on that show that it stands."""
_MUCH, _SOME = 0.3, 0.15
"""Share of its first value at which a loss has much left to fall, and where gradients leave no doubt that it has."""
_USEFUL = 1e-3
"""A common ratio of update and weights in healthy training (CS231n)."""

_SCHEDULE = (
    Remedy(
        "Look at the schedule: it may be stepped once a batch instead of an epoch.",
        "for epoch in range(epochs):\n    train_one_epoch()\n    scheduler.step()",
    ),
    Remedy(
        "Of ReduceLROnPlateau see that it minimises what it is given.",
        'torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode="min")',
    ),
)


def find(case: Case, limits: Limits) -> list[Finding]:
    """Find models that went nearly nowhere, though they had somewhere to go."""
    loss = training(case)
    if loss is None:
        return []
    found = (
        _of_model(case, layers, loss, limits) or _ended_early(case, layers, loss, limits)
        for layers in case.layers_of_models()
        if not _knew(case, layers, loss)
    )
    return [finding for finding in found if finding]


def _knew(case: Case, layers: list[int], loss: Course) -> bool:
    """Whether the network begins far better than guessing."""
    guessing = guess(case, case.network.layers[layers[0]].model)
    return guessing is not None and loss.start <= _KNEW * guessing


def _of_model(case: Case, layers: list[int], loss: Course, limits: Limits) -> Finding | None:
    moves = movement(case, layers)
    known = np.isfinite(moves.ratios)
    span = float(case.steps[-1] - case.steps[0])
    hardly = moves.path < _HARDLY * limits["path"]
    guessing = _guess(case, layers)
    # Whatever the gradients of batches say.
    ignorant = guessing is not None and min(loss.start, loss.end) >= _NO_BETTER * guessing
    agreement, still = _median(moves.agreement), _unchanged(loss)
    surely = agreement >= max(_SURELY, limits["agreement"])
    backbone = _fine_tuned(case, layers)
    if backbone and ignorant + hardly + surely < _TWO_OF_THREE:
        return None  # What is left to train of such a network may well go in small steps.
    if span < _FEWEST_STEPS or not known.any() or _warming_up(case, layers) or _is_balanced(case, layers):
        return None
    if not still and not (surely and 0 <= loss.learned < _FALLS):
        return None
    agrees = agreement >= limits["agreement"] * (_LESS if hardly else 1.0)
    nowhere = ignorant and moves.path < _IGNORANT * limits["path"]
    furthest = limits["path"] * (_FURTHER if ignorant and still else _TWICE if surely and still else 1.0)
    if not (0 < moves.path < furthest and (agrees or nowhere) and _gradient_left(moves.gradient)):
        return None
    typical = _median(moves.ratios)
    rates = learning_rate(case, layers)
    rate = float(np.nanmax(rates.values)) if rates is not None and np.isfinite(rates.values).any() else 0.0
    told = f" at a learning rate of {number(rate)}" if rate > 0 else ""
    return Finding(
        rule="lr_too_low",
        severity=Severity.WARNING,
        layers=() if len(case.network.models) == 1 else tuple(layers),
        first_step=float(case.steps[0]),
        last_step=float(case.steps[-1]),
        message=f"In {span:,.0f} steps the weights went {moves.path:.2g} of their own norm at most{told}, "
        f"{number(typical)} a step, and the loss went from {number(loss.start)} to {number(loss.end)}.",
        beyond=Beyond("way of the weights over their norm", moves.path, furthest),
        evidence=(
            Line("update : weight, median of the matrices", "update_ratio", case.steps, moves.ratios, _USEFUL),
            Line(loss.name, loss.name, loss.steps, loss.values),
        ),
        remedies=_remedies(case, layers, rate, typical),
        excluded=(
            f"Not converged: the gradient is as large as at first, and successive ones agree (cosine {agreement:.2f})."
            if agrees
            else f"Not converged, and not fine-tuning: guessing would cost {number(guessing or 0.0)}.",
            "Not a warm-up in progress." if backbone else "Not fine-tuning with a frozen backbone, and not a warm-up.",
        ),
    )


def _ended_early(case: Case, layers: list[int], loss: Course, limits: Limits) -> Finding | None:
    """Find a rate that fell to nothing early in the run, when there was much left to learn, and stayed there."""
    rates, moves = learning_rate(case, layers), movement(case, layers)
    if rates is None or len(case.curves("learning_rate")) > 1 or not np.nanmax(rates.values, initial=0.0) > 0:
        return None
    if not loss.has_scale or not np.isfinite(moves.ratios).any():
        return None
    span = float(case.steps[-1] - case.steps[0])
    lived = np.flatnonzero(rates.values > _LITTLE * np.nanmax(rates.values))
    fell = float(rates.steps[min(int(lived[-1]) + 1, len(rates.steps) - 1)])
    ways = np.nan_to_num(moves.ratios * moves.steps_each)
    to_go = np.cumsum(ways[::-1])[::-1] - ways  # Behind each record.
    goes = np.flatnonzero(to_go >= limits["path"])
    since = max(fell, float(case.steps[goes[-1] + 1]) if goes.size and goes[-1] + 1 < len(case.steps) else 0.0)
    late, at = case.steps > since, loss.steps > since
    if span < _FEWEST_STEPS or since > case.steps[0] + _EARLY * span or at.sum() < _ENOUGH or not late.any():
        return None
    path = float(ways[late].sum())
    then = loss.values[at]
    falls = np.median(then[: len(then) // 3]) - np.median(then[-(len(then) // 3) :]) > loss.noise
    left = np.nanmedian(moves.gradient[late]) >= _GRADIENT_LEFT * np.nanmedian(moves.gradient[~late])
    agreement = _median(moves.agreement[late])
    much = loss.end >= (_SOME if agreement >= _SURELY else _MUCH) * loss.start
    if path >= limits["path"] or falls or not much or not left:
        return None
    guessing = _guess(case, layers)
    agrees = agreement >= limits["agreement"]
    # Of one that is no better than guessing, batches may well disagree: it had not begun to learn.
    if not agrees and (guessing is None or loss.end < _NO_BETTER * guessing):
        return None
    return Finding(
        rule="lr_too_low",
        severity=Severity.WARNING,
        layers=() if len(case.network.models) == 1 else tuple(layers),
        first_step=since,
        last_step=float(case.steps[-1]),
        message=f"The learning rate fell from {number(float(np.nanmax(rates.values)))} to "
        f"{number(float(rates.values[rates.steps >= since][0]))} by step {since:,.0f}. From then on the weights went "
        f"{path:.2g} of their own norm at most, and {loss.name} stayed at {number(loss.end)}.",
        beyond=Beyond("way of the weights over their norm since then", path, limits["path"]),
        evidence=(
            Line("learning rate", rates.name, rates.steps, rates.values, _LITTLE * float(np.nanmax(rates.values))),
            Line(loss.name, loss.name, loss.steps, loss.values),
        ),
        remedies=_SCHEDULE,
        excluded=(
            "Not the end of a schedule: most of the run was still to come.",
            "Not converged: the gradient is nearly as large as before, and "
            + ("those of successive batches agree." if agrees else f"guessing would cost {number(guessing or 0.0)}."),
        ),
    )


def _is_balanced(case: Case, layers: list[int]) -> bool:
    """Whether a decay takes back what the gradient asks for, as it does where a training has converged."""
    shares = decay_over_gradient(case, layers)
    return shares is not None and _median(shares[-len(shares) // 2 :]) >= _BALANCED


def _guess(case: Case, layers: list[int]) -> float | None:
    """Return what guessing costs, or None where that is unknown, or the network does better, by however little."""
    model = case.network.layers[layers[0]].model
    return None if beats_guessing(case, model) else guess(case, model)


def _unchanged(loss: Course) -> bool:
    """Whether nothing was learned, or no more than single batches differ by."""
    return abs(loss.learned) < _UNCHANGED or abs(loss.start - loss.end) < loss.noise


def _median(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else 0.0


def _gradient_left(norms: Floats) -> bool:
    known = norms[np.isfinite(norms)]
    tenth = max(1, known.size // 10)
    return known.size > 1 and bool(np.median(known[-tenth:]) >= _GRADIENT_LEFT * np.median(known[:tenth]))


def _fine_tuned(case: Case, layers: list[int]) -> bool:
    rows = [case.network.parameters[row].parameter for layer in layers for row in case.network.layers[layer].parameters]
    elements = sum(row.elements for row in rows)
    return sum(row.elements for row in rows if row.frozen) >= _HALF * elements


def _warming_up(case: Case, layers: list[int]) -> bool:
    """Whether the learning rate has been near its highest value for the last tenth of the run only."""
    rates = learning_rate(case, layers)
    if rates is None or not np.isfinite(rates.values).any():
        return False
    late = rates.steps >= rates.steps[0] + 0.9 * (rates.steps[-1] - rates.steps[0])
    high = rates.values >= _WARMING * np.nanmax(rates.values)
    return not (high & ~late).any()


def _remedies(case: Case, layers: list[int], rate: float, typical: float) -> tuple[Remedy, ...]:
    group = group_of(case, layers)
    code = ""
    if group is not None and rate > 0 and typical > 0:
        code = f"torch.optim.{group.optimizer}(model.parameters(), lr={rate * min(_USEFUL / typical, 1e6):.1g})"
    return (
        Remedy("Raise the learning rate, until a step changes the weights by about a thousandth of their norm.", code),
        Remedy(
            "Look at the schedule: it may start from the wrong value, or be stepped once a batch instead of an epoch."
        ),
    )


RULE = Rule(
    id="lr_too_low",
    title="Learning rate too low",
    needs=(
        needs.statistics("update_ratio", "gradient_cosine", "gradient_norm"),
        needs.records(20),
        needs.curve("train_loss", "training loss was logged", 10),
    ),
    thresholds=(
        Threshold("path", 0.02, "way of the weights in the whole run, over their norm", 1e-6, 1.0),
        Threshold("agreement", 0.25, "cosine of successive gradients", 0.0, 1.0),
    ),
    find=find,
)
