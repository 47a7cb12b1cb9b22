"""Short trainings, each with the finding, layer and onset that it ought to have, or with none.

All are of those that rules may be tuned on; `python -m benchmarks.diagnosis` judges all the others too.
"""

from __future__ import annotations

import pytest

from tb_netviz_plugin.diagnosis import RULES
from tests.diagnosis.listening import Trainings
from tests.diagnosis.scenario import TUNING, Scenario, Use
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
    assert all(one.use is TUNING for one in CHOSEN)


def test_names_and_kinds_are_as_they_should_be():
    every = (*FAULTY, *HEALTHY)

    assert len({one.name for one in every}) == len(every)
    assert all(one.rules for one in FAULTY)
    assert not any(one.rules for one in HEALTHY)


@pytest.mark.parametrize("use", Use)
def test_there_are_enough_to_tune_on_and_to_report_on(use: Use):
    faulty, healthy = (sum(one.use is use for one in part) for part in (FAULTY, HEALTHY))

    assert faulty + healthy >= 40  # Of new ones half may be opened at once: docs/decisions/0013.
    assert 0.3 < faulty / (faulty + healthy) < 0.7  # Two of each kind of fault come with half as many healthy ones.


def test_each_rule_has_scenarios_to_tune_on_and_most_have_some_to_report_on():
    tuned, reported = ({one.rule for one in FAULTY if one.use is use} for use in Use)

    assert tuned == {rule.id for rule in RULES}
    assert len(reported) >= 0.6 * len(RULES)
