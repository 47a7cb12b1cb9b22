"""`loss_plateau`: a training loss no lower than at the start, or than that of guessing, though the weights moved."""

from __future__ import annotations

import numpy as np

from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.analysis.wording import number
from tb_netviz_plugin.diagnosis import needs
from tb_netviz_plugin.diagnosis.answers import (
    answers,
    beats_guessing,
    guess_frequencies,
    is_cross_entropy,
    knows_classes,
    tells_nothing,
)
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.course import Course, course, training
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.leaps import leap_of_data
from tb_netviz_plugin.diagnosis.movement import movement
from tb_netviz_plugin.diagnosis.rule import Limits, Rule, Threshold
from tb_netviz_plugin.diagnosis.slopeless import slopeless
from tb_netviz_plugin.diagnosis.stretches import PERSISTING, at_end

_FEWEST_STEPS = 100
_PATH = 0.1
"""How far the weights have to have gone, over their norm, for a loss to have had its chance."""
_FROM_SCRATCH = 10
"""Steps up to which a run has to begin: of one that goes on, the beginning is not known."""
_LASTING = 0.2
"""Share of the run's steps, at its end, for which it is no better."""
_SIGNIFICANT = 4.0
"""Standard errors by which the last third of a loss lies below the first, where it is falling, though slowly."""
_SLOWLY = 0.01
"""Share of its first value by which it is lower at the least: what a bias learns of the classes is less."""
_THROWN = 2.0
"""Factor over its first value at which a loss ends that was thrown up."""
_RISEN, _SCATTERED = 1.5, 0.5
"""Factor over its first value up to which a loss stays there, and deviation of single records, as a share of that."""
_HAD_LEARNED = 0.3
"""Share of its first value by which a loss had fallen that rises above it all the same."""
_CLEARLY = 3.0
"""Deviations of single records by which a loss has to have fallen to have been lower: one of many is so by chance."""
_ANEW = 0.2
"""Share of its value just after a leap by which a loss falls from then on where it learns a harder task."""
_FROZEN = 0.5
"""Share of the layers that are frozen where a model that has learned already is fine-tuned."""

_GUESSING, _FEWEST_LATE = (0.93, 1.1), 12
"""Shares of what guessing costs between which a loss ends where inputs have not helped (of one above, guessing is no
measure), and values in the second half that show that it stands."""
_ANY, _LATER = 0.001, 0.5
"""Share of what guessing costs by which a loss falls in the second half at least where it falls at all: where all steps
have the same samples nothing scatters, and any fall is beyond that; and the share of the run that this half is."""

_VALIDATIONS, _CARRIED = 4, 0.7
"""Validations that tell, and the share of the first of them at which they end where something is learned."""

_NARROW, _STAYS = 2.1, 1.05
"""How far the largest and the smallest score of a batch are apart at most where something bounds them, such as cosines
that are not divided by a temperature below 1; and the factor by which that grows at most in the second half."""
_HIGH, _USED = 0.4, 0.45
"""Cross-entropy over that of guessing that is high for answers that are mostly right; and the share, of what scores so
near each other could save of guessing, that is saved."""

_CALIBRATED = 1.3
"""Factor over what being right as often as they are costs, up to which answers are as sure as they ought to be."""

_OF_LATE = "Not a slow decline: it has not fallen of late, beyond the scatter."

_SURER = (
    Remedy(
        "Let scores go further apart: divide cosines by a temperature below 1, or by one that is learned.",
        "scores = normalize(a, dim=1) @ normalize(b, dim=1).T / 0.07",
    ),
    Remedy("Take away what bounds the scores in front of the loss: a tanh, a sigmoid, a normalisation without a gain."),
)
_REMEDIES = (
    Remedy(
        "Let it learn a single batch by heart: if it can't, the fault lies in the code and not in the data.",
        "for _ in range(500):\n    loss = criterion(model(inputs), targets)\n    optimizer.zero_grad()\n"
        "    loss.backward()\n    optimizer.step()",
    ),
    Remedy("See that inputs and targets belong together: that both are shuffled alike, and no input is constant."),
    Remedy("Try learning rates ten times as large and as small.", "torch.optim.Adam(model.parameters(), lr=1e-3)"),
)


