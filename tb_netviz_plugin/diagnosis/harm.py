"""What became of a training after steps so large that they overwrote its weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tb_netviz_plugin.analysis.derive import State
from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.analysis.series import nanmedian
from tb_netviz_plugin.analysis.units import UnitState
from tb_netviz_plugin.analysis.wording import fold, number
from tb_netviz_plugin.diagnosis.answers import answers, beats_guessing, guess, is_cross_entropy, nothing_to_tell_apart
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.course import Course, course, training
from tb_netviz_plugin.diagnosis.movement import JUMP, dtype_of, group_of, matrices, movement
from tb_netviz_plugin.diagnosis.starts import LOUD
from tb_netviz_plugin.diagnosis.stretches import PERSISTING
from tb_netviz_plugin.diagnosis.stuck import Stuck, saturated_since, stuck_units
from tb_netviz_plugin.schema.description import Response

AFTERWARDS = 20
"""Records of the loss after the first large step, in which it may recover."""
_NOT_LEARNED = 0.1
"""Share of its first value by which a loss falls at least where something was learned."""
LOST = 0.3
"""Share of what a loss had gained that it loses for good after too large a step."""
REPLACED, _HARDLY_LEARNED = 0.5, 0.3
"""Norm of an update over that of the weights at which it replaced them, and share by which a loss has to fall then."""
_SWEPT, _GONE, _AT_ONCE, _LEAPT = 0.5, 0.65, 3, 1.1
"""The same at which little is left of how they began, and next to nothing; records within which that is so at once, and
the factor over its first value to which the loss leaps then, beyond its scatter in the first case."""
_FAR_UP, _TIMES = 2.0, 3
"""That factor where nothing was left and the training got over it, and in how many records."""
_THROWN_UP, _LARGER = 3.0, 2.0
"""That factor in a single record then, and the one by which the weights are larger in the end."""
_SEARCHES = ("LBFGS",)
"""Optimizers whose first steps are as long as they have to be."""
_HALF = 0.5
"""Share of the run, at its end, in which a loss stands."""
_DIED, _DIED_OF_IT, _SOON = 0.6, 0.4, 0.1
"""Share of a layer's units that die of large steps, and where these replaced its weights, and of the run within which
they do."""
_STUCK = {UnitState.DEAD: "dead", UnitState.SATURATED: "at the ends of their function"}
_GROWN, _WORSENED = 2.0, 1.5
"""Factors over the first ones below which weights and loss show no harm, where nothing was learned."""
_WORSE = 3.0
"""Deviations of single records above its first value from which on a loss without a scale is worse."""
_THROWN, _RECOVERED = 10.0, 0.7
"""Factor over its first value to which a loss is thrown, and the share by which it falls where it has got over all."""
_NARROW = ("float16",)
"""Formats of weights that overflow, and in which what an optimizer divides by becomes zero, at any learning rate."""
_OF_GUESSING = 0.99
"""Share of what guessing costs from which on a loss shows that nothing is known."""
_BEYOND = 1e4
"""Factor by which the deviation of an output grows beyond what any training needs."""
_CLOSE = 3
"""Records before a gradient that is not finite, in which what brought it about is seen."""


@dataclass(frozen=True, slots=True)
class Harm:
    """What large steps did to a training.

    Attributes:
        words: A clause.
        fatal: Whether nothing was learned, or all is lost.
        excluded: What was ruled out.
    """

    words: str
    fatal: bool
    excluded: tuple[str, ...] = ("Not an early large step that the training got over: the loss did not recover.",)


def died(case: Case, layers: list[int], onset: float, last: float, *, worst: float) -> Harm | None:
    """Return which units died of the large steps, or got stuck at the ends of their function, if most of a layer's did.

    The arguments are those of `harm_of`.
    """
    if nothing_to_tell_apart(case):
        return None
    until, most = last + _SOON * (case.steps[-1] - case.steps[0]), _DIED_OF_IT if worst >= REPLACED else _DIED
    dead = stuck_units(case, UnitState.DEAD, (Response.RECTIFIER, Response.SMOOTH))
    hidden = [one for one in stuck_units(case, UnitState.SATURATED, (Response.BOUNDED,)) if not _is_last(case, one)]
    since = [one.since_share(most) for one in dead] + [saturated_since(case, one, most) for one in hidden]
    for one, begun in zip((*dead, *hidden), since, strict=True):
        if one.row.layer in layers and one.share >= most and onset < begun <= until:
            words = f"{len(one.units):,} of {len(one.row.units):,} {one.row.activation.unit or 'unit'}s of "
            words += f"{one.row.label} are {_STUCK[one.state]} since step {begun:,.0f}"
            return Harm(
                words, fatal=False, excluded=("Not units that never lived: they got stuck after the first of them.",)
            )
    return None


def _is_last(case: Case, one: Stuck) -> bool:
    """Whether it is what a model puts out, which may well be certain."""
    return one.row is [row for row in case.network.activations if row.model == one.row.model][-1]


def dead_layers(case: Case, layers: list[int], onset: float) -> list[int]:
    """Return those of these layers most of whose units died after the first large step, in the order in which they did.

    They are what is lost for good, wherever steps were the largest.
    """
    if nothing_to_tell_apart(case):
        return []
    found = stuck_units(case, UnitState.DEAD, (Response.RECTIFIER, Response.SMOOTH))
    gone = [one for one in found if one.share >= _DIED and one.since_share(_DIED) > onset]
    gone.sort(key=lambda one: one.since_share(_DIED))
    return list(dict.fromkeys(one.row.layer for one in gone if one.row.layer is not None and one.row.layer in layers))


def _comes_out_of_nothing(case: Case, layers: list[int], spoiled: int, last: float, *, replaced: bool) -> bool:
    """Whether no large step, the last at `last`, went just before that record, and no gradient that grew.

    In the first records, where no growth can be seen, that takes a step which replaced the weights.
    """
    norms = movement(case, layers).gradient[:spoiled]
    known = norms[np.isfinite(norms)]
    if spoiled <= _CLOSE:
        return not replaced
    if case.steps[spoiled - _CLOSE] <= last or known.size < 2 * PERSISTING:
        return False
    return bool(known[-_CLOSE:].max() < JUMP * np.median(known))


def harm_of(case: Case, layers: list[int], onset: float, last: float, *, worst: float) -> Harm | None:
    """Return what became of the training after the first large step, or None where it got over it.

    Args:
        case: The run.
        layers: Those of the model.
        onset: Step of the first large one.
        last: Step of the last.
        worst: Norm of the largest of these updates over that of the weights.
    """
    replaced = worst >= REPLACED
    nonfinite = (case.statistic("gradient_nonfinite").states[layers] == State.NONFINITE).any(axis=0)
    later = np.flatnonzero(nonfinite & (case.steps >= onset))
    narrow = any(dtype_of(case, row) in _NARROW for row in matrices(case, layers))
    spoiled = later.size and not narrow
    if spoiled and not _comes_out_of_nothing(case, layers, int(later[0]), last, replaced=replaced):
        return Harm(f"the gradient was not finite from step {case.steps[later[0]]:,.0f} on", fatal=True)
    loss = training(case)
    if loss is None or (loss.steps > onset).sum() < AFTERWARDS:
        return None
    if not loss.has_scale and loss.end - loss.start <= max(
        _WORSE * loss.noise, float(np.ptp(loss.values[:AFTERWARDS]))
    ):
        return None  # As of a policy's gradient: such a loss says nothing of how well it does.
    return (
        _harm_since(loss, onset)
        or _harm_from_the_start(
            loss,
            small=_stay_small(case, layers, loss),
            brief=_leave_most(case, layers, last, replaced=replaced),
            replaced=replaced,
            loud=_are_loud(case, layers),
            known=beats_guessing(case, case.network.layers[layers[0]].model),
        )
        or _only_guesses(case, layers, loss)
        or swept(case, layers, loss)
        or (_blown_up(case, layers, loss) if replaced else None)
    )


def swept(case: Case, layers: list[int], loss: Course) -> Harm | None:
    """Return that the first steps left little of the weights that it began with, and threw the loss up, if so."""
    group, maps = group_of(case, layers), [layer for layer in layers if not _is_table(case, layer)]
    searches = group is not None and group.optimizer in _SEARCHES
    if searches or len(matrices(case, maps)) < 2:
        return None
    first = float(np.nanmax(movement(case, maps).ratios[:_AT_ONCE], initial=0.0))
    early, begun = loss.values[:AFTERWARDS], _first_loss(case, loss)
    if first < _SWEPT or len(early) < AFTERWARDS:
        return None
    larger = bool(_growth(case, maps) >= _LARGER)
    if not _throws(loss, np.sort(early), begun, gone=first >= _GONE, larger=larger):
        return None
    highest = float(early.max())
    words = f"little is left of the weights that it began with; the loss, {number(begun)} at first, leapt to "
    excluded = (
        "Not matrices that begin about zero, which any step rewrites, nor rows of a table: these do not count.",
    )
    return Harm(f"{words}{number(highest)}", fatal=False, excluded=excluded)


def _throws(loss: Course, early: Floats, begun: float, *, gone: bool, larger: bool) -> bool:
    """Whether the first values of a loss, in increasing order, are thrown up far enough for how it went on."""
    scatter = _WORSE * loss.noise
    if loss.has_scale and loss.learned >= _RECOVERED:
        once = larger and bool(early[-1] >= _THROWN_UP * begun + scatter > 0)
        return gone and (once or bool(early[-_TIMES] >= _FAR_UP * begun + scatter > 0))
    return bool(early[-1] >= _LEAPT * begun + (0.0 if gone else scatter) > 0)


def _first_loss(case: Case, loss: Course) -> float:
    """Return the loss before the first step, which a curve of means may not have."""
    found = answers(case)
    known = found is not None and is_cross_entropy(case, found) and found.steps[0] <= loss.steps[0]
    return float(np.fmin(loss.values[0], found.loss[0])) if found is not None and known else float(loss.values[0])


def _is_table(case: Case, layer: int) -> bool:
    """Whether a layer's rows are looked up, so that a step may well rewrite those that were."""
    return case.network.layers[layer].module.type.startswith("Embedding")


