"""What the cross-entropies of single samples are like for a while, beside those that labels drawn at random make."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tb_netviz_plugin.analysis.outputs import Classes, Outputs
from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.diagnosis.stretches import smooth

_FEWEST_CLASSES = 3
"""Classes from which on even errors tell: between two, all errors look alike."""
_FEWEST_SAMPLES = 500
_ABOVE_CHANCE = 0.2
"""Share of the way from the accuracy of chance to 1 from which on the network has learned what labels mean."""
_MOST_RIGHT = 0.93
"""Accuracy up to which there are enough errors to tell what they are like."""
_FLAT, _OF_ALL = 0.1, 0.25
"""Shares of itself, and of all that it has fallen by, by which the loss falls at most over a stretch."""
_EVEN = 0.1
"""Deviation of the accuracy of classes, beyond what chance makes, where errors are spread evenly."""


@dataclass(frozen=True, slots=True)
class Errors:
    """What the cross-entropies of single samples are like for a while.

    Attributes:
        first: Its first step.
        last: Its last step.
        accuracy: Share of samples that are right.
        loss: Mean of their cross-entropies.
        spread: Standard deviation.
        classes: How many there are.
    """

    first: float
    last: float
    accuracy: float
    loss: float
    spread: float
    classes: float

    @property
    def even_loss(self) -> float:
        """The loss of a network that is as sure of each answer as it is right, its errors spread over all classes."""
        wrong = (1 - self.accuracy) / (self.classes - 1)
        return float(-self.accuracy * np.log(self.accuracy) - (1 - self.accuracy) * np.log(wrong))

    @property
    def even_spread(self) -> float:
        """Standard deviation over samples of that loss: of one value where it is right, and one where it is not."""
        odds = self.accuracy * (self.classes - 1) / (1 - self.accuracy)
        return float(np.sqrt(self.accuracy * (1 - self.accuracy)) * np.log(odds))


def errors_of(given: Outputs, first: float, last: float) -> Errors | None:
    """Return what single samples are like from `first` to `last`, or None where that can't tell of their labels."""
    at = (given.steps >= first) & (given.steps <= last) & (given.labelled > 0)
    weights, losses = given.labelled[at], given.loss[at]
    if weights.sum() < _FEWEST_SAMPLES or not np.isfinite(losses).all() or not _flat(losses, float(given.loss[0])):
        return None
    accuracy, loss = _mean(given.accuracy[at], weights), _mean(losses, weights)
    squares = _mean(np.square(given.loss_std[at]) + np.square(losses), weights)
    classes = float(np.nanmax(given.classes))
    if classes < _FEWEST_CLASSES:
        return None
    learned = (accuracy - 1 / classes) / (1 - 1 / classes) >= _ABOVE_CHANCE and accuracy < _MOST_RIGHT
    if not learned:
        return None
    return Errors(first, last, accuracy, loss, float(np.sqrt(max(squares - loss**2, 0.0))), classes)


def _mean(values: Floats, weights: Floats) -> float:
    return float(np.average(values, weights=weights))


def _flat(losses: Floats, begun: float) -> bool:
    """Whether the loss hardly falls, beside itself and what it had fallen by in all."""
    level = smooth(losses)
    third = max(1, len(level) // 3)
    early, late = float(level[:third].mean()), float(level[-third:].mean())
    return early - late <= _FLAT * early and early - late <= _OF_ALL * (begun - late)


def same_in_all(classes: Classes, errors: Errors) -> bool:
    """Whether the share of right answers is the same in all classes, as far as their samples tell."""
    at = (classes.steps >= errors.first) & (classes.steps <= errors.last)
    targets, hits = classes.targets[:, at].sum(axis=1), classes.hits[:, at].sum(axis=1)
    seen = targets > 0
    if seen.sum() < _FEWEST_CLASSES:
        return False
    shares = hits[seen] / targets[seen]
    mean = hits.sum() / targets.sum()
    by_chance = float(np.mean(mean * (1 - mean) / targets[seen]))
    return float(np.var(shares)) - by_chance <= _EVEN**2
