"""Probes and their maps, as the tab gets them."""

from dataclasses import replace

import numpy as np
import pytest

from tb_netviz_plugin.schema.codec import tensor_value
from tb_netviz_plugin.schema.description import Omission
from tb_netviz_plugin.schema.probe import MapKind
from tb_netviz_plugin.schema.tags import Family
from tests.support.probes import Maps, digits, probe, quantise, source, write_maps, write_probe
from tests.support.runs import HOSTILE_NAMES, RunFile, write_run


def values(one, seed=0):
    shape = (4, one.maps, one.height, one.width)
    return np.random.default_rng(seed).standard_normal(shape)


def write(log_dir, sources, steps, *, description=None, inputs=None, **settings):
    description = description or probe(sources)
    with RunFile(log_dir, **settings) as file:
        write_probe(file, steps[0], description, inputs)
        for step in steps:
            write_maps(file, step, [Maps(one, values(one, step)) for one in sources])
    return description


def test_a_probe_says_what_it_kept(tmp_path, open_logdir):
    sources = [source("conv", MapKind.FEATURE_MAP, 3, 5, 7), source("attn", MapKind.ATTENTION, 2, 4, 4)]
    description = probe(sources, omissions=(Omission("fc", "not a picture"),))
    write(tmp_path / "run", sources, [0, 1, 16], description=description, inputs=digits(4, 9))
    (found,) = open_logdir(tmp_path).json("probes", run="run")["probes"]
    assert found == {
        "name": "probe",
        "model": "",
        "kind": "images",
        "labels": ["three", "five", "eight", "nine"],
        "samples": 4,
        "inputs": {"height": 9, "width": 9, "channels": 1},
        "steps": [0, 1, 16],
        "bytes": 3 * 4 * (3 * (5 * 7 + 12) + 2 * (4 * 4 + 12)),
        "budget": 64 << 20,
        "maps": [
            {"module": "conv", "kind": "feature_map", "maps": 3, "height": 5, "width": 7},
            {"module": "attn", "kind": "attention", "maps": 2, "height": 4, "width": 4},
        ],
        "omissions": [{"subject": "fc", "reason": "not a picture"}],
    }


def test_maps_come_by_page_and_with_the_strength_of_all(tmp_path, open_logdir):
    one = source("conv", MapKind.FEATURE_MAP, 5, 6, 7)
    write(tmp_path / "run", [one], [0, 3], inputs=digits())
    app = open_logdir(tmp_path)
    arguments = {"run": "run", "probe": "probe", "map": 0, "step": 3, "sample": 2}
    _, arrays = app.frame("maps", **arguments, first=1, count=3)
    expected = values(one, 3)
    pictures, ranges = quantise(expected)
    np.testing.assert_array_equal(arrays["pictures"], pictures[2, 1:4])
    np.testing.assert_array_equal(arrays["ranges"], ranges[2, 1:4, :2])
    assert arrays["nonfinite"].tolist() == [0, 0, 0]
    quantum = (expected.max(axis=(2, 3)) - expected.min(axis=(2, 3)))[2] / 255
    assert np.all(np.abs(arrays["strength"] - np.abs(expected[2]).mean(axis=(1, 2))) < quantum)
    assert app.frame("maps", **arguments)[1]["pictures"].shape == (5, 6, 7)
    assert app.frame("maps", **arguments, first=5)[1]["pictures"].shape == (0, 6, 7)
    assert app.frame("probe_inputs", run="run", probe="probe")[1]["pictures"].tolist() == digits().tolist()