def _harm_since(loss: Course, onset: float) -> Harm | None:
    """Return how much of what had been gained before a step was lost after it, where that is much."""
    before = loss.upto(onset - 1)
    if before is None or before.values.size < PERSISTING:
        return None
    gained = before.start - before.best
    if not gained > before.noise or (loss.end - before.best) / gained < LOST:
        return None
    words = f"the loss, {number(before.best)} before, is {number(loss.end)}"
    return Harm(words, fatal=loss.end >= before.start - gained / 4)


def _blown_up(case: Case, layers: list[int], loss: Course) -> Harm | None:
    """Return that the signal grew beyond measure, and evaluation shows what normalisation hides in training.

    A validation loss alone may well be of another unit.
    """
    held_out = course(case.curve("val_loss"))
    if held_out is None or not loss.has_scale or not held_out.end >= _THROWN * max(loss.start, loss.values[0]):
        return None
    rows = [index for index, row in enumerate(case.network.activations) if row.layer in layers]
    deviations = case.numbers("activation_std")[rows]
    if not deviations.size:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        grown = float(np.nanmax(np.nan_to_num(deviations[:, -1] / deviations[:, 0]), initial=0.0))
    if grown < _BEYOND:
        return None
    words = (
        f"{held_out.name} is {number(held_out.end)}, where the loss was {number(loss.start)} at first; outputs grew "
    )
    return Harm(f"{words}{fold(grown)}", fatal=False)


