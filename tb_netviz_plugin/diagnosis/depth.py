"""How far a quantity falls or rises between two depths of a network, at every record."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.analysis.series import logarithm, nanmedian
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.schema.description import Module

_FEWEST = 3
"""Layers that make a depth."""
_AROUND = 3
"""Layers that a layer is seen among, itself and its neighbours, so that what a single one differs in is no fall."""
_BLOCK = 32
"""Records that are looked at at a time: few enough to stay in the processor's cache."""


@dataclass(frozen=True, slots=True)
class Fall:
    """How log10 of a quantity falls from the output of a network towards its input, at each of T records.

    Attributes:
        profile: Of each layer, without what only single ones differ in, input first, [L, T].
        size: Decades from the highest value down to the lowest that lies nearer the input, [T]; NaN where unknown.
    """

    profile: Floats
    size: Floats


def deep(case: Case, layers: list[int], values: Floats) -> list[int]:
    """Return which of L layers, by place, lie one upon another: of heads beside each other, the one that matters most.

    Args:
        case: The run.
        layers: Their indices, in the order of the forward pass.
        values: What of them is compared, [L, T].
    """
    modules = [case.network.layers[layer].module for layer in layers]
    heads = [len(layers) - 1] if layers else []
    while heads and heads[0] > 0 and _beside(modules[heads[0] - 1], modules[heads[-1]]):
        heads.insert(0, heads[0] - 1)
    if len(heads) < 2:
        return list(range(len(layers)))
    sizes = np.nan_to_num(nanmedian(values[heads].T))
    return [*range(heads[0]), heads[int(np.argmax(sizes))]]


def _beside(one: Module, other: Module) -> bool:
    """Whether two layers get the same, as heads do: the second one can't get what the first one puts out."""
    same = bool(one.input_shape) and one.input_shape == other.input_shape and one.type == other.type
    return same and one.output_shape[-1:] != other.input_shape[-1:]


def fall(values: Floats) -> Fall:
    """Return the fall of positive values, [L, T], of layers in the order of the forward pass.

    The layers from the lowest value on to the input have to lie low, too: a gradient that has vanished does not come
    back. A record at which fewer than three layers have a value has no fall.
    """
    found = [_fall(values[:, first : first + _BLOCK]) for first in range(0, max(values.shape[1], 1), _BLOCK)]
    return Fall(*(np.concatenate([getattr(one, name) for one in found], axis=-1) for name in ("profile", "size")))


def _fall(values: Floats) -> Fall:
    profile = _without_single_ones(logarithm(values))
    if len(profile) < _FEWEST:
        return Fall(profile, np.full(profile.shape[1], np.nan))
    known = np.isfinite(profile)
    filled = np.where(known, profile, np.inf)
    emptied = np.where(known, profile, -np.inf)
    below = np.maximum.accumulate(emptied, axis=0)
    # At each candidate for the lower end, all that lies nearer the input is no higher than halfway up.
    top = np.maximum.accumulate(emptied[::-1], axis=0)[::-1]
    with np.errstate(invalid="ignore"):
        sizes = np.where(known & (below <= (top + filled) / 2), top - filled, 0.0)
    size = np.where(known.sum(axis=0) >= _FEWEST, sizes.max(axis=0), np.nan)
    return Fall(profile, np.where(np.isfinite(size), size, np.nan))


def rise(values: Floats) -> Fall:
    """Return likewise how much a quantity grows from the output towards the input."""
    turned = fall(values[::-1])
    return Fall(turned.profile[::-1], turned.size)


def _without_single_ones(logs: Floats) -> Floats:
    """Return the median of each layer and its neighbours; one at an end may go on as these do."""
    if len(logs) <= _AROUND + 1:
        return logs
    middle = _median_of_three(logs[:-2], logs[1:-1], logs[2:])
    first, last = (_at_end(logs[end], middle[end], middle[inner]) for end, inner in ((0, 1), (-1, -2)))
    return np.concatenate([first[None], middle, last[None]])


def _median_of_three(one: Floats, two: Floats, three: Floats) -> Floats:
    """Return the median of those of three values that are numbers; NaN where none is.

    As np.nanmedian does, in a tenth of the time: a tab that follows a run asks for it again and again.
    """
    with np.errstate(invalid="ignore"):
        low, high = np.minimum(one, two), np.maximum(one, two)
        middle = np.maximum(low, np.minimum(high, three))
        gaps = np.isnan(middle)
        some = [values[gaps] for values in (one, two, three)]
        middle[gaps] = (np.fmin.reduce(some) + np.fmax.reduce(some)) / 2
    return middle


def _at_end(own: Floats, next_one: Floats, inner: Floats) -> Floats:
    """Return the median of a value at the end, its neighbour's, and what these lead to (Tukey's end-point rule)."""
    ordered = np.sort(np.stack([own, next_one, 3 * next_one - 2 * inner]), axis=0)
    return np.where(np.isfinite(ordered[2]), ordered[1], next_one)
