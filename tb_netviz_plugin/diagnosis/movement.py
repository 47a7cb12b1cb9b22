"""How far the weights of a model move, and how large its gradient is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tb_netviz_plugin.analysis.records import Bools, Floats
from tb_netviz_plugin.analysis.series import nanmedian
from tb_netviz_plugin.diagnosis.case import Case, Curve
from tb_netviz_plugin.schema.description import OptimizerGroup

_BEYOND_UPDATES = 1.2
"""Factor over the updates in between up to which a change of a norm may come of them, as far as those are known."""

_ADDED = ("SGD", "Adam", "NAdam", "RAdam", "Adamax", "Adagrad", "Adadelta", "RMSprop")
"""Optimizers that add the decay to the gradient, and then scale both together."""

_ABOUT_ZERO = 0.02
"""By how much a matrix scales independent inputs, below which any step may well rewrite it: it began at zero."""

JUMP = 30.0
"""Factor of a gradient over its past from which on it, and not the learning rate, is what made a step large."""

_BACKBONE = 0.5
"""Share of a model's elements, and of its layers, from which on, where they lie next to the input, a head alone may be
meant to train."""

RESOLUTION = {"bfloat16": 2.0**-8, "float16": 2.0**-11, "float8_e4m3fn": 2.0**-4, "float8_e5m2": 2.0**-3}
"""Half the gap between 1 and the next number of formats of few bits: a weight takes on no change that is smaller."""


@dataclass(frozen=True, slots=True)
class Movement:
    """The trainable matrices of a model together, at each of T records.

    Biases and scales are left out: they begin at zero, or hold few numbers, and may well be rewritten by a step. So may
    matrices that began at zero, as the second one of an adapter, as long as they are next to it.

    Attributes:
        ratios: Median over the matrices of the norm of an update over that of the weights, [T].
        gradient: Norm of the gradient of the whole model, [T].
        agreement: Median over the matrices of the cosine with the gradient of the step before, [T].
        steps_each: Steps that each record stands for, [T].
    """

    ratios: Floats
    gradient: Floats
    agreement: Floats
    steps_each: Floats

    @property
    def path(self) -> float:
        """How far the weights went in all, over their norm: at most, since steps may undo each other."""
        return float(np.nansum(self.ratios * self.steps_each))


def movement(case: Case, layers: Sequence[int]) -> Movement:
    """Return how the weights of these layers moved."""
    return case.once(("movement", tuple(layers)), lambda: _movement(case, layers))


def _movement(case: Case, layers: Sequence[int]) -> Movement:
    layers = stepped(case, layers)
    rows = matrices(case, layers)
    steps = case.steps
    return Movement(
        ratios=_median(_ratios(case, rows)),
        gradient=total(case.numbers("gradient_norm")[list(layers)]),
        agreement=_median(case.of_parameters("gradient_cosine")[rows]),
        steps_each=np.diff(steps, prepend=steps[0] - 1) if steps.size else steps,
    )


def _ratios(case: Case, rows: Sequence[int]) -> Floats:
    """Return the norm of an update over that of the weights of matrices, [M, T]; of those about zero where all are."""
    ratios = case.of_parameters("update_ratio")[rows]
    outputs = np.array([case.network.parameters[row].parameter.shape[0] for row in rows], np.float64)
    with np.errstate(invalid="ignore"):
        grown = case.column("weight_norm")[rows] >= _ABOUT_ZERO * np.sqrt(outputs)[:, None]
    known = np.where(grown, ratios, np.nan)
    return np.where(np.isfinite(known).any(axis=0), known, ratios) if rows else ratios


def stepped(case: Case, layers: Sequence[int]) -> list[int]:
    """Return the layers that an optimizer holds a part of, or all where it is not known of any.

    Gradients of the others are seldom reset, and add up.
    """
    parameters = case.network.parameters
    held = [
        layer
        for layer in layers
        if any(parameters[row].group is not None for row in case.network.layers[layer].parameters)
    ]
    return held or list(layers)


def is_backbone(case: Case, layers: Sequence[int], some: Sequence[int]) -> bool:
    """Whether `some` of a model's layers, in order, are a backbone, beside which a head alone may be meant to train."""
    elements = [sum(case.network.layers[layer].elements for layer in part) for part in (some, layers)]
    most = len(some) >= _BACKBONE * len(layers) and elements[0] >= _BACKBONE * elements[1]
    return most and list(some) == list(layers[: len(some)])