def test_maps_without_finite_values_and_constant_ones_are_told_apart(tmp_path, open_logdir):
    one = source("conv", MapKind.FEATURE_MAP, 3, 4, 4)
    filled = np.zeros((4, 3, 4, 4))
    filled[:, 0], filled[:, 1], filled[:, 2] = np.nan, -2.5, np.linspace(0, 1, 16).reshape(4, 4)
    filled[:, 2, 0, 0] = np.inf
    with RunFile(tmp_path / "run") as file:
        write_probe(file, 0, probe([one]), None)
        write_maps(file, 0, [Maps(one, filled)])
    app = open_logdir(tmp_path)
    _, arrays = app.frame("maps", run="run", probe="probe", map=0, step=0, sample=0)
    assert np.isnan(arrays["ranges"][0]).all()
    assert arrays["ranges"][1].tolist() == [-2.5, -2.5]
    np.testing.assert_allclose(arrays["ranges"][2], [1 / 15, 1], rtol=1e-6)
    assert not arrays["pictures"][:2].any()
    assert np.isnan(arrays["strength"][0])
    np.testing.assert_allclose(arrays["strength"][1], 2.5)
    assert arrays["nonfinite"].tolist() == [16, 0, 1]
    np.testing.assert_allclose(arrays["strength"][2], filled[0, 2].flatten()[1:].mean(), rtol=1 / 255)
    assert app.error("probe_inputs", run="run", probe="probe")[:2] == (404, "not_found")
    assert app.json("probes", run="run")["probes"][0]["inputs"] is None


@pytest.mark.parametrize(
    ("changes", "status", "kind", "words"),
    [
        ({"step": 1}, 404, "not_found", "no maps of this module were recorded at step 1"),
        ({"step": "-1"}, 400, "bad_argument", "step is one of"),
        ({"step": "1e3"}, 400, "bad_argument", "step is one of"),
        ({"step": 10**17}, 404, "not_found", "at step 1000"),
        ({"map": 1}, 404, "not_found", "map 1 does not exist; there are 1"),
        ({"sample": 4}, 404, "not_found", "sample 4 does not exist; there are 4"),
        ({"sample": "x"}, 400, "bad_argument", "sample is an index"),
        ({"map": [0, 0]}, 400, "bad_argument", "map is given 2 times"),
        ({"probe": "other"}, 404, "not_found", "no probe of this name"),
        ({"count": 257}, 400, "bad_argument", "count is at most 256"),
        ({"first": "²"}, 400, "bad_argument", "first is an index"),
        ({"layer": 0}, 400, "bad_argument", "unknown argument 'layer'"),
        ({"step": None}, 400, "bad_argument", "'step' is missing"),
        ({"run": "none"}, 404, "not_found", "TensorBoard has no data"),
    ],
)
def test_wrong_arguments_are_refused_in_words(tmp_path, open_logdir, changes, status, kind, words):
    write(tmp_path / "run", [source("conv", MapKind.FEATURE_MAP, 2, 3, 3)], [0])
    arguments = {"run": "run", "probe": "probe", "map": 0, "step": 0, "sample": 0} | changes
    found = open_logdir(tmp_path).error(
        "maps", **{name: value for name, value in arguments.items() if value is not None}
    )
    assert found[:2] == (status, kind)
    assert words in found[2]


def test_names_are_only_text(tmp_path, open_logdir):
    sources = [source(name, MapKind.FEATURE_MAP, 1, 2, 2) for name in HOSTILE_NAMES]
    probes = [probe(sources, name=name, labels=HOSTILE_NAMES[:4]) for name in HOSTILE_NAMES]
    with RunFile(tmp_path / "run") as file:
        for description in probes:
            write_probe(file, 0, description, digits(4, 2))
        write_maps(file, 0, [Maps(one, values(one)) for one in sources])
    app = open_logdir(tmp_path)
    found = app.json("probes", run="run")["probes"]
    assert sorted(one["name"] for one in found) == sorted(HOSTILE_NAMES)
    assert [one["module"] for one in found[0]["maps"]] == list(HOSTILE_NAMES)
    for name in HOSTILE_NAMES:
        _, arrays = app.frame("maps", run="run", probe=name, map=3, step=0, sample=1)
        assert arrays["pictures"].shape == (1, 2, 2)