def _stay_small(case: Case, layers: list[int], loss: Course) -> bool:
    """Whether nothing was learned and nothing spoiled, as of weights about zero where nothing else is any better."""
    norms = case.column("weight_norm")[matrices(case, layers)]
    with np.errstate(divide="ignore", invalid="ignore"):
        grown = nanmedian(norms[:, -PERSISTING:].T) / nanmedian(norms[:, :PERSISTING].T)
    return bool(np.nanmax(grown, initial=0.0) < _GROWN and loss.values.max() < _WORSENED * loss.start)


def _growth(case: Case, layers: list[int]) -> float:
    """Return the norm of the matrices in the end over that at the first record, the median of them; NaN if unknown."""
    norms = case.column("weight_norm")[matrices(case, layers)]
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(nanmedian((norms[:, -1] / norms[:, 0])[:, None])[0])


def _leave_most(case: Case, layers: list[int], last: float, *, replaced: bool) -> bool:
    """Whether only the first few steps were large, none replaced the weights, and these did not grow for it.

    The last large one was at `last`. Such steps can't be why a loss stands high, or is back where it was, much later:
    those that an optimizer makes before it knows the scale of the gradient often are as large.
    """
    if replaced or len(case.steps) <= 2 * _AT_ONCE or last > case.steps[_AT_ONCE - 1]:
        return False
    return _growth(case, layers) < _LARGER


