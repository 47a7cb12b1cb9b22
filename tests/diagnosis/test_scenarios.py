"""Short trainings, each with the finding, layer and onset that it ought to have, or with none.

All are of the half that rules may be tuned on; `python -m benchmarks.diagnosis` judges all the others too.
"""

from __future__ import annotations

import pytest

from tb_netviz_plugin.diagnosis import RULES
from tests.diagnosis.listening import Trainings
from tests.diagnosis.scenario import TUNING, Scenario
from tests.diagnosis.scoring import compare, told_by
from tests.diagnosis.suite import FAULTY, HEALTHY

SELECTED = (
    "nan-logarithm-mlp",
    "vanishing-sigmoid-mlp",
    "exploding-rnn",
    "dead-nodes-gcn",
    "copies-gcn",
    "start-zeros-gcn",
    "high-adam-cnn",
    "low-adam-mlp",
    "kept-adam-cnn",
    "clipped-gru",
    "still-left-out-mlp",
    "unused-head-mlp",
    "jumps-shard-cnn",
    "by-heart-transformer",
    "coarse-bfloat16-mlp",
    "scale-patients-mlp",
    "few-cnn",
    "linear-cnn",
    "output-sigmoid-mlp",
    "healthy-cosine-mlp",
    "healthy-converged-mlp",
    "healthy-scaler-mlp",
    "healthy-gan-mlp",
    "healthy-zero-gamma-cnn",
)
CHOSEN = [one for one in (*FAULTY, *HEALTHY) if one.name in SELECTED]


@pytest.mark.parametrize("scenario", CHOSEN, ids=lambda one: one.name)
def test_what_is_told_is_right(scenario: Scenario, trainings: Trainings):
    run, truth, _ = trainings.of(scenario)

    outcome = compare(scenario, 0, truth, run, told_by(run))

    assert not outcome.false_alarms
    if truth is not None:
        assert outcome.hits, f"{scenario.rules} was not found"
        assert outcome.right_layer is not False, outcome.hits[0]
        assert outcome.right_onset, outcome.hits[0]


def test_what_is_selected_may_be_tuned_on():
    assert len(CHOSEN) == len(SELECTED)
    assert all(one.half is TUNING for one in CHOSEN)


def test_halves_and_names_are_as_they_should_be():
    every = (*FAULTY, *HEALTHY)

    assert len({one.name for one in every}) == len(every) >= 120
    assert all(one.rules for one in FAULTY)
    assert not any(one.rules for one in HEALTHY)
    for part in (FAULTY, HEALTHY):
        tuned = sum(one.half is TUNING for one in part)
        assert 0.4 < tuned / len(part) < 0.6


def test_each_rule_has_scenarios_in_both_halves():
    for rule in RULES:
        halves = {one.half for one in FAULTY if one.rule == rule.id}
        assert len(halves) == 2, rule.id
