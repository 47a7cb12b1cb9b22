"""Built-in rules of SageMaker Debugger, with their default parameters, from its documentation."""

from __future__ import annotations

import numpy as np

from benchmarks.baselines.watched import Watched, said
from tb_netviz_plugin.reader import Run
from tb_netviz_plugin.schema.description import Response
from tests.diagnosis.scoring import Told

VANISHING = 1e-7
INACTIVE, INACTIVE_UNITS = 0.01, 0.5
TANH, SIGMOID = (-9.4999, 9.4999), (-23.0, 16.99999)
LARGE_UPDATE, SMALL_UPDATE = 10.0, 1e-8
UNCHANGED, UNCHANGED_STEPS = 1e-5, 3
LOSS_STEPS, LOSS_PERCENT = 10, 0.1
OVERFIT = 0.1
VARIANCES, INITIAL_STEPS, SPREAD = 10.0, 10, 1e-3
INPUT_MEAN = 0.2
IMBALANCE, CLASS_SAMPLES = 10.0, 500


def judge(run: Run) -> list[Told]:
    """Return what the rules say of a run."""
    watched = Watched(run)
    return [
        *watched.told("nonfinite", watched.spoiled),
        *watched.told("vanishing_gradient", watched.gradient_means < VANISHING),
        *watched.told_of_units("dead_units", Response.RECTIFIER, "fired", INACTIVE, INACTIVE_UNITS),
        *watched.told_of_inputs("saturation", "tanh", *TANH, INACTIVE_UNITS),
        *watched.told_of_inputs("saturation", "sigmoid", *SIGMOID, INACTIVE_UNITS),
        *watched.told("lr_too_high", watched.update_ratios > LARGE_UPDATE),
        *watched.told("lr_too_low", watched.update_ratios < SMALL_UPDATE),
        *_unchanged(watched),
        *_poor_start(watched),
        *_loss_not_decreasing(watched),
        *_overfit(watched),
        *_not_normalised(watched),
        *_imbalance(watched),
    ]


def _unchanged(watched: Watched) -> list[Told]:
    still = watched.update_ratios < UNCHANGED
    for _ in range(UNCHANGED_STEPS - 1):
        still[:, 1:] &= still[:, :-1].copy()
    still[:, : UNCHANGED_STEPS - 1] = False
    return watched.told("layer_not_training", still)


def _poor_start(watched: Watched) -> list[Told]:
    """At first, variances of weights differ tenfold, or the 5th and 95th percentile of gradients are close."""
    elements = np.array([layer.elements for layer in watched.case.network.layers], np.float64)
    norms = watched.case.numbers("weight_norm")[:, :INITIAL_STEPS]
    variances = norms**2 / elements[:, None]
    wide = np.nanmax(variances, axis=0, initial=0) > VARIANCES * np.nanmin(variances, axis=0, initial=np.inf)
    roots = watched.gradient_norms[:, :INITIAL_STEPS] / np.sqrt(elements)[:, None]
    narrow = (2 * 1.645 * roots < SPREAD).any(axis=0)  # Of a normal distribution.
    return said("poor_init", watched.steps, wide | narrow)


def _loss_not_decreasing(watched: Watched) -> list[Told]:
    loss = watched.train_loss
    if loss is None or len(loss.values) <= LOSS_STEPS:
        return []
    before, now = loss.values[:-LOSS_STEPS], loss.values[LOSS_STEPS:]
    stands = (before - now) < LOSS_PERCENT / 100 * np.abs(before)
    return said("loss_plateau", loss.steps[LOSS_STEPS:], stands)


def _overfit(watched: Watched) -> list[Told]:
    train, held_out = watched.train_loss, watched.val_loss
    if train is None or held_out is None:
        return []
    at = np.interp(held_out.steps, train.steps, train.values)
    with np.errstate(divide="ignore", invalid="ignore"):  # Of a loss of zero, no rate.
        return said("overfitting", held_out.steps, (held_out.values - at) / at > OVERFIT)


def _not_normalised(watched: Watched) -> list[Told]:
    outputs = watched.case.outputs
    if outputs is None or not np.isfinite(outputs.inputs.mean).any() or np.nanmax(outputs.input_kind) < 2:
        return []
    return said("input_unnormalised", outputs.steps, np.abs(outputs.inputs.mean) > INPUT_MEAN)


def _imbalance(watched: Watched) -> list[Told]:
    classes = watched.case.classes
    if classes is None:
        return []
    seen = classes.targets.cumsum(axis=1)
    uneven = (seen.max(axis=0) > IMBALANCE * seen.min(axis=0)) & (seen.sum(axis=0) >= CLASS_SAMPLES)
    return said("class_imbalance", classes.steps, uneven)
