"""`tb-netviz units`, run as a user runs it, on files as they lie on the disk."""

import csv
import io
import json

import numpy as np
import pytest

from tb_netviz.cli import main
from tb_netviz_plugin.schema.description import Activation, Response
from tests.support.apps import parse_json
from tests.support.outputs import unit_rows
from tests.support.runs import HOSTILE_NAMES, UNIT_NAMES, RunFile, describe, write_run
from tests.support.unitruns import END, OFF, Modelled, all_states, write_modelled

NETWORK = all_states(wide=64)
MASS = [unit for unit in range(64) if unit % 8 < 5]


@pytest.fixture(scope="module")
def log_dir(tmp_path_factory):
    """A folder with a run that has units in every state."""
    folder = tmp_path_factory.mktemp("runs")
    write_modelled(folder / "all", NETWORK, steps=END, frozen=["stem"], seed=4)
    return folder


@pytest.fixture
def units(capsys):
    """Runs the command and returns exit status, standard output and standard error."""

    def run(*arguments):
        try:
            status = main(["units", *map(str, arguments)])
        except SystemExit as end:  # What argparse refuses.
            status = int(end.code or 0)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def as_json(units, *arguments):
    status, out, err = units(*arguments, "--format", "json")
    assert (status, err) == (0, "")
    return parse_json(out)


def test_json_has_every_unit_in_order(units, log_dir):
    (run,) = as_json(units, log_dir)["runs"]
    assert run["run"] == "all"
    assert [(unit["layer"], unit["unit"]) for unit in run["units"]] == [
        (layer.layer, unit) for layer in NETWORK for unit in range(layer.units)
    ]
    assert {tuple(unit) for unit in run["units"]} == {
        ("layer", "activation", "unit", "state", "since_step", "samples", "fired", "twin", "opposite")
    }
    (dead,) = [unit for unit in run["units"] if (unit["layer"], unit["unit"]) == ("blocks.1.conv", 2)]
    assert dead["activation"] == "blocks.1.relu"
    assert (dead["state"], dead["fired"]) == ("dead", 0)
    assert 900 <= dead["since_step"] <= 912
    assert dead["samples"] == 16 * (END - dead["since_step"])
    assert {(unit["twin"], unit["opposite"]) for unit in run["units"]} == {(None, False)}


def test_a_layer_and_a_state_can_be_chosen(units, log_dir):
    (run,) = as_json(units, log_dir, "--layer", "fc1", "--state", "dead")["runs"]
    assert [unit["unit"] for unit in run["units"]] == MASS
    (run,) = as_json(units, log_dir, "--layer", "fc1.act", "--state", "dead")["runs"]
    assert [unit["unit"] for unit in run["units"]] == MASS
    (run,) = as_json(units, log_dir, "--state", "frozen")["runs"]
    assert [(unit["layer"], unit["unit"], unit["since_step"]) for unit in run["units"]] == [
        ("stem", 3, 0),
        ("stem", 7, 0),
    ]
    (run,) = as_json(units, log_dir, "--state", "never_run")["runs"]
    assert {(unit["layer"], unit["samples"], unit["fired"], unit["since_step"]) for unit in run["units"]} == {
        ("aux", 0, 0, None)
    }


def test_more_samples_can_be_asked_for(units, log_dir):
    usual = as_json(units, log_dir, "--state", "dead")["runs"][0]["units"]
    strict = as_json(units, log_dir, "--state", "dead", "--samples", 35_000)["runs"][0]["units"]
    assert strict == [unit for unit in usual if unit["samples"] >= 35_000]
    assert 0 < len(strict) < len(usual)


def test_alive_units_tell_how_often_they_fired(units, log_dir):
    (run,) = as_json(units, log_dir, "--layer", "head")["runs"]
    for unit in run["units"]:
        # A linear output is above zero for about half of the samples, of which every fourth is counted.
        assert unit["state"] == "alive"
        assert unit["samples"] == 16 * END / 4
        assert 0 < unit["fired"] < unit["samples"]


