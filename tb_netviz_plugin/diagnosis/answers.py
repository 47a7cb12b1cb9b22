"""What goes into a model, what it answers, and what was asked of it, at the records that have it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np

from tb_netviz_plugin.analysis.activations import ActivationRow
from tb_netviz_plugin.analysis.outputs import Classes, Outputs, Values
from tb_netviz_plugin.analysis.records import Bools, Floats
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.stretches import PERSISTING, at_end
from tb_netviz_plugin.diagnosis.variety import varieties
from tb_netviz_plugin.schema.description import Response

_CROSS_ENTROPIES = ("CrossEntropyLoss", "NLLLoss")
_ALIKE = 1e-3
"""Share of the outputs of the first layer that varies where samples are the same but for rounding."""
_ROUNDED, _DRIFTED, _SEVERAL = 1e-5, 0.15, 8
"""Share of what any layer puts out that varies at the first record where samples are the same, whatever goes in; the
share up to which records that hold several steps let it vary later; and samples from which on a record tells."""
_SHRUNK = 20.0
"""Factor by which the largest deviation of a feature of the inputs falls over a run where no data set is behind it."""
_LATE = 0.3
"""Share of the run, at its end, in which answers are looked at."""
_LOGITS, _SLIGHT = 0.5, 0.2
"""Deviation of logits over samples where both answers are as frequent, and of numbers as a share of that of the
targets, that hardly tell them apart."""
_LUCK, _ERRORS = 0.02, 3.0
"""Share of samples, and standard errors, by which more may be right than by always telling the most frequent class."""
_KNOWN = 0.5
"""Share of the samples that always telling the most frequent class gets wrong, and that are right all the same."""
_LATER_HALF, _FEWEST, _TWO = 0.5, 12, 2
"""Share of the run, at its end, in which losses are compared with what guessing costs, so many of them at least; and
the classes that are a yes and a no."""
_DECIDED = 0.9
"""Share of the variance of answers that are yes or no, below which some lie in between."""
_SAME = 0.2
"""Share by which the loss that was logged may differ from a cross-entropy where the type of the loss is not known."""
_OF_THAT = 0.01
"""Share of what guessing costs by which a loss of several classes is lower at the least: what frequencies cost is known
of all batches together only.
"""


def answers(case: Case) -> Outputs | None:
    """Return what is known at the records that have outputs, or None where there is none of them."""
    return _at(case.outputs, lambda found: found.outputs)


def entries(case: Case) -> Outputs | None:
    """Return what is known at the records that have inputs, or None where there is none of them."""
    return _at(case.outputs, lambda found: found.inputs)


def makes_its_inputs(case: Case) -> bool:
    """Whether the network makes its own inputs, as a policy the states of a simulator: they shrink as it learns."""
    given = entries(case)
    loudest = np.zeros(0) if given is None else given.feature_std_largest[given.feature_std_largest > 0]
    if loudest.size < 2 * PERSISTING:
        return False
    return bool(np.median(loudest[:PERSISTING]) >= _SHRUNK * np.median(loudest[-PERSISTING:]))


def nothing_to_tell_apart(case: Case) -> bool:
    """Whether samples are the same to the network: all inputs are one number, or its layers never tell them apart."""
    return case.once("nothing to tell apart", lambda: _nothing_to_tell_apart(case))


def _nothing_to_tell_apart(case: Case) -> bool:
    given = entries(case)
    if given is None:
        return False
    looks = [*varieties(case, given.model)]
    if (given.inputs.smallest == given.inputs.largest).all():
        return not looks or bool(np.nanmax(looks[0].share, initial=0.0) <= _ALIKE)
    # As of nodes without features, whose neighbours are averaged: what goes in differs, but is not looked at.
    if not looks or looks[0].row.activation.response not in (Response.NONE, Response.RECTIFIER):
        return False  # Inputs that drive a sigmoid to its end differ all the same.
    seen = case.judged(case.network.activations.index(looks[0].row)).looks.samples
    same = bool(seen.size) and seen[0] >= _SEVERAL and looks[0].size[0] > 0
    return same and all(
        bool(np.nan_to_num(look.share[0]) <= _ROUNDED and np.nanmax(look.share, initial=0.0) <= _DRIFTED)
        for look in looks
    )


def output_layers(case: Case, model: str) -> tuple[int, ...]:
    """Return the last layer of a model, the one to blame for its outputs; none where it has no layers."""
    held = [index for index, layer in enumerate(case.network.layers) if layer.model == model]
    return tuple(held[-1:])


def last_activation(case: Case, model: str) -> ActivationRow | None:
    """Return where an output of a model was measured last in the forward pass."""
    return next((row for row in reversed(case.network.activations) if row.model == model), None)


def in_python(name: str) -> str:
    """Return how a module is reached from its model: "model.blocks[0].act" for "blocks.0.act"."""
    return "model" + "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in name.split("."))


def logged_loss(case: Case, steps: Floats) -> Floats:
    """Return the training loss that was logged, at these steps, [T]; NaN where there is none."""
    curve = case.curve("train_loss")
    finite = np.zeros(0, np.bool_) if curve is None else np.isfinite(curve.values)
    if curve is None or not finite.any():
        return np.full(len(steps), np.nan)
    return np.interp(steps, curve.steps[finite], curve.values[finite])


def guess(case: Case, model: str) -> float | None:
    """Return what always telling the frequencies of the answers costs, or their mean; None where that is unknown.

    Of classes it is taken as if all of them were as frequent, which is the most that it can be. Of answers that are
    neither yes nor no even the truth has a cost of its own, so that nothing is said of them.
    """
    found = answers(case)
    if found is None or found.model != model:
        return None
    classes = float(np.nanmax(found.classes, initial=1.0))
    if classes > 1 and is_cross_entropy(case, found):
        return float(np.log(classes)) if _is_logged(case, found) else None
    known = np.isfinite(found.targets.mean)
    if not known.any():
        return None
    mean, deviation = float(found.targets.mean[known].mean()), float(found.targets.std[known].mean())
    if found.criterion == "MSELoss" and deviation > 0:
        return deviation**2
    if found.criterion in ("BCELoss", "BCEWithLogitsLoss") and 0 < mean < 1 and are_decided(mean, deviation):
        return float(-mean * np.log(mean) - (1 - mean) * np.log(1 - mean))
    return None


def guess_frequencies(case: Case, model: str) -> float | None:
    """Return what always telling how frequent the classes are costs; what `guess` says, where that is not known."""
    usual, classes = guess(case, model), case.classes
    if usual is None or classes is None or not classes.targets.sum() > 0:
        return usual
    found = answers(case)
    if found is None or not is_cross_entropy(case, found):
        return usual
    shares = classes.targets.sum(axis=1) / classes.targets.sum()
    shares = shares[shares > 0]
    entropy = float(-(shares * np.log(shares)).sum())
    return entropy if entropy > 0 else usual


def are_decided(mean: float, deviation: float) -> bool:
    """Whether answers are 0 or 1, and nothing in between: then the one follows from the other."""
    return deviation**2 >= _DECIDED * mean * (1 - mean)


def tells_nothing(case: Case, model: str) -> bool:
    """Whether the answers hardly hang on the samples late in training: no better than always telling the same."""
    found = answers(case)
    if found is None or found.model != model:
        return False
    late = at_end(found.steps, _LATE)
    if is_cross_entropy(case, found):
        return case.classes is not None and _guesses_classes(found, case.classes, late)
    if found.criterion == "BCEWithLogitsLoss":
        # The rarer one answer is, the less a logit tells: by how much it moves what is expected.
        varies, most = 2 * found.outputs.std[late] * _spread(found), _LOGITS
    else:
        with np.errstate(divide="ignore", invalid="ignore"):
            varies, most = found.outputs.std[late] / found.targets.std[late], _SLIGHT
    return bool(np.isfinite(varies).any()) and bool(np.nanmedian(varies) <= most)


def _spread(found: Outputs) -> float:
    """Return the deviation of answers that are yes or no, at most a half; that where they lie in between."""
    mean = float(np.nanmean(found.targets.mean))
    return float(np.sqrt(mean * (1 - mean))) if 0 < mean < 1 else 0.5


def knows_classes(case: Case, model: str) -> bool:
    """Whether a good part of the samples that guessing gets wrong is right late in training, whatever the loss is.

    Smoothed or mixed labels, and those that hang on more than what goes in, keep a loss high.
    """
    found, classes = answers(case), case.classes
    if found is None or classes is None or found.model != model or not classes.targets.sum() > 0:
        return False
    late = at_end(found.steps, _LATE) & (found.labelled > 0)
    if not late.any():
        return False
    accuracy = float(np.average(found.accuracy[late], weights=found.labelled[late]))
    frequent = float(classes.targets.sum(axis=1).max() / classes.targets.sum())
    return accuracy - frequent >= _KNOWN * (1 - frequent)


def beats_guessing(case: Case, model: str) -> bool:
    """Whether the loss is lower late in training than always telling the mean would cost on the very same batches.

    By however little, as long as it is beyond chance: of clicks or returns there may be no more to know.
    """
    found = answers(case)
    if found is None or found.model != model:
        return False
    late = at_end(found.steps, _LATER_HALF)
    costs = _cost_of_mean(case, found)[late]
    with np.errstate(invalid="ignore"):
        gains = costs - logged_loss(case, found.steps)[late]
    gains = gains[np.isfinite(gains)]
    if gains.size < _FEWEST:
        return False
    chance = float(gains.std()) / np.sqrt(gains.size)
    if _is_one_batch(found, late):
        # Losses of the same samples do not scatter, and any weight gains about as much of them as a single one is.
        chance = max(chance, float(np.nanmean(costs) / np.nanmax(found.samples[late])))
    least = _OF_THAT * float(np.nanmean(costs)) if np.nanmax(found.classes, initial=0.0) > _TWO else 0.0
    return bool(gains.mean() > max(_ERRORS * chance, least))


def _is_one_batch(found: Outputs, late: Bools) -> bool:
    """Whether inputs and targets are the same at all of these records, as far as their means and deviations tell."""
    told = [moment[late] for values in (found.inputs, found.targets) for moment in (values.mean, values.std)]
    return all(bool(np.ptp(moment) == 0) for moment in told)


def _cost_of_mean(case: Case, found: Outputs) -> Floats:
    """Return what always telling the mean of all targets costs at each record, [T]; NaN where that is unknown.

    Of more than two classes it is what always telling how frequent they are costs in the mean.
    """
    mean = found.targets.mean
    if not np.isfinite(mean).any():
        return np.full(len(mean), np.nan)
    of_all = float(np.nanmean(mean))
    if found.criterion == "MSELoss":
        return np.asarray(np.square(found.targets.std) + np.square(mean - of_all), np.float64)
    classes = float(np.nanmax(found.classes, initial=0.0)) if is_cross_entropy(case, found) else 0.0
    if classes > _TWO:
        cost = guess_frequencies(case, found.model) if case.classes is not None else None
        return np.full(len(mean), np.nan if cost is None else cost)
    two = classes == _TWO
    if not 0 < of_all < 1 or not (two or found.criterion in ("BCELoss", "BCEWithLogitsLoss")):
        return np.full(len(mean), np.nan)
    return np.asarray(-mean * np.log(of_all) - (1 - mean) * np.log(1 - of_all), np.float64)


def _guesses_classes(found: Outputs, classes: Classes, late: Bools) -> bool:
    """Whether no more samples are right than belong to the most frequent class, as far as their number tells."""
    counted, seen = found.labelled[late].sum(), classes.targets.sum()
    if not counted > 0 or not seen > 0:
        return False
    accuracy = float(np.nansum(found.accuracy[late] * found.labelled[late]) / counted)
    frequent = float(classes.targets.sum(axis=1).max() / seen)
    return bool(accuracy <= frequent + _LUCK + _ERRORS * np.sqrt(frequent * (1 - frequent) / counted))


def is_cross_entropy(case: Case, found: Outputs) -> bool:
    """Whether the loss is the cross-entropy of outputs and targets: by its type, else by the first value logged."""
    if found.criterion:
        return found.criterion in _CROSS_ENTROPIES
    return _is_logged(case, found)


def _is_logged(case: Case, found: Outputs) -> bool:
    """Whether the first loss that was logged is the mean cross-entropy, and no sum of it, or with something else."""
    logged = float(logged_loss(case, found.steps)[0])
    return abs(logged - float(found.loss[0])) <= _SAME * float(found.loss[0])


def _at(found: Outputs | None, part: Callable[[Outputs], Values]) -> Outputs | None:
    if found is None:
        return None
    known = np.isfinite(part(found).smallest) & np.isfinite(part(found).largest)
    return _picked(found, known) if known.any() else None


def _picked(found: Any, known: Bools) -> Any:
    """Return the same with the known records of each array, [T], in it."""
    picked = {}
    for one in fields(found):
        value = getattr(found, one.name)
        if isinstance(value, Values):
            picked[one.name] = _picked(value, known)
        elif isinstance(value, np.ndarray):
            picked[one.name] = value[known]
    return replace(found, **picked)
