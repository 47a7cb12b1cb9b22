"""All rules together: which were checked, what follows from what, and a rule that fails."""

import dataclasses
import logging

import numpy as np
import pytest

from tb_netviz.reading import read_runs
from tb_netviz_plugin.analysis.network import unite
from tb_netviz_plugin.diagnosis import RULES, Beyond, Finding, Severity, check
from tb_netviz_plugin.diagnosis.causes import EFFECTS, EXACTLY_ZERO, SLOPELESS, fold
from tb_netviz_plugin.diagnosis.checking import told_apart
from tb_netviz_plugin.diagnosis.finding import Line
from tests.support.runs import dense_layers, describe, write_run


def finding(rule, first_step, severity=Severity.WARNING, last_step=100.0):
    return Finding(rule, severity, (0,), first_step, last_step, "It is so.", Beyond("it", 1.0, 0.0), (), ())


def network(*models):
    return unite([describe(dense_layers(2), model=model) for model in models or ("",)])


def rooted(*findings):
    """Return {cause: [what follows from it]} by rule."""
    return {one.rule: [below.rule for below in one.consequences] for one in fold(findings)}


def test_a_rule_that_fails_is_not_checked_and_stops_no_other(tmp_path, caplog):
    def fail(_case, _limits):
        raise ZeroDivisionError("out of luck")

    write_run(tmp_path / "run", steps=range(40))
    (run,) = read_runs(tmp_path)
    broken = dataclasses.replace(RULES[0], find=fail)
    with caplog.at_level(logging.ERROR):
        report = check(run, rules=(broken, *RULES[1:]))
    whole = check(run)
    (skipped,) = [one for one in report.skipped if one.rule is broken]
    assert skipped.reason == "the rule itself failed with ZeroDivisionError: out of luck"
    assert "out of luck" in caplog.text
    assert len(report.passed) == len([rule for rule in whole.passed if rule is not RULES[0]])


def test_where_causes_go_round_in_a_circle_the_earliest_is_the_root():
    rules = ("loss_oscillation", "loss_spike", "dead_units", "vanishing_gradient")
    severities = dict.fromkeys(rules, Severity.WARNING) | {"dead_units": Severity.CRITICAL}
    assert all(effect in EFFECTS[cause] for cause, effect in zip(rules, (*rules[1:], rules[0]), strict=True))
    for first in range(4):
        steps = {rule: 10.0 if rule == rules[first] else 10.1 for rule in rules}
        (root,) = fold([finding(rule, steps[rule], severities[rule]) for rule in rules])
        assert root.rule == rules[first]
        assert {one.rule for one in root.consequences} == set(rules) - {root.rule}


@pytest.mark.parametrize(("first", "cause"), [(0.8, "lr_too_high"), (0.2, "over_regularised")])
def test_a_rate_that_replaces_weights_at_once_and_not_their_decay_made_them_small(first, cause):
    ratios = Line("update : weight", "update_ratio", np.arange(4.0), np.array([np.nan, first, 0.1, 0.9]))
    steep = dataclasses.replace(finding("lr_too_high", 0.0), evidence=(ratios,))
    decayed = finding("over_regularised", 0.0)
    (root,) = fold([steep, decayed])
    assert root.rule == cause


@pytest.mark.parametrize(
    ("lowest", "causes"), [(0.66, {"missing_nonlinearity"}), (0.4, {"missing_nonlinearity", "overfitting"})]
)
def test_what_is_linear_learns_by_heart_where_nothing_else_was_learned(lowest, causes):
    line = Line("loss/val", "loss/val", np.arange(4.0), np.array([0.7, lowest, lowest, 0.9]))
    risen = dataclasses.replace(finding("overfitting", 10.0), evidence=(line,))
    assert set(rooted(finding("missing_nonlinearity", 0.0), risen)) == causes


