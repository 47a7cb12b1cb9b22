"""The route of the findings: over both loaders, with thresholds moved, and small."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tb_netviz_plugin.diagnosis import RULES, Beyond, Finding, Line, Remedy, Report, Severity
from tb_netviz_plugin.diagnosis.checking import Skipped
from tb_netviz_plugin.diagnosis.telling import tell, tell_thresholds
from tests.support.runs import HOSTILE_NAMES, write_run

KEYS = {
    "id", "rule", "title", "severity", "layers", "modules", "units", "first_step", "last_step", "message", "beyond",
    "evidence", "excluded", "remedies", "view",
}  # fmt: skip


def findings_of(answer, rule):
    every = [one for finding in answer["findings"] for one in (finding, *finding["consequences"])]
    return [one for one in every if one["rule"] == rule]


@pytest.fixture
def ill(tmp_path, open_logdir):
    """A run of three layers: NaN in the second from step 30 on, no gradient in the last."""
    layers = {name: {"weight": (4, 4)} for name in ("stem", "fc", "spare")}
    write_run(tmp_path / "run", layers=layers, steps=range(60), nan={"fc": range(30, 60)}, none={"spare": range(60)})
    return open_logdir(tmp_path)


def test_findings_name_the_layer_and_the_step(ill):
    answer = ill.json("findings", run="run")
    assert answer["revision"] == ill.json("run", run="run")["revision"]
    (nonfinite,) = findings_of(answer, "nonfinite")
    assert set(nonfinite) in (KEYS, KEYS | {"consequences"})
    assert (nonfinite["layers"], nonfinite["first_step"], nonfinite["last_step"]) == ([1], 30, 59)
    assert (nonfinite["severity"], nonfinite["title"]) == ("critical", "NaN or infinite values")
    assert nonfinite["beyond"] == {"label": nonfinite["beyond"]["label"], "measured": 1, "threshold": 0}
    (line,) = nonfinite["evidence"]
    assert line["steps"] == list(range(60))
    assert line["values"] == [0] * 30 + [1] * 30
    (unused,) = findings_of(answer, "unused_parameter")
    assert unused["layers"] == [2]
    assert all(remedy["text"] for remedy in unused["remedies"])


def test_the_worst_stands_first_and_nothing_is_said_twice(ill):
    answer = ill.json("findings", run="run")
    severities = [finding["severity"] for finding in answer["findings"]]
    assert severities == sorted(severities, key=["critical", "warning", "info"].index)
    assert answer["checks"] == len(RULES) - len(answer["not_checked"])
    told = [one["rule"] for kind in ("passed", "not_checked") for one in answer[kind]]
    assert len(told) == len(set(told))
    assert not {"nonfinite", "unused_parameter"} & set(told)
    assert all(one["reason"] and one["title"] for one in answer["not_checked"])


def test_what_was_not_recorded_is_not_checked_and_never_passed(tmp_path, open_logdir):
    write_run(tmp_path / "run", steps=range(1))
    answer = open_logdir(tmp_path).json("findings", run="run")
    reasons = {one["rule"]: one["reason"] for one in answer["not_checked"]}
    assert "2 records" in reasons["unused_parameter"]
    assert "unused_parameter" not in [one["rule"] for one in answer["passed"]]


def test_moved_thresholds_move_the_verdict_and_say_where_they_stand(ill):
    usual = ill.json("findings", run="run")
    assert findings_of(usual, "unused_parameter")
    assert all(one["value"] == one["default"] for one in usual["thresholds"])
    assert {(one["rule"], one["name"]) for one in usual["thresholds"]} == {
        (rule.id, one.name) for rule in RULES for one in rule.thresholds
    }
    moved = ill.json("findings", run="run", thresholds="unused_parameter.records:61")
    assert not findings_of(moved, "unused_parameter")
    assert "unused_parameter" in [one["rule"] for one in moved["passed"]]
    assert {(one["rule"], one["value"]) for one in moved["thresholds"] if one["value"] != one["default"]} == {
        ("unused_parameter", 61)
    }
    assert ill.json("findings", run="run") == usual


@pytest.mark.parametrize(
    ("thresholds", "words"),
    [
        ("unused_parameter.records", "rule.name:number"),
        ("unused_parameter.records:", "rule.name:number"),
        ("unused_parameter.records:many", "rule.name:number"),
        (",", "rule.name:number"),
        ("unused_parameter.records:nan", "must be from 2 to 1000"),
        ("unused_parameter.records:inf", "must be from 2 to 1000"),
        ("unused_parameter.records:1", "must be from 2 to 1000, got 1"),
        ("no_such.rule:1", "there is no threshold 'no_such.rule'; there are"),
    ],
)
def test_a_threshold_that_makes_no_sense_is_refused_in_words(ill, thresholds, words):
    status, kind, message = ill.error("findings", run="run", thresholds=thresholds)
    assert (status, kind) == (400, "bad_argument")
    assert words in message


def test_other_arguments_and_runs_are_refused(ill):
    assert ill.error("findings", run="run", threshold="x")[:2] == (400, "bad_argument")
    assert ill.error("findings", run="none")[:2] == (404, "not_found")


def test_hostile_names_come_as_they_are(tmp_path, open_logdir):
    layers = {name: {"weight": (4, 4)} for name in HOSTILE_NAMES}
    write_run(tmp_path / "run", layers=layers, nan={HOSTILE_NAMES[0]: range(5, 20)})
    (found,) = findings_of(open_logdir(tmp_path).json("findings", run="run"), "nonfinite")
    assert HOSTILE_NAMES[0] in found["message"]


def modelled(layers, points):
    """Return a finding for each of so many layers, with two lines of evidence each."""
    steps = np.arange(float(points))
    values = np.random.default_rng(0).lognormal(size=points)
    line = Line("norm", "gradient_norm", steps, values, threshold=1e-3)
    one = Finding(
        "nonfinite", Severity.WARNING, (0,), 1000.0, np.nan, "It is.", Beyond("x", np.inf, 0.5), (line, line),
        (Remedy("Do.", "it()"),), ("Not that.",),
    )  # fmt: skip
    return Report(tuple(replace(one, layers=(layer,)) for layer in range(layers)), (), (Skipped(RULES[1], "why"),))


def test_evidence_is_thinned_with_its_extremes_and_its_onset():
    (line, _) = tell(modelled(1, 2000))["findings"][0]["evidence"]
    values = modelled(1, 2000).findings[0].evidence[0].values
    assert len(line["steps"]) == len(line["values"]) <= 400
    assert {0, 999, 1000, 1999} <= set(line["steps"])
    assert max(line["values"]) == pytest.approx(values.max(), rel=1e-5)
    assert min(line["values"]) == pytest.approx(values.min(), rel=1e-5)


def test_a_report_of_300_layers_over_2000_points_stays_small():
    assert len(json.dumps(tell(modelled(300, 2000)))) < 1_500_000


def test_what_is_no_number_is_null_and_layers_can_be_named():
    (found,) = tell(modelled(1, 5), naming=lambda layer: f"fc{layer}")["findings"]
    assert found["layers"] == ["fc0"]
    assert (found["last_step"], found["beyond"]["measured"]) == (None, None)
    assert json.dumps([found, tell_thresholds({})], allow_nan=False)