def find(case: Case, limits: Limits) -> list[Finding]:
    """Find a training that has learned nothing, or has lost all that it had learned."""
    if flat := slopeless(case):
        return [flat]
    loss = training(case)
    if loss is None or not loss.has_scale or not _could_tell(case, loss):
        return []
    if found := _is_bounded(case, loss):
        return [found]
    if any(beats_guessing(case, model) for model in case.network.models) or _carries_over(case):
        return []
    leap = leap_of_data(case, loss)
    harder = leap is not None and leap.since.learned >= _ANEW and leap.since.gain > _CLEARLY * leap.since.noise
    found = (None if harder else _since_the_start(loss, limits["fall"])) or _guesses(case, loss)
    return [found] if found else []


def _carries_over(case: Case) -> bool:
    """Whether a validation loss fell and stays low: what is asked in training gets harder then, as in a curriculum."""
    held_out = course(case.curve("val_loss"))
    if held_out is None or len(held_out.values) < _VALIDATIONS or not held_out.start > 0:
        return False
    return bool(held_out.end <= _CARRIED * held_out.start and held_out.end <= held_out.best + held_out.noise)


def _since_the_start(loss: Course, fall: float) -> Finding | None:
    """Find a loss that is no lower than at first."""
    if loss.learned >= fall or _falling(loss):
        return None
    since = _since(loss, fall)
    if loss.steps[-1] - since < _LASTING * (loss.steps[-1] - loss.steps[0]):
        return None
    lost = loss.gain > fall * abs(loss.start) and loss.gain > _CLEARLY * loss.noise
    if not lost and (_was_lower(loss, fall) or not _stands(loss)):
        return None
    what = f"fell to {number(loss.best)}, and is back at {number(loss.end)}" if lost else f"is {number(loss.end)}"
    return _finding(
        loss,
        since,
        f"{loss.name} began at {number(loss.start)} and {what} at step {loss.steps[-1]:,.0f}: no better than at the "
        f"start for {loss.steps[-1] - since:,.0f} steps.",
        Beyond("share by which the loss fell", loss.learned, fall),
        loss.start * (1 - fall),
        ("Not converged: it never was clearly below its first value, or lost that again.", _OF_LATE),
    )


def _guesses(case: Case, loss: Course) -> Finding | None:
    """Find a loss that is that of always telling how frequent the answers are, or their mean, whatever goes in."""
    costs = ((model, guess_frequencies(case, model)) for model in case.network.models)
    model, guessing = next(((model, cost) for model, cost in costs if cost), ("", None))
    if guessing is None or not tells_nothing(case, model) or beats_guessing(case, model):
        return None
    least, most = (share * guessing for share in _GUESSING)
    below = np.flatnonzero(loss.level < least - loss.noise)
    since = float(loss.steps[below[-1] + 1 if below.size and below[-1] + 1 < len(loss.steps) else 0])
    late = loss.values[loss.steps >= (loss.steps[0] + loss.steps[-1]) / 2]
    lasts = loss.steps[-1] - since >= _LASTING * (loss.steps[-1] - loss.steps[0])
    if not least <= loss.end <= most or not lasts or late.size < _FEWEST_LATE or _declines(late, _ANY * guessing):
        return None
    return _finding(
        loss,
        since,
        f"{loss.name} is {number(loss.end)} at step {loss.steps[-1]:,.0f}, where guessing, whatever goes in, costs "
        f"{number(guessing)}: for {loss.steps[-1] - since:,.0f} steps nothing in the inputs has helped.",
        Beyond("loss over that of guessing", loss.end / guessing, _GUESSING[0]),
        least,
        ("Not converged to what little there is to know: the answers hardly hang on what goes in.", _OF_LATE),
    )


def _is_bounded(case: Case, loss: Course) -> Finding | None:
    """Find answers that are mostly right, and a cross-entropy that stays high since no score gets far from another."""
    given = answers(case)
    if given is None or not is_cross_entropy(case, given) or not knows_classes(case, given.model):
        return None
    late, moves = at_end(given.steps, _LATER), movement(case, [*range(len(case.network.layers))])
    ranges, third = (given.outputs.largest - given.outputs.smallest)[late], int(late.sum()) // 3
    classes, apart = float(np.nanmax(given.classes)), float(np.median(ranges[-third:])) if third else np.inf
    cost = float(np.median(given.loss[late][-third:]))
    guessing, least = float(np.log(classes)), float(np.log1p((classes - 1) * np.exp(-apart)))
    if classes < 2 or third < PERSISTING or not apart <= min(_NARROW, _STAYS * float(np.median(ranges[:third]))):
        return None
    went = float(np.nansum((moves.ratios * moves.steps_each)[at_end(case.steps, _LATER)]))
    if went < _PATH or cost < _HIGH * guessing or guessing - cost < _USED * (guessing - least):
        return None
    right = float(np.nanmean(given.accuracy[late]))
    if cost < _CALIBRATED * _even(right, classes):
        return None
    return _finding(
        loss,
        float(loss.steps[0]),
        f"{loss.name} stays at {number(loss.end)}, where guessing costs {number(guessing)}, though {right:.0%} of the "
        f"samples are right: all scores lie within {number(apart)} of each other, where {number(least)} is the least "
        "that it can cost.",
        Beyond("distance of the largest score from the smallest", apart, _NARROW),
        least,
        ("Not a network that has learned nothing: its answers are right, and it can't get any surer of them.",),
        _SURER,
    )


