"""Records of units that were superseded, are missing, or are damaged."""

from dataclasses import replace

import numpy as np
import pytest

from tb_netviz_plugin.analysis.units import UnitState
from tb_netviz_plugin.schema.codec import tensor_value
from tb_netviz_plugin.schema.description import MAX_UNITS, Activation, Response
from tb_netviz_plugin.schema.tags import Family
from tests.support.runs import RunFile, dense_layers, describe
from tests.support.unitfiles import LATER, NAN, WIDTH, one_activation, states, write
from tests.support.unitruns import all_states


def test_a_resumed_run_supersedes_what_lay_beyond(tmp_path, open_logdir):
    write(tmp_path / "run", {9: [1.0], 19: [0.0], 29: [1.0], 39: [1.0]})
    write(tmp_path / "run", {25: [0.0], 35: [0.0]}, start=LATER)
    app = open_logdir(tmp_path)
    assert states(app, "run") == ([9, 19, 25, 35], [["alive", "silent", "dead", "dead"]])
    (death,) = app.json("deaths", run="run")["deaths"]
    assert (death["step"], death["samples"]) == (10, 1800)


def test_records_of_parameters_tell_of_a_step_back_before_units_do(tmp_path, open_logdir):
    description = one_activation(1)
    write(tmp_path / "run", {9: [1.0], 19: [1.0], 29: [0.0]}, description=description)
    with RunFile(tmp_path / "run", start=LATER) as file:
        file.record(description, 12, np.zeros((1, 11)))
    with RunFile(tmp_path / "run", start=LATER + 1) as file:
        file.record(description, 19, np.zeros((1, 11)))
    app = open_logdir(tmp_path)
    assert states(app, "run")[0] == [9]


@pytest.mark.parametrize("units_first", [False, True])
def test_a_record_of_parameters_at_the_same_step_supersedes_nothing(tmp_path, open_logdir, units_first):
    description = one_activation(1)
    with RunFile(tmp_path / "run") as file:
        file.describe(description)
        for step in (9, 19):
            writes = [
                lambda step=step: file.record(description, step, np.zeros((1, 11))),
                lambda step=step: file.units(description, step, np.ones((1, WIDTH)), np.array([[10.0, 10, 600, 60]])),
            ]
            for one in reversed(writes) if units_first else writes:
                one()
    assert states(open_logdir(tmp_path), "run")[0] == [9, 19]


def test_models_share_an_axis(tmp_path, open_logdir):
    write(tmp_path / "gan", {9: [0.0], 19: [0.0]}, description=one_activation(1, model="generator"))
    write(tmp_path / "gan", {9: [1.0, 0.0], 29: [1.0, 0.0]}, description=one_activation(2, model="critic"), start=LATER)
    app = open_logdir(tmp_path)
    assert states(app, "gan", 0) == ([9, 19, 29], [["silent", "dead", "not_recorded"]])
    assert states(app, "gan", 1)[1] == [["alive", "not_recorded", "alive"], ["silent", "not_recorded", "dead"]]
    _, arrays = app.frame("dead", run="gan")
    np.testing.assert_array_equal(arrays["samples"], [[600, 600, NAN], [600, NAN, 600]])
    # The last record of a model counts for its units, whatever the other one recorded since.
    _, page = app.frame("units", run="gan", activation=0)
    assert page["since"].tolist() == [0]


def test_an_activation_whose_units_change_is_another_one(tmp_path, open_logdir):
    write(tmp_path / "run", {9: [0.0, 0.0], 19: [0.0, 1.0]})
    write(tmp_path / "run", {29: [0.0, 0.0, 1.0], 39: [0.0, 1.0, 1.0]}, start=LATER)
    app = open_logdir(tmp_path)
    gone = ["not_recorded"] * 2
    rows = app.json("run", run="run")["activations"]
    assert sorted(row["units"] for row in rows) == [2, 3]
    old, new = ([row["units"] for row in rows].index(units) for units in (2, 3))
    assert states(app, "run", old)[1] == [["silent", "dead", *gone], ["silent", "alive", *gone]]
    assert states(app, "run", new)[1][0] == [*gone, "silent", "dead"]


def test_an_activation_that_does_not_run_for_a_while(tmp_path, open_logdir):
    description = one_activation(2)
    with RunFile(tmp_path / "run") as file:
        file.describe(description)
        for step, (samples, largest) in enumerate([(0, NAN), (600, 0.0), (0, NAN), (600, 0.0), (0, NAN)]):
            columns = np.full((2, WIDTH), largest)
            file.units(description, 10 * step, columns, np.array([[samples > 0, samples > 0, samples, samples]]))
    app = open_logdir(tmp_path)
    seen = ["never_run", "silent", "not_recorded", "dead", "not_recorded"]
    assert states(app, "run")[1] == [seen, seen]
    _, page = app.frame("units", run="run", activation=0)
    assert np.isnan(page["since"]).all()
    (death,) = app.json("deaths", run="run")["deaths"]
    assert (death["step"], death["count"], death["samples"]) == (10, 2, 1200)


