"""States of single units over the whole way: a modelled network, what the routes answer, and what the documents say."""

import re
from pathlib import Path

import numpy as np
import pytest

from tb_netviz_plugin.analysis.units import UNIT_STATES, UnitState
from tests.support.runs import HOSTILE_NAMES, UNIT_NAMES, RunFile
from tests.support.unitfiles import ID, WIDTH, one_activation, write
from tests.support.unitruns import END, HIGH, OFF, Modelled, all_states, write_modelled


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
