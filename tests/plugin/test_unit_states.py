"""States of single units against the definitions followed one unit and one record at a time."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tb_netviz.reading import read_runs
from tb_netviz_plugin.analysis.network import unite
from tb_netviz_plugin.analysis.records import Records
from tb_netviz_plugin.analysis.units import (
    UnitState,
    UnitThresholds,
    align_units,
    judge,
    moments,
    since_steps,
    summarise,
)
from tb_netviz_plugin.schema.description import MAX_UNITS, Response
from tb_netviz_plugin.schema.tags import Family
from tests.support.unitfiles import FIRED, ID, LARGEST, NAN, SATURATED, STD, WIDTH, one_activation
from tests.support.unitruns import Modelled, write_modelled
from tests.support.unitstates import Look, follow


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


def judged_alone(table, **limits):
    """Return the states of the units of the only activation."""
    return judge(table, [0], UnitThresholds(**limits))[0]


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
    judged = judged_alone(table, windows=windows)
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
    judged = judged_alone(table, windows=windows)
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
    judged = judged_alone(table_of(one_activation(1, frozen=True), columns, [[10.0, 1, 600, 60]] * 4))
    assert [ID[code] for code in judged.states[0]] == ["silent", "frozen", "frozen", "alive"]
    assert not judged.deaths.units.size


def test_one_sample_at_a_time_kills_no_smooth_unit():
    columns = [[[1.0, 0.5, 0, 0.5, 0, NAN], [0.0, -0.1, 0, -0.1, 0, NAN]]] * 2000
    judged = judged_alone(table_of(one_activation(2, Response.SMOOTH), columns, [[1.0, 1, 1, 1]] * 2000))
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
    judged = judged_alone(table_of(description, columns, [[10.0, 1, 600, 60]] * 4))
    np.testing.assert_array_equal(judged.states[:, -1], np.where(dead, UnitState.DEAD, UnitState.ALIVE))
    (death,) = moments({0: judged})
    assert death.units == tuple(np.flatnonzero(dead))


def test_summaries_say_on_how_many_samples_they_stand():
    off, on, rare = [0.0, 0, 0, 0, 0, NAN], [0.5, 0, 1, 1, 0, NAN], [0.0, 0, 1, 1, 0, NAN]
    columns = [[on, off, rare, on], [on, off, off, off], [on, off, off, off]]
    table = table_of(one_activation(4), columns, [[10.0, 1, 600, 60]] * 3)
    summary = summarise(table, 0, judged_alone(table))
    assert [ID[code] for code in summary.states] == ["alive", "dead", "silent", "dead"]
    np.testing.assert_array_equal(summary.since, [NAN, 1, NAN, 11])
    np.testing.assert_array_equal(summary.samples, [180, 1800, 180, 1200])
    np.testing.assert_array_equal(summary.fired, [90, 0, 0, 0])


def test_a_unit_that_fires_rarely_is_not_dead_after_a_while():
    """After it has fired for one sample in 600, some thousand silent ones are nothing unusual."""
    on, off = [0.0, 0, 1, 1, 0, NAN], [0.0, 0, 0, 0, 0, NAN]
    columns = [[on], *[[off]] * 7]
    judged = judged_alone(table_of(one_activation(1), columns, [[10.0, 1, 600, 60]] * 8))
    assert [ID[code] for code in judged.states[0]] == ["alive", *["silent"] * 6, "dead"]
    often = [[[0.1, 0, 1, 1, 0, NAN]], *[[off]] * 2]
    judged = judged_alone(table_of(one_activation(1), often, [[10.0, 1, 600, 60]] * 3))
    assert [ID[code] for code in judged.states[0]] == ["alive", "silent", "dead"]


def test_it_takes_a_thousand_samples_to_call_a_unit_sparse():
    rare = [0.0, 0, 1, 1, 0, NAN]
    judged = judged_alone(table_of(one_activation(1), [[rare]] * 4, [[10.0, 1, 600, 400]] * 4))
    assert [ID[code] for code in judged.states[0]] == ["alive", "alive", "sparse", "sparse"]


def test_activations_are_judged_together_as_each_alone(tmp_path):
    layers = [
        Modelled("a", units=4, changes={1: [(100, -50.0)]}),
        Modelled("b", "GELU", units=3, changes={0: [(200, -50.0)], 2: [(100, -50.0), (300, 0.0)]}),
        Modelled("c", units=5, changes={0: [(50, -50.0)], 4: [(150, -50.0), (300, 0.0)]}),
        Modelled("d", units=2, runs=(0, 200)),
        Modelled("e", units=2, changes={0: [(100, -50.0)]}),
    ]
    write_modelled(tmp_path, layers, steps=500, frozen=("e",))
    table = read_runs(tmp_path)[0].unit_table
    together = judge(table, range(5), UnitThresholds())
    assert sum(len(one.deaths.units) for one in together.values()) >= 4
    assert list(together) == [0, 1, 2, 3, 4]
    for index, one in together.items():
        alone = judge(table, [index], UnitThresholds())[index]
        for part in ("states", "counts", "since", "activity"):
            np.testing.assert_array_equal(getattr(one, part), getattr(alone, part))
        for part in ("units", "first", "samples", "revived"):
            np.testing.assert_array_equal(getattr(one.deaths, part), getattr(alone.deaths, part))
