"""Held-out answers that fit what was learned far better than those that it was learned from."""

from __future__ import annotations

import numpy as np
from numpy.polynomial.hermite_e import hermegauss

from tb_netviz_plugin.analysis.outputs import NUMBERS, Outputs
from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.analysis.wording import number
from tb_netviz_plugin.diagnosis.answers import answers, are_decided, guess, is_cross_entropy, logged_loss
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.course import Course, course, training
from tb_netviz_plugin.diagnosis.errors import errors_of, same_in_all
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line, Remedy, Severity
from tb_netviz_plugin.diagnosis.modes import dropouts
from tb_netviz_plugin.diagnosis.stretches import at_end

HELD_OUT = 0.8
"""Validation loss over that of training up to which labels of training are worse than those held out."""
_FEWEST, _LAST = 4, 3
"""Validations that it takes to tell, and those at the end of which the middle one counts."""
_REST, _LEARNED = (0.55, 1.0), 0.05
"""Training loss over what guessing costs, and over its first value, between which much of it stays; and the share by
which it falls all the same."""
_LATE, _FLAT = 0.4, 0.1
"""Share of the run, at its end, and share of itself by which the training loss falls there at most: one that is still
falling is not yet what training comes to."""
_MOSTLY, _LOWER = 0.8, 0.9
"""Share of the validations, in the second half, that are below so much of the training loss."""
_HALFWAY = 0.5
"""How far the first validation loss is at least from what held-out answers that merely scatter less would make, on the
way to that of training: labels that are wrong scatter as much, and both losses begin alike."""
_OF_SAMPLES, _OF_NUMBERS, _SIZE, _OUTPUTS = 0.06, 0.03, 0.1, 0.15
"""Shares by which the deviation of the features, where single errors are known and where they are not, the size of all
inputs, and that of the outputs differ in evaluations at most: dropout, mixtures and noise make another of one of them.
"""
_DROPPED = 0.3
"""Share that dropout leaves out up to which it makes no such difference."""
_EVEN, _SPREAD = 0.85, (0.75, 1.25)
"""Cross-entropy, and its deviation over samples, over those of labels drawn at random, from which on errors are no
matter of single samples, as those that are augmented, or attacked."""
_PLAIN, _OF_CLASSES, _BEGINNING = (0.8, 1.25), (0.85, 1.15), 3
"""Loss that was logged, over the mean that follows from outputs and targets in the first records, or that was measured,
between which nothing was added to it, and no class or sample weighs more."""
_POINTS, _TWO = 15, 2
"""Points at which the mean over a normal distribution is taken; and the classes between which all errors look alike."""


def truer(case: Case, remedies: tuple[Remedy, ...], limit: float = HELD_OUT) -> Finding | None:
    """Find a validation loss far below that of training, of which much stays, though the network does the same."""
    given, held_out, trained = answers(case), course(case.curve("val_loss")), training(case)
    if given is None or held_out is None or trained is None or len(held_out.values) < _FEWEST:
        return None
    rest = float(np.median(held_out.values[-_LAST:])) / trained.end if trained.end > 0 else np.inf
    if not 0 < rest <= limit or not _stays(case, given, trained) or not _lower(held_out, trained):
        return None
    classifies = bool((given.labelled > 0).any()) and is_cross_entropy(case, given)
    single = classifies and float(np.nanmax(given.classes, initial=0.0)) > _TWO
    if (
        not _does_the_same(case, given, _OF_SAMPLES if single else _OF_NUMBERS)
        or max(dropouts(case).values(), default=0.0) > _DROPPED
    ):
        return None
    plain = _is_measured(case, given) if classifies else _is_expected(case, given)
    spread = _is_even(case, given) if single else _began_alike(held_out, trained)
    return _finding(held_out, trained, rest, limit, remedies) if plain and spread else None


def _finding(held_out: Course, trained: Course, rest: float, limit: float, remedies: tuple[Remedy, ...]) -> Finding:
    return Finding(
        rule="label_noise",
        severity=Severity.INFO,
        layers=(),
        first_step=float(trained.steps[0]),
        last_step=float(trained.steps[-1]),
        message=f"{trained.name} stays at {number(trained.end)}, and {held_out.name} is {rest:.0%} of that, at inputs "
        "and outputs of the same size: what was learned fits held-out answers far better than those that it was "
        "learned from. A part of these seems to be wrong, unless something takes away in training what tells them.",
        beyond=Beyond("validation loss over the training loss", rest, limit),
        evidence=(
            Line(trained.name, trained.name, trained.steps, trained.values),
            Line(held_out.name, held_out.name, held_out.steps, held_out.values, limit * trained.end),
        ),
        remedies=remedies,
        excluded=(
            "Not dropout, nor noise or masks that change the size of the inputs: that is the same in evaluations.",
            "Not a penalty or weights in the training loss: it is the mean that outputs and targets make.",
            "Not a loss that lags behind: it no longer falls.",
        ),
        view="overview",
    )


