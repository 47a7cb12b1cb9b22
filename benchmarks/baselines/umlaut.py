"""UMLAUT (Schoop et al., CHI 2021), with the heuristics of its paper. An epoch of it is a tenth of the run."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from benchmarks.baselines.watched import Watched, said
from tb_netviz_plugin.reader import Run
from tests.diagnosis.scoring import Told

RATE_HIGH, RATE_LOW = 0.01, 1e-7
INPUT_RANGE = 1.0


def judge(run: Run) -> list[Told]:
    """Return what the heuristics say of a run."""
    watched = Watched(run)
    return [
        *watched.told("nonfinite", watched.spoiled),
        *_rates(watched),
        *_inputs(watched),
        *_outputs(watched),
        *_overfitting(watched),
        *_linear(watched),
    ]


def _rates(watched: Watched) -> list[Told]:
    found: list[Told] = []
    for rate in watched.case.curves("learning_rate")[:1]:
        found += said("lr_too_high", rate.steps, rate.values > RATE_HIGH)
        found += said("lr_too_low", rate.steps, rate.values < RATE_LOW)
    return found


def _inputs(watched: Watched) -> list[Told]:
    outputs = watched.case.outputs
    if outputs is None or not np.isfinite(outputs.inputs.mean).any() or np.nanmax(outputs.input_kind) < 2:
        return []
    beyond = (outputs.inputs.largest > INPUT_RANGE) | (outputs.inputs.smallest < -INPUT_RANGE)
    return said("input_unnormalised", outputs.steps, beyond)


def _outputs(watched: Watched) -> list[Told]:
    """A softmax ahead of a loss that has one: the only missing or double output that can be seen from without."""
    outputs = watched.case.outputs
    if outputs is None or outputs.criterion != "CrossEntropyLoss":
        return []
    shares = (outputs.outputs.smallest >= 0) & (np.abs(outputs.class_sum_largest - 1) < 1e-3)
    return said("wrong_output_or_loss", outputs.steps, shares)


def _overfitting(watched: Watched) -> list[Told]:
    """The loss held out rises over one evaluation while the training loss falls."""
    train, held_out = watched.train_loss, watched.val_loss
    if train is None or held_out is None or len(held_out.values) < 2:
        return []
    at = np.interp(held_out.steps, train.steps, train.values)
    return said("overfitting", held_out.steps[1:], (np.diff(held_out.values) > 0) & (np.diff(at) < 0))


def _linear(watched: Watched) -> list[Told]:
    """Two modules with weights follow one another with no activation function between."""
    kinds = [row.activation.kind for row in watched.case.network.activations]
    for first, second in pairwise(kinds):
        if first == second and first.startswith(("Linear", "Conv")):
            return said("missing_nonlinearity", watched.steps, np.ones(min(1, len(watched.steps)), np.bool_))
    return []