def test_csv_has_the_same(units, log_dir):
    status, out, _ = units(log_dir, "--format", "csv")
    assert status == 0
    rows = list(csv.DictReader(io.StringIO(out)))
    (run,) = as_json(units, log_dir)["runs"]
    assert rows == [
        {"run": "all"} | {name: "" if value is None else str(value) for name, value in unit.items()}
        for unit in run["units"]
    ]


def test_text_counts_the_states_and_lists_the_dead(units, log_dir):
    status, out, _ = units(log_dir)
    assert status == 0
    lines = [line.split() for line in out.splitlines()]
    head, fc1 = lines[2], next(line for line in lines if line[:2] == ["fc1", "fc1.act"])
    assert head[:5] == ["layer", "activation", "units", "alive", "sparse"]
    assert fc1[2] == "64"
    assert fc1[5] == "40"
    assert [line[3] for line in lines if line[:3] == ["fc1", "fc1.act", "unit"]] == [str(unit) for unit in MASS]
    assert "fired 0 of 48,000 samples" in out
    assert "dead: 45 units" in out
    assert "saturated: 3 units" in units(log_dir, "--state", "saturated")[1]


@pytest.fixture
def twins(tmp_path):
    """A run of a tanh with 12 units, of which 8 and 10 do the same as 1, and 9 the opposite of 2."""
    description = describe(
        {"fc": {"weight": (12, 2)}, "act": {}, "out": {"weight": (12, 12)}},
        activations=[
            Activation("fc", 0, "Linear", Response.NONE, 12, "feature", (8, 12), 0),
            Activation("act", 1, "Tanh", Response.BOUNDED, 12, "feature", (8, 12), 0),
            Activation("out", 2, "Linear", Response.NONE, 12, "feature", (8, 12), 2),
        ],
    )
    outputs = np.random.default_rng(0).normal(0.1, 0.3, (900, 12))
    outputs[:, [8, 10]], outputs[:, 9] = outputs[:, [1]], -outputs[:, 2]
    layer = unit_rows("Tanh", outputs)
    layer[[8, 10], -1], layer[9, -1] = 2.0, -3.0
    out = unit_rows("Linear", np.random.default_rng(1).normal(0.1, 0.3, (900, 12)))
    with RunFile(tmp_path / "twins") as file:
        file.describe(description)
        for step in (0, 1):
            file.units(description, step, np.concatenate([layer, layer, out]), np.array([[1.0, 1, 900, 225]] * 3))
    return tmp_path


def test_redundant_units_tell_which_one_they_double(units, twins):
    (run,) = as_json(units, twins, "--state", "redundant")["runs"]
    assert [
        (unit["layer"], unit["activation"], unit["unit"], unit["twin"], unit["opposite"]) for unit in run["units"]
    ] == [
        ("fc", "act", 8, 1, False),
        ("fc", "act", 9, 2, True),
        ("fc", "act", 10, 1, False),
    ]
    every = as_json(units, twins)["runs"][0]["units"]
    assert [unit for unit in every if unit["twin"] is not None] == run["units"]
    assert as_json(units, twins, "--layer", "fc", "--state", "redundant")["runs"] == [run]
    assert as_json(units, twins, "--layer", "out", "--state", "redundant")["runs"][0]["units"] == []


def test_text_lists_the_redundant_behind_the_dead(units, twins):
    _, out, _ = units(twins)
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines.index("dead: 0 units") < lines.index("redundant: 3 units")
    assert next(line for line in lines if "unit 9 " in line).startswith("fc act unit 9 opposite of unit 2 fired")
    assert next(line for line in lines if "unit 10 " in line).startswith("fc act unit 10 same as unit 1 fired")
    assert "redundant" not in units(twins, "--state", "sparse")[1]