def matrices(case: Case, layers: Sequence[int]) -> list[int]:
    """Return the rows of the trainable parameters of these layers that have more than one axis."""
    held = [row for layer in layers for row in case.network.layers[layer].parameters]
    about = {row: case.network.parameters[row].parameter for row in held}
    return [row for row in held if not about[row].frozen and len(about[row].shape) > 1]


def set_from_outside(case: Case, layers: Sequence[int]) -> Bools:
    """Return before which records, [T], a matrix changed by more than its updates: something else wrote it."""
    rows = matrices(case, layers)
    norms, updates, steps = case.column("weight_norm")[rows], case.column("update_norm")[rows], case.steps
    written = np.zeros(len(steps), np.bool_)
    if rows and steps.size > 1:
        reach = np.fmax(updates[:, 1:], updates[:, :-1]) * np.diff(steps)
        written[1:] = (np.abs(np.diff(norms)) > _BEYOND_UPDATES * reach).any(axis=0)
    return written


def dtype_of(case: Case, row: int) -> str:
    """Return the format that a parameter is stored in, as "float32"."""
    return case.network.parameters[row].parameter.dtype.removeprefix("torch.")


def _median(values: Floats) -> Floats:
    return nanmedian(values) if len(values) else np.full(values.shape[1], np.nan)


def total(norms: Floats) -> Floats:
    """Return the norm of all layers together, [T], of that of each, [L, T]; NaN where none has one."""
    known = np.isfinite(norms).any(axis=0)
    return np.where(known, np.sqrt(np.nansum(np.square(norms), axis=0)), np.nan)


def decay_over_gradient(case: Case, layers: Sequence[int]) -> Floats | None:
    """Return what decay adds to the gradient over that, the median of the matrices, [T]; None where it adds nothing."""
    group = group_of(case, layers)
    decay = group.setting("weight_decay") if group is not None and group.optimizer in _ADDED else None
    rows = matrices(case, layers)
    if group is None or not decay or group.setting("decoupled_weight_decay") or not rows or not case.steps.size:
        return None
    gradients = case.of_parameters("gradient_norm")[rows]
    ratios = np.full(gradients.shape, np.nan)
    np.divide(decay * case.column("weight_norm")[rows], gradients, out=ratios, where=gradients > 0)
    return nanmedian(ratios)


def group_of(case: Case, layers: Sequence[int]) -> OptimizerGroup | None:
    """Return the optimizer group that holds the first of these layers' parameters that has one."""
    for layer in layers:
        for row in case.network.layers[layer].parameters:
            group = case.network.parameters[row].group
            if group is not None:
                return case.network.groups[group][1]
    return None


def learning_rate(case: Case, layers: Sequence[int]) -> Curve | None:
    """Return the learning rate of the first of these layers' groups that has one on record."""
    models = {case.network.layers[layer].model for layer in layers}
    for layer in layers:
        for row in case.network.layers[layer].parameters:
            group = case.network.parameters[row].group
            if group is not None and (curve := rate_of_group(case, group)) is not None:
                return curve
    curves = case.curves("learning_rate")
    return curves[0] if curves and len(models) == 1 and len(case.network.models) == 1 else None


def rate_of_group(case: Case, group: int) -> Curve | None:
    """Return the learning rate of a group of the network."""
    return curve_of_group(case, "learning_rate", group)


def curve_of_group(case: Case, role: str, group: int) -> Curve | None:
    """Return the scalar of that role that is of a group of the network: its name ends in the place of the group."""
    model = case.network.groups[group][0]
    groups = [index for index, (owner, _) in enumerate(case.network.groups) if owner == model]
    curves = [curve for curve in case.curves(role) if _of_model(case, curve, model)]
    if len(curves) == 1 and len(groups) == 1:
        return curves[0]
    place = str(groups.index(group))
    return next((curve for curve in curves if curve.name.rpartition("/")[2] == place), None)


def _of_model(case: Case, curve: Curve, model: str) -> bool:
    return len(case.network.models) == 1 or f"/{model}/" in curve.name