def _even(right: float, classes: float) -> float:
    """Return what it costs to be as sure of each answer as such a share of them is right, whichever that is."""
    wrong = 1 - right
    parts = ((right, right), (wrong, wrong / (classes - 1)))
    return float(-sum(share * np.log(sure) for share, sure in parts if sure > 0))


def _finding(
    loss: Course,
    since: float,
    message: str,
    beyond: Beyond,
    threshold: float,
    excluded: tuple[str, ...],
    remedies: tuple[Remedy, ...] = _REMEDIES,
) -> Finding:
    return Finding(
        rule="loss_plateau",
        severity=Severity.WARNING,
        layers=(),
        first_step=since,
        last_step=float(loss.steps[-1]),
        message=message,
        beyond=beyond,
        evidence=(Line(loss.name, loss.name, loss.steps, loss.values, threshold),),
        remedies=remedies,
        excluded=(*excluded, "Not standing still: the weights moved in the meantime."),
        view="overview",
    )


def _stands(loss: Course) -> bool:
    """Whether it stays where it began: one that rises from near zero, or scatters as far as that, has no such place."""
    if loss.end > _RISEN * loss.start:  # The scatter up there says nothing of how it had been.
        return loss.gain >= _HAD_LEARNED * loss.start
    return loss.noise <= _SCATTERED * loss.start


def _was_lower(loss: Course, fall: float) -> bool:
    """Whether it was lower for half of the run and more, though single records scatter too far to say when."""
    middle = float(np.median(loss.values))
    error = loss.noise / np.sqrt(at_end(loss.steps).sum())
    return bool(middle < (1 - fall) * min(loss.start, loss.end) and loss.end - middle > _SIGNIFICANT * error)


def _could_tell(case: Case, loss: Course) -> bool:
    """Whether a flat loss would mean anything: one model, from scratch, moved far enough, for long enough."""
    models = [layers for layers in case.layers_of_models() if (np.nan_to_num(movement(case, layers).ratios) > 0).any()]
    if len(models) != 1 or loss.steps[0] > _FROM_SCRATCH or loss.steps[-1] - loss.steps[0] < _FEWEST_STEPS:
        return False
    if case.frozen[models[0]].mean() >= _FROZEN:
        return False
    return movement(case, models[0]).path >= _PATH


def _falling(loss: Course) -> bool:
    return _declines(loss.values, _SLOWLY * abs(loss.start)) and bool(loss.level[-1] < loss.start)


def _declines(values: Floats, least: float = 0.0) -> bool:
    """Whether the last third of a loss lies below the first, by more than its scatter and by so much at least."""
    third = len(values) // 3
    first, last = values[:third], values[-third:]
    error = np.sqrt(first.var() / third + last.var() / third)
    return bool(first.mean() - last.mean() > max(_SIGNIFICANT * error, least))


def _since(loss: Course, fall: float) -> float:
    """Return the step from which on it has not been clearly below its first value."""
    # Of a loss that was thrown up, the scatter up there says nothing of how it had been.
    thrown, clear = loss.end > _THROWN * loss.start, _CLEARLY * loss.noise
    if thrown or loss.gain > clear:
        clear = min(clear, loss.gain / 2)
    below = np.flatnonzero(loss.start - loss.level > max(fall * abs(loss.start), clear))
    return float(loss.steps[min(below[-1] + 1, len(loss.steps) - 1)]) if below.size else float(loss.steps[0])


RULE = Rule(
    id="loss_plateau",
    title="Loss does not fall",
    needs=(
        needs.statistics("update_ratio"),
        needs.records(20),
        needs.curve("train_loss", "training loss was logged", 20),
    ),
    thresholds=(Threshold("fall", 0.05, "share of its first value by which the loss falls", 0.001, 1.0),),
    find=find,
)