def test_a_run_is_read_by_its_name(units, tmp_path):
    for name in ("a", "b/c"):
        write_modelled(tmp_path / name, [Modelled("fc", units=2, changes={0: [(0, OFF)]})], steps=300)
    assert [run["run"] for run in as_json(units, tmp_path)["runs"]] == ["a", "b/c"]
    assert [run["run"] for run in as_json(units, tmp_path, "--run", "b/c")["runs"]] == ["b/c"]
    assert [run["run"] for run in as_json(units, tmp_path / "a")["runs"]] == ["."]
    assert [run["run"] for run in as_json(units, tmp_path / "a", "--run", ".")["runs"]] == ["."]


def test_nothing_is_evicted(units, tmp_path):
    description = describe_one(1)
    records = 2500
    with RunFile(tmp_path) as file:
        file.describe(description)
        for step in range(records):
            row = np.full((1, len(UNIT_NAMES)), 0.0 if step else 1.0)
            file.units(description, step, row, np.array([[1.0, 1, 10, 10]]))
    ((unit,),) = [run["units"] for run in as_json(units, tmp_path)["runs"]]
    assert (unit["state"], unit["since_step"], unit["samples"]) == ("dead", 1, 10 * (records - 1))


def describe_one(units):
    activation = Activation("act", 1, "ReLU", Response.RECTIFIER, units, "feature", (8, units), 0)
    return describe({"fc": {"weight": (units, 2)}, "act": {}}, activations=[activation])


def test_hostile_names_reach_programs_as_they_are_and_terminals_without_effect(units, tmp_path):
    names = [*HOSTILE_NAMES, "\x1b[31mred\x07"]
    layers = [Modelled(name, units=1, at=f"{name} act", changes={0: [(0, OFF)]}) for name in names]
    write_modelled(tmp_path / "<b>\x1b[0m", layers, steps=300)
    (run,) = as_json(units, tmp_path)["runs"]
    assert run["run"] == "<b>\x1b[0m"
    assert [unit["layer"] for unit in run["units"]] == names
    status, out, _ = units(tmp_path)
    assert status == 0
    assert all(sign == "\n" or sign.isprintable() for sign in out)
    assert max(len(line) for line in out.splitlines()) < 250
    _, out, _ = units(tmp_path, "--format", "csv")
    assert [row["layer"] for row in csv.DictReader(io.StringIO(out, newline=""))] == names
    (run,) = as_json(units, tmp_path, "--layer", "__proto__")["runs"]
    assert len(run["units"]) == 1


def test_a_run_that_can_not_be_read_is_told_and_the_others_go_on(units, tmp_path):
    write_modelled(tmp_path / "well", [Modelled("fc", units=2)], steps=50)
    write_run(tmp_path / "newer", schema_version=99)
    status, out, err = units(tmp_path, "--format", "json")
    assert status == 0
    assert [run["run"] for run in json.loads(out)["runs"]] == ["well"]
    assert "newer netviz (schema 99)" in err
    status, out, err = units(tmp_path, "--run", "newer")
    assert (status, out) == (2, "")
    assert "no run could be read" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing"], "there is no folder 'missing'"),
        (["file"], "there is no folder 'file'"),
        (["empty"], "there are no data of netviz below 'empty'"),
        (["foreign"], "there are no data of netviz below 'foreign'"),
        (["plain"], "nothing was recorded of single units"),
        (["runs", "--run", "b"], "there is no run 'b'; there is 'a'"),
        (["empty", "--run", "b"], "there is no run 'b'; there are none"),
        (["runs", "--layer", "fc9"], "there is no layer 'fc9'; there is 'fc'"),
        (["runs", "--state", "ill"], "there is no state 'ill'; there are alive, sparse, dead"),
        (["runs", "--samples", "0"], "must be at least 1"),
        (["runs", "--format", "xml"], "invalid choice"),
        ([], "LOGDIR"),
    ],
)
def test_what_can_not_be_done_is_refused_in_words(units, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    with RunFile(tmp_path / "foreign") as file:
        file.foreign("loss", 0, 1.0)
    write_run(tmp_path / "plain", steps=range(3))
    write_modelled(tmp_path / "runs" / "a", [Modelled("fc", units=2)], steps=50)
    status, out, err = units(*arguments)
    assert (status, out) == (2, "")
    assert words in err
    assert "Traceback" not in err
