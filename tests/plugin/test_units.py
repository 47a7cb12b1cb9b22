"""States of single units over the whole way, against the definitions followed one unit and one record at a time."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tb_netviz_plugin.analysis.network import unite
from tb_netviz_plugin.analysis.records import Records
from tb_netviz_plugin.analysis.units import (
    UNIT_STATES,
    UnitState,
    UnitThresholds,
    align_units,
    judge,
    moments,
    since_steps,
    summarise,
)
from tb_netviz_plugin.schema.codec import tensor_value
from tb_netviz_plugin.schema.description import MAX_UNITS, Activation, Response
from tb_netviz_plugin.schema.tags import Family
from tests.support.runs import HOSTILE_NAMES, START, UNIT_NAMES, RunFile, dense_layers, describe
from tests.support.unitruns import END, HIGH, OFF, Modelled, all_states, write_modelled
from tests.support.unitstates import Look, follow

LATER = START + 1000
ID = [words.state.id for words in UNIT_STATES]
FIRED, STD, LARGEST, SATURATED = (UNIT_NAMES.index(name) for name in ("fired", "std", "largest", "saturated"))
WIDTH = len(UNIT_NAMES)
NAN = np.nan


def one_activation(units, response=Response.RECTIFIER, *, frozen=False, model=""):
    layers = {"fc": {"weight": (units, 2)}, "act": {}}
    activation = Activation("act", 1, "ReLU", response, units, "feature", (8, units), 0)
    return describe(layers, activations=[activation], frozen=["fc"] if frozen else (), model=model)


def table_of(description, columns, steps):
    """Return the table of one activation whose records are columns [N, units, …] and steps [N, 4], at 10, 20, …"""
    network = unite([description])
    every = np.full((*np.shape(columns)[:2], WIDTH), NAN, np.float32)
    every[..., : np.shape(columns)[2]] = columns
    at = np.arange(10, 10 * len(columns) + 1, 10, dtype=np.float64)
    (steps_tag,) = network.tags[Family.UNIT_STEPS]
    tags = {steps_tag.tag: Records(at, at, (np.asarray(steps, np.float32).T[None],))}
    first = 0
    for placement in network.tags[Family.UNITS]:
        part = every[:, first : first + len(placement.rows)]
        tags[placement.tag] = Records(at, at, (np.moveaxis(part, 0, -1),))
        first += len(placement.rows)
    nothing = Records(np.empty(0), np.empty(0), (np.empty((6, 0)),))
    return align_units(network, {"": nothing}, tags)


def looks_at(columns, steps, unit):
    return [
        Look(
            first_step=int(10 * (record + 1) - max(spans, 1) + 1),
            samples=samples,
            counted=counted,
            fired=row[unit][FIRED],
            std=row[unit][STD],
            largest=row[unit][LARGEST],
            saturated=row[unit][SATURATED],
            spread=[other[STD] for other in row],
        )
        for record, (row, (spans, _, samples, counted)) in enumerate(zip(columns, steps, strict=True))
    ]


numbers = st.sampled_from([0.0, 1.0, -1.0, 0.005, 0.96, 1e-7, NAN, np.inf, -np.inf])
unit_rows = st.tuples(
    st.sampled_from([0.0, 0.005, 0.5, NAN]),
    st.just(0.0),
    st.sampled_from([0.0, 1e-9, 0.3, NAN]),
    numbers,
    st.sampled_from([0.0, 0.94, 0.96, 1.0, NAN]),
    st.just(NAN),
)
step_rows = st.tuples(
    st.sampled_from([1.0, 8.0]), st.just(1.0), st.sampled_from([0.0, 1.0, 400.0, 2000.0]), st.sampled_from([1.0, 50.0])
)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 4).flatmap(
        lambda units: st.lists(
            st.tuples(st.lists(unit_rows, min_size=units, max_size=units), step_rows), min_size=1, max_size=12
        )
    ),
    st.sampled_from(Response),
    st.booleans(),
    st.integers(1, 3),
)
def test_states_are_those_of_their_definitions(records, response, frozen, windows):
    columns, steps = [np.float32(row).tolist() for row, _ in records], [row for _, row in records]
    units = len(records[0][0])
    table = table_of(one_activation(units, response, frozen=frozen), columns, steps)
    judged = judge(table, 0, UnitThresholds(windows=windows))
    for unit in range(units):
        expected = follow(looks_at(columns, steps, unit), response.value, frozen=frozen, windows=windows)
        assert [ID[code] for code in judged.states[unit]] == [verdict.state for verdict in expected]
        since = since_steps(judged)[unit]
        assert (None if np.isnan(since) else since) == expected[-1].since
    for state in UnitState:
        np.testing.assert_array_equal(judged.counts[state], (judged.states == state).sum(axis=0))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=14), st.integers(1, 3))
def test_deaths_are_the_stretches_in_which_a_unit_is_dead(silence, windows):
    columns = [[[0.0, 0, 0, 0, 0, NAN] if silent else [0.5, 0, 0.1, 1, 0, NAN] for silent in row] for row in silence]
    table = table_of(one_activation(3), columns, [[10.0, 1, 600, 60]] * len(silence))
    judged = judge(table, 0, UnitThresholds(windows=windows))
    expected = set()
    for unit in range(3):
        stretch = []
        for record, row in enumerate([*silence, [False] * 3]):
            if row[unit]:
                stretch.append(record)
            elif stretch:
                if len(stretch) >= windows and 600 * len(stretch) >= 1000:
                    revived = any(not later[unit] for later in silence[record:])
                    expected.add((unit, 10 * stretch[0] + 1, 600 * len(stretch), revived))
                stretch = []
    deaths = judged.deaths
    found = zip(deaths.units, judged.looks.first_steps[deaths.first], deaths.samples, deaths.revived, strict=True)
    assert {tuple(death) for death in found} == expected
    groups = moments({0: judged})
    assert sum(len(group.units) for group in groups) == len(expected)
    for group in groups:
        members = [death for death in expected if death[1] == group.step]
        assert group.units == tuple(sorted(death[0] for death in members))
        assert (group.samples, group.revived) == (min(d[2] for d in members), sum(d[3] for d in members))
    assert [len(group.units) for group in groups] == sorted((len(group.units) for group in groups), reverse=True)


def test_a_frozen_unit_does_not_die():
    columns = [[[0.0, 0, 0, 0, 0, NAN]]] * 3 + [[[0.5, 0, 1, 1, 0, NAN]]]
    judged = judge(table_of(one_activation(1, frozen=True), columns, [[10.0, 1, 600, 60]] * 4), 0, UnitThresholds())
    assert [ID[code] for code in judged.states[0]] == ["silent", "frozen", "frozen", "alive"]
    assert not judged.deaths.units.size


def test_one_sample_at_a_time_kills_no_smooth_unit():
    columns = [[[1.0, 0.5, 0, 0.5, 0, NAN], [0.0, -0.1, 0, -0.1, 0, NAN]]] * 2000
    judged = judge(table_of(one_activation(2, Response.SMOOTH), columns, [[1.0, 1, 1, 1]] * 2000), 0, UnitThresholds())
    assert not judged.states.any()


def test_a_hundred_thousand_units_over_several_chunks():
    rng = np.random.default_rng(0)
    units = 100_000
    columns = np.zeros((4, units, 6), np.float32)
    dead = rng.random(units) < 0.3
    columns[..., LARGEST] = np.where(dead, 0, 1)
    columns[..., FIRED] = np.where(dead, 0, 0.4)
    description = one_activation(units)
    assert len([chunk for chunk in description.chunks if chunk.family == "units"]) == -(-units // MAX_UNITS)
    judged = judge(table_of(description, columns, [[10.0, 1, 600, 60]] * 4), 0, UnitThresholds())
    np.testing.assert_array_equal(judged.states[:, -1], np.where(dead, UnitState.DEAD, UnitState.ALIVE))
    (death,) = moments({0: judged})
    assert death.units == tuple(np.flatnonzero(dead))


def test_summaries_say_on_how_many_samples_they_stand():
    off, on, rare = [0.0, 0, 0, 0, 0, NAN], [0.5, 0, 1, 1, 0, NAN], [0.0, 0, 1, 1, 0, NAN]
    columns = [[on, off, rare, on], [on, off, off, off], [on, off, off, off]]
    table = table_of(one_activation(4), columns, [[10.0, 1, 600, 60]] * 3)
    summary = summarise(table, 0, judge(table, 0, UnitThresholds()))
    assert [ID[code] for code in summary.states] == ["alive", "dead", "silent", "dead"]
    np.testing.assert_array_equal(summary.since, [NAN, 1, NAN, 11])
    np.testing.assert_array_equal(summary.samples, [180, 1800, 180, 1200])
    np.testing.assert_array_equal(summary.fired, [90, 0, 0, 0])


@pytest.fixture(scope="module")
def every_state(tmp_path_factory):
    """A log folder with a run that has units in every state."""
    folder = tmp_path_factory.mktemp("runs")
    write_modelled(folder / "run", all_states(), steps=END, frozen=["stem"], seed=4)
    return folder


def test_a_modelled_network_has_the_states_that_it_was_built_with(every_state, open_logdir):
    app = open_logdir(every_state)
    header, arrays = app.frame("dead", run="run")
    layers = all_states()
    assert header["activations"] == list(range(len(layers) - 1))  # The last is linear: nothing of it can die.
    assert header["thresholds"] == {
        "samples": 1000,
        "windows": 2,
        "sparse": 0.01,
        "saturated": 0.95,
        "flat": 1e-3,
        "chance": 1e-3,
    }
    assert arrays["units"].tolist() == [layer.units for layer in layers[:-1]]
    assert np.all(arrays["counts"].sum(axis=1) == arrays["units"][:, None])
    found = {}
    for index, layer in enumerate(layers[:-1]):
        _, page = app.frame("units", run="run", activation=index)
        np.testing.assert_array_equal(page["steps"], arrays["steps"])
        for state in UnitState:
            np.testing.assert_array_equal((page["states"] == state).sum(axis=0), arrays["counts"][index, state])
        at_the_end = page["states"][:, -1]
        found[layer.layer] = {ID[code]: np.flatnonzero(at_the_end == code).tolist() for code in np.unique(at_the_end)}
    mass = [unit for unit in range(512) if unit % 8 < 5]
    others = {
        name: {state: units for state, units in states.items() if state != "alive"} for name, states in found.items()
    }
    revived = others["fc1"].pop("revived")
    others["fc1"].pop("sparse", None)
    assert others == {
        "stem": {"frozen": [3, 7]},
        "blocks.0.conv": {"dead": [0, 5], "revived": [6], "sparse": [9]},
        "blocks.1.conv": {"dead": [2]},
        "blocks.2.conv": {"saturated": [1], "silent": [4]},
        "fc1": {"dead": mass},
        "fc2": {"dead": [10, 11]},
        "gate": {"saturated": [0, 1]},
        "early": {"not_recorded": list(range(16))},
        "aux": {"never_run": list(range(16))},
    }
    assert 13 in revived


def test_the_moment_of_death_is_told(every_state, open_logdir):
    app = open_logdir(every_state)
    worst, *others = app.json("deaths", run="run")["deaths"]
    mass = [unit for unit in range(512) if unit % 8 < 5]
    assert (worst["activation"], worst["units"], worst["count"], worst["of"], worst["revived"]) == (
        4,
        mass,
        320,
        512,
        0,
    )
    # They die at step 1,200, in a window of 32 steps, whose record still holds what fired before.
    assert 1200 <= worst["step"] <= 1216
    assert worst["samples"] == 16 * (END - worst["step"])
    (both,) = [death for death in others if death["units"] == [5, 6]]
    assert (both["activation"], both["revived"]) == (1, 1)
    assert not [death for death in others if death["activation"] in (0, 6, 8, 9)]
    _, page = app.frame("units", run="run", activation=4, sort="death", count=5)
    assert page["since"].tolist() == [worst["step"]] * 5


def test_units_are_sorted_and_paged(every_state, open_logdir):
    app = open_logdir(every_state)
    header, everything = app.frame("units", run="run", activation=5)
    assert (header["units"], header["unit"]) == (128, list(range(128)))
    header, page = app.frame("units", run="run", activation=5, first=120, count=50)
    assert header["unit"] == list(range(120, 128))
    for name in ("states", *UNIT_NAMES, "since"):
        np.testing.assert_array_equal(page[name], everything[name][120:])
    header, page = app.frame("units", run="run", activation=5, sort="death", count=4)
    assert header["unit"] == [11, 10, 0, 1]
    np.testing.assert_array_equal(page["largest"], everything["largest"][[11, 10, 0, 1]])
    header, _ = app.frame("units", run="run", activation=5, sort="activity")
    assert np.all(np.diff(everything["fired"][header["unit"], -1]) >= 0)
    assert app.frame("units", run="run", activation=5, first=500)[1]["states"].shape[0] == 0


def test_thresholds_can_be_chosen(every_state, open_logdir):
    app = open_logdir(every_state)
    header, strict = app.frame("dead", run="run", samples=999_999_999)
    assert header["thresholds"]["samples"] == 999_999_999
    assert not strict["counts"][:, UnitState.DEAD].any()
    _, lax = app.frame("dead", run="run", samples=1, windows=1)
    assert lax["counts"][3, UnitState.DEAD, -1] == 1
    _, usual = app.frame("dead", run="run")
    assert usual["counts"][3, UnitState.SILENT, -1] == 1


def test_a_unit_that_fires_rarely_is_not_dead_after_a_while():
    """After it has fired for one sample in 600, some thousand silent ones are nothing unusual."""
    on, off = [0.0, 0, 1, 1, 0, NAN], [0.0, 0, 0, 0, 0, NAN]
    columns = [[on], *[[off]] * 7]
    judged = judge(table_of(one_activation(1), columns, [[10.0, 1, 600, 60]] * 8), 0, UnitThresholds())
    assert [ID[code] for code in judged.states[0]] == ["alive", *["silent"] * 6, "dead"]
    often = [[[0.1, 0, 1, 1, 0, NAN]], *[[off]] * 2]
    judged = judge(table_of(one_activation(1), often, [[10.0, 1, 600, 60]] * 3), 0, UnitThresholds())
    assert [ID[code] for code in judged.states[0]] == ["alive", "silent", "dead"]


def test_it_takes_a_thousand_samples_to_call_a_unit_sparse():
    rare = [0.0, 0, 1, 1, 0, NAN]
    judged = judge(table_of(one_activation(1), [[rare]] * 4, [[10.0, 1, 600, 400]] * 4), 0, UnitThresholds())
    assert [ID[code] for code in judged.states[0]] == ["alive", "alive", "sparse", "sparse"]


def test_numbers_of_units_are_those_of_their_outputs(tmp_path, open_logdir):
    columns = np.random.default_rng(0).random((3, WIDTH)).astype(np.float32)
    description = one_activation(3)
    with RunFile(tmp_path / "run") as file:
        file.describe(description)
        file.units(description, 9, columns, np.array([[10.0, 5, 640, 160]]))
    _, arrays = open_logdir(tmp_path).frame("units", run="run", activation=0)
    np.testing.assert_array_equal(np.stack([arrays[name][:, 0] for name in UNIT_NAMES], axis=1), columns)
    for name, value in (("steps", 9), ("spans", 10), ("samples", 640), ("counted", 160)):
        assert arrays[name].tolist() == [value]


def write(folder, columns_at, *, description=None, start=START, samples=600.0):
    """Write records of units, given by step as one number for each: its largest value, NaN for no number."""
    description = description or one_activation(len(next(iter(columns_at.values()))))
    with RunFile(folder, start=start) as file:
        file.describe(description, min(columns_at))
        for step, largest in columns_at.items():
            columns = np.zeros((len(largest), WIDTH))
            columns[:, LARGEST], columns[:, FIRED], columns[:, STD] = largest, np.greater(largest, 0), 0.5
            file.units(description, step, columns, np.array([[10.0, 10, samples, samples]]))


def states(app, run, activation=0):
    _, arrays = app.frame("units", run=run, activation=activation)
    return arrays["steps"].tolist(), [[ID[code] for code in row] for row in arrays["states"]]


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


@pytest.mark.parametrize(
    ("route", "arguments", "status", "words"),
    [
        ("dead", {}, 400, "'run' is missing"),
        ("dead", {"run": "run", "samples": "0"}, 400, "samples is a whole number from 1"),
        ("dead", {"run": "run", "samples": "many"}, 400, "samples is a whole number"),
        ("dead", {"run": "run", "windows": "-1"}, 400, "windows is a whole number"),
        ("dead", {"run": "run", "windows": "1e3"}, 400, "windows is a whole number"),
        ("dead", {"run": "run", "window": "1"}, 400, "unknown argument 'window'"),
        ("dead", {"run": "other"}, 404, "no data"),
        ("deaths", {"run": "run", "samples": "1.5"}, 400, "samples is a whole number"),
        ("deaths", {"run": "run", "activation": "0"}, 400, "unknown argument"),
        ("units", {"run": "run"}, 400, "name one activation"),
        ("units", {"run": "run", "activation": ["0", "0"]}, 400, "name one activation"),
        ("units", {"run": "run", "activation": "1"}, 404, "does not exist"),
        ("units", {"run": "run", "activation": "<b>"}, 400, "activation is an index"),
        ("units", {"run": "run", "activation": "0", "count": "0"}, 400, "count is a whole number from 1 to 4,096"),
        ("units", {"run": "run", "activation": "0", "count": "4097"}, 400, "count is a whole number"),
        ("units", {"run": "run", "activation": "0", "first": "-1"}, 400, "first is a whole number"),
        ("units", {"run": "run", "activation": "0", "sort": "size"}, 400, "sort is one of index, death, activity"),
    ],
)
def test_senseless_requests_are_refused_in_words(tmp_path, open_logdir, route, arguments, status, words):
    write(tmp_path / "run", {9: [0.0]})
    found, kind, message = open_logdir(tmp_path).error(route, **arguments)
    assert (found, kind) == (status, "bad_argument" if status == 400 else "not_found")
    assert words in message


def test_hostile_names_arrive_as_they_are(tmp_path, open_logdir):
    layers = [Modelled(name, units=2, at=f"{name}!", changes={0: [(0, OFF)], 1: [(0, HIGH)]}) for name in HOSTILE_NAMES]
    write_modelled(tmp_path / "<b>", layers, steps=200)
    app = open_logdir(tmp_path)
    header, arrays = app.frame("dead", run="<b>")
    assert header["run"] == "<b>"
    assert arrays["counts"][:, UnitState.DEAD, -1].tolist() == [1] * len(HOSTILE_NAMES)


def test_the_documents_define_every_state():
    text = (Path(__file__).parents[2] / "docs" / "statistics.md").read_text(encoding="utf-8")
    table = text.split("## States of units\n")[1].split("\n\n- ")[0]
    rows = re.findall(r"^\| ([a-z ]+) \| [a-z]", table, flags=re.MULTILINE)
    assert rows == [words.label.lower() for words in UNIT_STATES]
    assert [words.state for words in UNIT_STATES] == list(UnitState)


def test_the_catalogue_explains_every_state(tmp_path, open_logdir):
    catalogue = open_logdir(tmp_path).json("catalogue")
    assert [state["id"] for state in catalogue["unit_states"]] == [state.id for state in UnitState]
    assert all(state["definition"].endswith(".") for state in catalogue["unit_states"])
    assert catalogue["unit_thresholds"] == {
        "samples": 1000,
        "windows": 2,
        "sparse": 0.01,
        "saturated": 0.95,
        "flat": 1e-3,
        "chance": 1e-3,
    }