def test_a_loss_without_a_slope_is_why_only_a_decay_moves_weights_and_no_other_plateau_is():
    plateau = finding("loss_plateau", 0.0)
    flat = dataclasses.replace(plateau, subject=SLOPELESS)
    for rule in ("lr_too_low", "over_regularised", "underfitting"):
        assert rooted(finding(rule, 0.0), flat) == {"loss_plateau": [rule]}
        assert rooted(finding(rule, 0.0), plateau) == {rule: ["loss_plateau"]}
    assert rooted(finding("lr_too_high", 0.0), flat) == {"lr_too_high": ["loss_plateau"]}


@pytest.mark.parametrize(
    ("cause", "effect"),
    [
        ("input_unnormalised", "lr_too_low"),
        ("low_precision_underflow", "dead_units"),
        ("redundant_units", "class_imbalance"),
    ],
)
def test_what_follows_from(cause, effect):
    assert rooted(finding(effect, 0.0), finding(cause, 0.0)) == {cause: [effect]}


def test_dead_units_cut_a_gradient_off_only_where_nearly_all_are():
    vanished = finding("vanishing_gradient", 0.0)
    nothing_left = dataclasses.replace(vanished, subject=EXACTLY_ZERO)
    some, nearly_all = (finding("dead_units", 0.0, severity) for severity in (Severity.WARNING, Severity.CRITICAL))
    assert rooted(some, vanished) == {"vanishing_gradient": ["dead_units"]}
    assert rooted(nearly_all, vanished) == {"dead_units": ["vanishing_gradient"]}
    assert rooted(some, nothing_left) == {"dead_units": ["vanishing_gradient"]}


@pytest.mark.parametrize("model", ["", "critic:"])
def test_gradients_that_are_gone_explain_what_lacks_one(model):
    gone = dataclasses.replace(finding("layer_not_training", 0), subject=f"{model}gone")
    assert rooted(finding("unused_parameter", 0), gone) == {"layer_not_training": ["unused_parameter"]}
    other = dataclasses.replace(finding("unused_parameter", 0), layers=(1,))
    assert rooted(other, gone) == {"unused_parameter": [], "layer_not_training": []}


def test_items_that_stay_alike_are_the_cause_of_a_gradient_that_comes_back():
    alike, vanished = finding("oversmoothing", 0), finding("vanishing_gradient", 0, last_step=60)
    assert rooted(vanished, alike) == {"oversmoothing": ["vanishing_gradient"]}
    assert rooted(dataclasses.replace(vanished, last_step=90), alike) == {"vanishing_gradient": ["oversmoothing"]}


def test_weights_that_decay_follow_from_items_that_are_alike_unless_nothing_is_left_of_them():
    alike, decayed = finding("oversmoothing", 0), finding("over_regularised", 0)
    less, nothing = (dataclasses.replace(decayed, beyond=Beyond("norm", share, 0.7)) for share in (0.5, 0.01))
    assert rooted(alike, less) == {"oversmoothing": ["over_regularised"]}
    assert rooted(alike, nothing) == {"over_regularised": ["oversmoothing"]}
    shares = Line("share that varies", "units", np.arange(2.0), np.array([0.1, 0.01]), 0.2)
    assert rooted(dataclasses.replace(alike, evidence=(shares,)), nothing) == {"oversmoothing": ["over_regularised"]}


def test_causes_and_effects_are_rules():
    known = {rule.id for rule in RULES}
    assert {*EFFECTS, *(effect for effects in EFFECTS.values() for effect in effects)} <= known


def test_what_follows_stands_below_its_cause_through_a_chain():
    chain = (finding("loss_plateau", 30), finding("vanishing_gradient", 20), finding("saturation", 10))
    assert rooted(*chain) == {"saturation": ["vanishing_gradient", "loss_plateau"]}


