"""Healthy MLPs, some of which look ill."""

from __future__ import annotations

from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR

from tests.diagnosis.data import digits
from tests.diagnosis.networks import mlp
from tests.diagnosis.proof import learned
from tests.diagnosis.scenario import REPORTING, TUNING, Scenario, Trial
from tests.diagnosis.training import fit


def plain(trial: Trial) -> None:
    """Adam on digits."""
    data = digits(trial.seed)
    model = mlp((64, 48, 48, 10))
    fit(trial, model, data.train.batches(64), validation=data.held_out)
    learned(model, data.held_out, 0.93)


def cosine_to_zero(trial: Trial) -> None:
    """At the end nothing moves, as it should."""
    data = digits(trial.seed)
    model = mlp((64, 48, 48, 10))
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    fit(
        trial,
        model,
        data.train.batches(64),
        optimizer,
        schedule=CosineAnnealingLR(optimizer, 240),
        validation=data.held_out,
    )
    learned(model, data.held_out, 0.93)


def warm_up(trial: Trial) -> None:
    """Next to nothing moves at first, as it should."""
    data = digits(trial.seed)
    model = mlp((64, 48, 48, 10))
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    fit(
        trial, model, data.train.batches(64), optimizer, schedule=LambdaLR(optimizer, lambda step: min(1.0, step / 100))
    )
    learned(model, data.held_out, 0.93)


SCENARIOS = (
    Scenario("healthy-adam-mlp", "mlp", TUNING, plain),
    Scenario("healthy-cosine-mlp", "mlp", TUNING, cosine_to_zero),
    Scenario("healthy-warm-up-mlp", "mlp", REPORTING, warm_up),
)
