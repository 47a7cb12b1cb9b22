"""What counts as right, and how the counts are put together."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from tb_netviz_plugin.diagnosis import Severity
from tests.diagnosis.scenario import TUNING, Scenario, Truth
from tests.diagnosis.scoring import Told, compare, score, wilson

SICK = Scenario("sick", "mlp", TUNING, lambda _trial: None, ("dead_units", "poor_init"), ("loss_spike",))
WELL = Scenario("well", "mlp", TUNING, lambda _trial: None)
RUN = SimpleNamespace(listing=SimpleNamespace(last_step=100), grid=SimpleNamespace(steps=np.arange(101)))
TRUTH = Truth(("fc1", "fc2"), 50)


def judged(*told, scenario=SICK, truth=TRUTH):
    return compare(scenario, 0, truth, RUN, told)


def told(rule, layers=("fc1",), first_step=50, severity=Severity.WARNING):
    return Told(rule, severity, layers, first_step)


def test_a_rule_that_names_the_cause_is_a_hit():
    assert judged(told("dead_units")).hits
    assert judged(told("poor_init")).hits
    assert not judged(told("vanishing_gradient")).hits


def test_what_is_told_lightly_is_no_hit_and_no_false_alarm():
    outcome = judged(told("dead_units", severity=Severity.INFO), told("saturation", severity=Severity.INFO))

    assert not outcome.hits
    assert not outcome.false_alarms


def test_a_wrong_rule_is_a_false_alarm_and_one_that_is_right_as_well_is_none():
    assert judged(told("saturation")).false_alarms
    assert not judged(told("loss_spike")).false_alarms
    assert judged(told("dead_units"), scenario=WELL, truth=None).false_alarms


@pytest.mark.parametrize(("layers", "right"), [(("fc2", "fc9"), True), (("fc9", "fc1"), False), ((), False)])
def test_the_layer_that_is_blamed_first_counts(layers, right):
    assert judged(told("dead_units", layers)).right_layer is right


def test_a_fault_of_the_whole_network_has_no_layer_to_blame():
    assert judged(told("dead_units"), truth=Truth((), 50)).right_layer is None


@pytest.mark.parametrize(("step", "right"), [(40, True), (39, False), (60, True), (61, False), (None, False)])
def test_an_onset_may_be_missed_by_a_tenth_of_the_run(step, right):
    assert judged(told("dead_units", first_step=step)).right_onset is right


def test_a_fault_that_comes_slowly_has_a_range_of_onsets():
    assert judged(told("dead_units", first_step=75), truth=Truth((), 50, 70)).right_onset


def test_counts_are_by_run_and_by_rule():
    outcomes = [
        judged(told("dead_units"), told("saturation")),
        judged(),
        judged(told("saturation"), scenario=WELL, truth=None),
        judged(scenario=WELL, truth=None),
    ]

    total, dead, saturation = score(outcomes), score(outcomes, "dead_units"), score(outcomes, "saturation")

    assert (total.recall.good, total.recall.of) == (1, 2)
    assert (total.precision.good, total.precision.of) == (1, 3)
    assert (total.healthy.good, total.healthy.of) == (1, 2)
    assert (dead.recall.of, dead.precision.good, dead.precision.of, dead.healthy.good) == (2, 1, 1, 2)
    assert (saturation.recall.of, saturation.precision.good, saturation.precision.of) == (0, 0, 2)


def test_the_interval_is_wilsons():
    assert wilson(9, 10) == pytest.approx((0.5958, 0.9821), abs=1e-4)  # Brown, Cai and DasGupta 2001, formula (4).
    assert wilson(0, 5)[0] == 0.0
    assert wilson(5, 5)[1] == 1.0