def test_probes_of_several_models_have_names_of_their_own(tmp_path, open_logdir):
    with RunFile(tmp_path / "run") as file:
        for model in ("generator", "critic"):
            one = source("conv", MapKind.FEATURE_MAP, 1, 2, 2, model=model)
            write_probe(file, 0, probe([one], model=model), None)
            write_maps(file, 0, [Maps(one, values(one))])
    app = open_logdir(tmp_path)
    assert [one["name"] for one in app.json("probes", run="run")["probes"]] == ["critic/probe", "generator/probe"]
    assert app.frame("maps", run="run", probe="critic/probe", map=0, step=0, sample=0)[1]["pictures"].size == 4


def test_what_a_resumed_run_repeats_counts_once(tmp_path, open_logdir):
    one = source("conv", MapKind.FEATURE_MAP, 2, 3, 3)
    write(tmp_path / "run", [one], [0, 1, 2, 4, 8])
    with RunFile(tmp_path / "run", start=1_700_009_999.0) as file:
        write_probe(file, 3, probe([one], omissions=(Omission("maps", "later"),)), None)
        write_maps(file, 3, [Maps(one, values(one, 33))])
        write_maps(file, 4, [Maps(one, values(one, 44))])
    app = open_logdir(tmp_path)
    (found,) = app.json("probes", run="run")["probes"]
    assert found["steps"] == [0, 1, 2, 3, 4]
    assert found["omissions"] == [{"subject": "maps", "reason": "later"}]
    _, arrays = app.frame("maps", run="run", probe="probe", map=0, step=4, sample=0)
    np.testing.assert_array_equal(arrays["pictures"], quantise(values(one, 44))[0][0])


def test_a_run_without_a_probe_has_none(tmp_path, open_logdir):
    write_run(tmp_path / "run")
    assert open_logdir(tmp_path).json("probes", run="run") == {"probes": []}


def test_of_maps_of_an_earlier_writer_nobody_knows_how_many_values_are_not_finite(tmp_path, open_logdir):
    one = source("conv", MapKind.FEATURE_MAP, 2, 3, 3)
    pictures, ranges = quantise(values(one))
    earlier = tensor_value(one.ranges, Family.MAP_RANGES, ranges[..., :2])
    with RunFile(tmp_path / "run") as file:
        write_probe(file, 0, probe([one]), None)
        file.values(0, [tensor_value(one.pictures, Family.MAPS, pictures), earlier])
        write_maps(file, 1, [Maps(one, values(one))])
    app = open_logdir(tmp_path)
    arguments = {"run": "run", "probe": "probe", "map": 0, "sample": 0}
    before, after = (app.frame("maps", **arguments, step=step)[1] for step in (0, 1))
    assert np.isnan(before["nonfinite"]).all()
    assert after["nonfinite"].tolist() == [0, 0]
    np.testing.assert_array_equal(before["ranges"], after["ranges"])
    np.testing.assert_array_equal(before["strength"], after["strength"])


def test_damaged_records_are_told_in_words(tmp_path, open_logdir):
    one = source("conv", MapKind.FEATURE_MAP, 2, 3, 3)
    with RunFile(tmp_path / "run") as file:
        write_probe(file, 0, probe([one]), None)
        write_maps(file, 0, [Maps(one, values(one))])
        short = np.zeros((4, 2, 3, 2), np.uint8)
        ranges = np.zeros((4, 2, 2), np.float32)
        file.values(
            1,
            [
                tensor_value(one.pictures, Family.MAPS, short),
                tensor_value(one.ranges, Family.MAP_RANGES, ranges),
            ],
        )
    app = open_logdir(tmp_path)
    assert app.error("maps", run="run", probe="probe", map=0, step=1, sample=0)[:2] == (422, "unreadable")
    assert app.frame("maps", run="run", probe="probe", map=0, step=0, sample=0)[1]["pictures"].size == 18


def test_a_newer_schema_is_refused_in_words(tmp_path, open_logdir):
    one = source("conv", MapKind.FEATURE_MAP, 1, 2, 2)
    write(tmp_path / "run", [one], [0], description=replace(probe([one]), schema_version=99))
    status, kind, words = open_logdir(tmp_path).error("probes", run="run")
    assert (status, kind) == (422, "unreadable")
    assert "newer netviz (schema 99)" in words