def test_classes_are_overlooked_by_what_learns_nothing():
    for cause in ("dead_units", "vanishing_gradient", "lr_too_low"):
        assert rooted(finding(cause, 0), finding("class_imbalance", 0)) == {cause: ["class_imbalance"]}
    twins = dataclasses.replace(finding("redundant_units", 0), beyond=Beyond("share of units with a twin", 0.6, 0.5))
    assert rooted(twins, finding("class_imbalance", 0)).keys() >= {"class_imbalance"}
    harmless = finding("dead_units", 0, Severity.INFO)
    assert rooted(harmless, finding("class_imbalance", 0)).keys() >= {"class_imbalance"}


def test_what_came_first_does_not_follow():
    assert rooted(finding("loss_spike", 0), finding("nonfinite", 50)) == {"loss_spike": [], "nonfinite": []}


def test_a_failure_shows_from_the_start_though_its_cause_does_not():
    assert rooted(finding("loss_plateau", 0), finding("saturation", 45)) == {"saturation": ["loss_plateau"]}
    assert rooted(finding("loss_plateau", 0), finding("saturation", 55)) == {"loss_plateau": [], "saturation": []}
    assert rooted(finding("loss_plateau", 0), finding("loss_spike", 45)) == {"loss_plateau": [], "loss_spike": []}


def test_a_layer_that_no_optimizer_holds_follows_from_nothing():
    alone, high = (
        dataclasses.replace(finding("layer_not_training", 20), subject="no_optimizer"),
        finding("lr_too_high", 10),
    )
    assert rooted(alone, high) == {"lr_too_high": [], "layer_not_training": []}
    assert rooted(dataclasses.replace(alone, subject="unknown"), high) == {"lr_too_high": ["layer_not_training"]}


def test_the_worst_comes_first_and_a_cause_is_as_bad_as_what_follows():
    spare, fits = finding("redundant_units", 0, Severity.INFO), finding("overfitting", 10)
    mild, grave = finding("saturation", 20), finding("vanishing_gradient", 30, Severity.CRITICAL)
    assert [one.rule for one in fold((spare, fits, mild, grave))] == ["saturation", "overfitting", "redundant_units"]


def test_what_is_harmless_explains_nothing_worse():
    mild, grave = finding("saturation", 20, Severity.INFO), finding("vanishing_gradient", 30, Severity.CRITICAL)
    assert rooted(mild, grave) == {"saturation": [], "vanishing_gradient": []}


def test_nothing_at_all():
    assert fold(()) == []


def test_an_id_stays_where_a_finding_gets_better_or_spreads():
    (ill,) = told_apart([finding("dead_units", 3, Severity.CRITICAL)], network())
    (better,) = told_apart([finding("dead_units", 3, Severity.INFO)], network())
    (wider,) = told_apart([dataclasses.replace(finding("dead_units", 3), layers=(1, 0))], network())
    assert ill.id == better.id == wider.id == "dead_units"


def test_ids_are_unique_though_a_rule_tells_of_a_layer_twice():
    many, few = finding("dead_units", 3), finding("dead_units", 5, Severity.INFO)
    named = [dataclasses.replace(finding("redundant_units", 3), subject=name) for name in ("fc1", "fc2")]
    told = told_apart([many, few, *named], network())
    assert [one.id for one in told] == ["dead_units", "dead_units:#2", "redundant_units:fc1", "redundant_units:fc2"]


def test_ids_tell_models_apart():
    first, second = finding("lr_too_high", 3), dataclasses.replace(finding("lr_too_high", 3), layers=(2,))
    of_all = dataclasses.replace(finding("loss_spike", 3), layers=())
    told = told_apart([second, first, of_all], network("gen", "disc"))
    assert [one.id for one in told] == ["lr_too_high:disc", "lr_too_high:gen", "loss_spike"]


def test_the_ids_of_a_whole_report_are_unique(tmp_path):
    write_run(tmp_path / "run", steps=range(40), nan={"blocks.0": range(20, 40)}, none={"blocks.1": range(40)})
    (run,) = read_runs(tmp_path)
    ids = [one.id for one in check(run).every]
    assert len(ids) > 1
    assert len(set(ids)) == len(ids)
