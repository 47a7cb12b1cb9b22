"""DeepDiagnosis (Wardat et al., ICSE 2022), with the thresholds of its paper. An epoch of it is a tenth of the run."""

from __future__ import annotations

import numpy as np

from benchmarks.baselines.watched import Watched, said
from tb_netviz_plugin.analysis.records import Floats
from tb_netviz_plugin.reader import Run
from tests.diagnosis.scoring import Told

VANISHING = 1e-7
ZEROS = 0.7
SATURATED, SATURATED_SHARE = 5.0, 0.5
EPOCHS, PATIENCE = 10, 5


def judge(run: Run) -> list[Told]:
    """Return what the first symptom is, as it stops there."""
    watched = Watched(run)
    symptoms = [
        *watched.told("nonfinite", watched.spoiled),
        *watched.told_of_inputs("saturation", "", -SATURATED, SATURATED, SATURATED_SHARE),
        *_mostly_zero(watched),
        *watched.told("vanishing_gradient", watched.gradient_means < VANISHING),
        *_loss_stands(watched),
    ]
    return sorted(symptoms, key=lambda one: one.first_step or 0)[:1]


def _mostly_zero(watched: Watched) -> list[Told]:
    zeros = watched.case.numbers("activation_zero_fraction")
    for row, shares in zip(watched.case.network.activations, zeros, strict=True):
        if row.activation.kind.lower().startswith("relu") and (shares >= ZEROS).any():
            return said("dead_units", watched.case.activation_steps, shares >= ZEROS, (row.source,))
    return []


def _loss_stands(watched: Watched) -> list[Told]:
    """Neither the loss falls nor the accuracy rises over five epochs."""
    loss = watched.train_loss
    if loss is None or len(loss.values) < 2 * EPOCHS:
        return []
    means, ends = _epochs(loss.values), _epochs(loss.steps)
    stands = np.array([means[at] >= means[at - PATIENCE] for at in range(PATIENCE, len(means))])
    return said("loss_plateau", ends[PATIENCE:], stands)


def _epochs(values: Floats) -> Floats:
    length = len(values) // EPOCHS
    return np.asarray(values[: EPOCHS * length].reshape(EPOCHS, length).mean(axis=1))