def test_a_chunk_that_is_damaged_costs_its_units_only(tmp_path, open_logdir):
    units = MAX_UNITS + 3
    description = one_activation(units)
    chunk = [chunk for chunk in description.chunks if chunk.family == "units"][1]
    odd = replace(chunk, rows=2)
    chunks = tuple(odd if one == chunk else one for one in description.chunks)
    with RunFile(tmp_path / "run") as file:
        file.describe(replace(description, chunks=chunks))
        for step in (9, 19):
            file.units(description, step, np.zeros((units, WIDTH)), np.array([[10.0, 10, 600, 60]]))
        file.values(29, [tensor_value(chunk.tag, Family.UNITS, np.zeros((2, 2), np.float32))])
    app = open_logdir(tmp_path)
    _, arrays = app.frame("dead", run="run")
    assert arrays["counts"][0, UnitState.DEAD, 1] == MAX_UNITS
    assert arrays["counts"][0, UnitState.NOT_RECORDED, 1] == 3


def test_records_of_units_without_their_steps_are_not_judged(tmp_path, open_logdir):
    description = one_activation(2)
    (chunk,) = [chunk for chunk in description.chunks if chunk.family == "units"]
    with RunFile(tmp_path / "run") as file:
        file.describe(description)
        file.values(0, [tensor_value(chunk.tag, Family.UNITS, np.zeros((2, WIDTH), np.float32))])
    assert states(open_logdir(tmp_path), "run") == ([0], [["not_recorded"]] * 2)


@pytest.mark.parametrize("number", [NAN, np.inf, -np.inf, -5.0, 1e38])
def test_damaged_counts_of_samples_stop_nothing(tmp_path, open_logdir, number):
    description = one_activation(2)
    with RunFile(tmp_path / "run") as file:
        file.describe(description)
        for step in (9, 19):
            file.units(description, step, np.full((2, WIDTH), number), np.full((1, 4), number))
    app = open_logdir(tmp_path)
    _, arrays = app.frame("dead", run="run")
    assert np.isfinite(arrays["spans"]).all()
    assert not arrays["counts"][0, UnitState.DEAD].any()
    assert app.json("deaths", run="run") == {"deaths": []}
    app.frame("units", run="run", activation=0)


def test_a_run_that_has_only_begun_has_units_and_no_records(tmp_path, open_logdir):
    with RunFile(tmp_path / "run") as file:
        file.describe(one_activation(2))
    app = open_logdir(tmp_path)
    assert states(app, "run") == ([], [[], []])
    _, arrays = app.frame("dead", run="run")
    assert arrays["counts"].shape == (1, 9, 0)
    assert app.json("deaths", run="run") == {"deaths": []}


def test_a_run_without_units_has_none(tmp_path, open_logdir):
    with RunFile(tmp_path / "run") as file:
        file.describe(describe(dense_layers(2), activations=[Activation("blocks.0", 0, "Linear")]))
    app = open_logdir(tmp_path)
    header, arrays = app.frame("dead", run="run")
    assert header["activations"] == []
    assert arrays["counts"].shape == (0, 9, 0)
    assert app.json("deaths", run="run") == {"deaths": []}
    assert app.error("units", run="run", activation=0)[:2] == (404, "not_found")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda d: replace(d, activations=(replace(d.activations[0], module=9),)), "names a module"),
        (lambda d: replace(d, activations=(replace(d.activations[0], source=9),)), "names a module"),
        (lambda d: replace(d, activations=()), "names rows"),
        (lambda d: replace(d, activations=(replace(d.activations[0], units=1),)), "names rows"),
        (lambda d: replace(d, activations=(replace(d.activations[0], units=2**32 - 1),)), "more units"),
    ],
)
def test_descriptions_that_contradict_themselves_are_explained(tmp_path, open_logdir, damage, words):
    with RunFile(tmp_path / "run") as file:
        file.describe(damage(one_activation(2)))
    assert words in open_logdir(tmp_path).json("runs")["runs"][0]["error"]


def test_an_unknown_response_is_never_judged(tmp_path, open_logdir):
    assert {layer.kind for layer in all_states()} >= {"Linear"}
    write(tmp_path / "run", {9: [0.0], 19: [0.0]}, description=one_activation(1, Response.NONE))
    assert states(open_logdir(tmp_path), "run")[1] == [["alive", "alive"]]