def _stays(case: Case, given: Outputs, trained: Course) -> bool:
    """Whether much of the training loss is left at the end, where it hardly falls, though something was learned."""
    low, high = _REST
    costs = (trained.start, guess(case, given.model) or trained.start)
    late = trained.values[trained.steps >= trained.steps[-1] - _LATE * (trained.steps[-1] - trained.steps[0])]
    third = len(late) // 3
    if not third or trained.end < low * costs[1] or trained.end > high * min(costs):
        return False
    return trained.learned >= _LEARNED and late[:third].mean() - late[-third:].mean() <= _FLAT * late[:third].mean()


def _beside(held_out: Course, trained: Course) -> Floats:
    """Return each validation loss over the training loss beside it, [T]."""
    shares: Floats = held_out.values / np.interp(held_out.steps, trained.steps, trained.level)
    return shares


def _lower(held_out: Course, trained: Course) -> bool:
    """Whether it is so in most of the later validations."""
    shares = _beside(held_out, trained)
    return bool((shares[len(shares) // 2 :] <= _LOWER).mean() >= _MOSTLY)


def _does_the_same(case: Case, given: Outputs, deviation: float) -> bool:
    """Whether inputs and outputs in evaluations are those of training, as far as sizes and deviations tell."""
    found = case.evaluations.get(given.model)
    if found is None or found.steps.size < _FEWEST:
        return False
    pairs = (
        (found.factor, np.ones(found.steps.size), deviation),
        (found.evaluated.size, found.trained.size, _SIZE),
        (found.output_size, found.trained_output_size, _OUTPUTS),
    )
    later = slice(found.steps.size // 2, None)
    with np.errstate(divide="ignore", invalid="ignore"):
        return all(abs(float(np.median((some / others)[later])) - 1) <= most for some, others, most in pairs)


def _is_even(case: Case, given: Outputs) -> bool:
    """Whether errors are spread over samples and classes about alike in the second half."""
    begin, end = float(given.steps[0]), float(given.steps[-1])
    errors, classes = errors_of(given, (begin + end) / 2, end), case.classes
    # Where each sample is a class of its own, as in a batch of pairs, the loss hangs on how many there are.
    if errors is None or classes is None or (given.labelled == given.classes).all():
        return False
    low, high = _SPREAD
    even = errors.loss >= _EVEN * errors.even_loss and low <= errors.spread / errors.even_spread <= high
    return even and same_in_all(classes, errors)


def _began_alike(held_out: Course, trained: Course) -> bool:
    """Whether the first validation loss was that of training, rather than lower by what no network can know.

    Held-out answers that scatter less by their nature, as of calmer times, have a loss that is lower by the same from
    the first to the last.
    """
    shares = _beside(held_out, trained)
    calmer = 1 - (1 - float(np.median(shares[-_LAST:]))) * trained.end / trained.start
    return bool(shares[0] >= calmer + _HALFWAY * (1 - calmer))


def _is_measured(case: Case, given: Outputs) -> bool:
    """Whether the loss that was logged is the mean cross-entropy that was measured, late in training."""
    late = at_end(given.steps, _LATE) & (given.loss > 0)
    low, high = _OF_CLASSES
    return bool(late.any()) and low <= float(np.nanmedian((logged_loss(case, given.steps) / given.loss)[late])) <= high


def _is_expected(case: Case, given: Outputs) -> bool:
    """Whether the loss that was logged began at the mean that follows from outputs and targets."""
    expected = _expected(given) if (given.target_kind == NUMBERS).all() else None
    if expected is None:
        return False
    low, high = _PLAIN
    return low <= float(np.median(logged_loss(case, given.steps[:_BEGINNING]) / expected)) <= high


def _expected(given: Outputs) -> Floats | None:
    """Return the mean loss of outputs that know nothing of the targets, as normal numbers, at the first records."""
    first = slice(_BEGINNING)
    places, weights = hermegauss(_POINTS)
    weights = weights / weights.sum()
    mean, outputs, targets = given.outputs.mean[first], given.outputs.std[first], given.targets.std[first]
    aim = given.targets.mean[first]
    if given.criterion == "BCEWithLogitsLoss":
        if not are_decided(float(aim.mean()), float(targets.mean())):
            return None
        logits = mean[:, None] + outputs[:, None] * places
        costs: Floats = np.logaddexp(0.0, logits) @ weights - mean * aim
        return costs
    errors = np.abs((mean - aim)[:, None] + np.sqrt(outputs**2 + targets**2)[:, None] * places)
    if given.criterion == "MSELoss":
        return np.asarray(errors**2 @ weights, np.float64)
    if given.criterion in ("HuberLoss", "SmoothL1Loss"):
        return np.asarray(np.where(errors <= 1, errors**2 / 2, errors - 0.5) @ weights, np.float64)
    return None