def _are_loud(case: Case, layers: list[int]) -> bool:
    """Whether the weights end so large that the signal can't keep its scale."""
    rows = matrices(case, layers)
    outputs = np.array([case.network.parameters[row].parameter.shape[0] for row in rows], np.float64)
    gains = case.column("weight_norm")[rows, -1] / np.sqrt(outputs)
    known = gains[np.isfinite(gains)]
    return bool(known.size) and bool(np.median(known) >= LOUD)


def _only_guesses(case: Case, layers: list[int], loss: Course) -> Harm | None:
    """Return that a loss came down to what guessing costs, no further, where the weights end too large."""
    model = case.network.layers[layers[0]].model
    usual = guess(case, model)
    if usual is None or not loss.end >= _OF_GUESSING * usual or not _are_loud(case, layers):
        return None
    if beats_guessing(case, model) or loss.learned >= _NOT_LEARNED:
        return None
    words = f"{loss.name}, {number(loss.start)} at first, is {number(loss.end)}, where guessing costs {number(usual)}"
    return Harm(words, fatal=True)


def _harm_from_the_start(
    loss: Course, *, small: bool, brief: bool, replaced: bool, loud: bool, known: bool
) -> Harm | None:
    stays = loss.learned < _NOT_LEARNED and loss.start - loss.end < 3 * loss.noise
    if stays and not small and not brief and not known:
        return Harm(f"the loss, {number(loss.start)} at first, is {number(loss.end)}", fatal=True)
    if not brief and loss.lost >= LOST and loss.end - loss.best > loss.noise and loss.gain > _WORSE * loss.noise:
        return Harm(f"the loss, {number(loss.best)} at best, is {number(loss.end)}", fatal=False)
    highest = float(loss.values.max())
    first = float(loss.values[0])  # Of one that is thrown at once, its start may be no first value any more.
    thrown = highest >= _THROWN * loss.start > 0 and loss.learned < _RECOVERED
    if thrown or (highest >= _THROWN * first > 0 and loss.end >= first):
        words = f"the loss, {number(first)} at first, was thrown up to {number(highest)} and is {number(loss.end)}"
        return Harm(words, fatal=False)
    leapt = highest >= _WORSENED * loss.start > 0 and not small
    if replaced and loss.learned < _HARDLY_LEARNED and (leapt or (loud and loss.stands(_HALF))):
        return Harm(f"the loss, {number(loss.start)} at first, fell to {number(loss.end)} only", fatal=False)
    return None
