"""Files that are cut, damaged, or of another time: said in words, and the other runs go on."""

from dataclasses import replace

import numpy as np
import pytest
from tensorboard.compat.proto import tensor_pb2, types_pb2

from tb_netviz_plugin.schema.codec import description_value, tensor_value
from tb_netviz_plugin.schema.tags import Family, tag
from tests.support.runs import RunFile, dense_layers, describe, observe, random_gradients, write_run
from tests.support.servers import wait_until

ROUTES_OF_A_RUN = ("run", "metrics", "findings")


def wait_for(app, run):
    wait_until(lambda: run in [one["run"] for one in app.json("runs")["runs"]], f"{run} was not read", 20)


def event_file(folder):
    (path,) = folder.iterdir()
    return path


def test_a_truncated_file_is_read_up_to_the_cut(tmp_path, open_logdir):
    write_run(tmp_path / "run", steps=range(100))
    path = event_file(tmp_path / "run")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    app = open_logdir(tmp_path)
    sampling = app.json("run", run="run")["sampling"]
    assert 30 < sampling["records"] < 60
    _, arrays = app.frame("series", run="run", statistic="gradient_norm")
    assert not arrays["states"].any()


@pytest.mark.parametrize("place", [0.2, 0.5, 0.9])
def test_a_flipped_byte_costs_no_more_than_what_follows(tmp_path, open_logdir, place):
    write_run(tmp_path / "run", steps=range(100))
    write_run(tmp_path / "well", steps=range(10))
    path = event_file(tmp_path / "run")
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 0xFF
    path.write_bytes(content)
    app = open_logdir(tmp_path, settle=False)
    wait_for(app, "run")
    wait_for(app, "well")
    wait_until(lambda: app.json("runs")["runs"][1]["last_step"] == 9, "the other run was not read", 20)
    assert app.json("runs")["runs"][0]["error"] is None
    _, arrays = app.frame("series", run="run", statistic="gradient_norm")
    assert np.all(np.diff(arrays["steps"]) > 0)
    # TensorBoard's data server does not compare checksums: where the byte is one of a number, that number is another.
    assert np.count_nonzero(arrays["states"]) <= 1


def test_a_newer_schema_is_refused_in_words_and_the_others_go_on(tmp_path, open_logdir):
    write_run(tmp_path / "new", schema_version=2)
    write_run(tmp_path / "old")
    app = open_logdir(tmp_path)
    new, old = app.json("runs")["runs"]
    assert "newer netviz (schema 2)" in new["error"]
    assert "pip install --upgrade" in new["error"]
    assert old["error"] is None
    for route in ROUTES_OF_A_RUN:
        assert app.error(route, run="new") == (422, "unreadable", new["error"])
    assert app.error("series", run="new", statistic="gradient_norm")[0] == 422
    assert app.error("bins", run="new", layer=0)[0] == 422
    assert app.json("run", run="old")["layers"]


def test_newer_tags_are_refused_in_words(tmp_path, open_logdir):
    write_run(tmp_path / "run")
    value = tensor_value(tag(Family.STEPS, "x").replace("/v1/", "/v2/"), Family.STEPS, np.zeros(6, np.float32))
    with RunFile(tmp_path / "run", start=1_700_001_000.0) as file:
        file.values(30, [value])
    app = open_logdir(tmp_path)
    assert "newer netviz (schema 2)" in app.json("runs")["runs"][0]["error"]


def test_unknown_families_columns_and_foreign_tags_are_ignored(tmp_path, open_logdir):
    description = describe(dense_layers(2))
    first = description.chunks[0]
    odd = replace(description, chunks=(replace(first, columns=(*first.columns[:-1], "from_the_future")),))
    gradients = random_gradients(description, np.random.default_rng(0))
    columns = observe(gradients, gradients, gradients).astype(np.float32)[None]
    unknown = f"netviz/v1/hologram/{'0' * 16}"
    with RunFile(tmp_path / "run") as file:
        file.describe(odd)
        file.values(0, [tensor_value(first.tag, Family.PARAMETERS, columns)])
        for name in (unknown, "netviz/whatever", "<b>"):
            file.values(0, [tensor_value(name, Family.STEPS, np.zeros(3, np.float32))])
    app = open_logdir(tmp_path)
    assert "gradient_cosine" not in app.json("run", run="run")["statistics"]
    _, arrays = app.frame("series", run="run", statistic="gradient_norm")
    assert not arrays["states"].any()


def test_records_without_their_description_are_explained(tmp_path, open_logdir):
    description = describe(dense_layers(2))
    gradients = random_gradients(description, np.random.default_rng(0))
    with RunFile(tmp_path / "run") as file:
        file.record(description, 0, observe(gradients, gradients, gradients))
    app = open_logdir(tmp_path)
    assert "description of the network is missing" in app.json("runs")["runs"][0]["error"]
    assert app.error("run", run="run")[:2] == (422, "unreadable")


@pytest.mark.parametrize("content", [b"\xff\xff\xff", b"not a message"])
def test_a_description_that_is_none_is_explained(tmp_path, open_logdir, content):
    value = description_value(tag(Family.DESCRIPTION, "x"), describe({}))
    value.tensor.string_val[:] = [content]
    with RunFile(tmp_path / "run") as file:
        file.values(0, [value])
    app = open_logdir(tmp_path)
    assert "are not a RunDescription" in app.json("runs")["runs"][0]["error"]
    assert app.error("run", run="run")[:2] == (422, "unreadable")


def test_a_description_that_is_a_number_is_explained(tmp_path, open_logdir):
    value = description_value(tag(Family.DESCRIPTION, "x"), describe({}))
    value.tensor.CopyFrom(tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[1.0]))
    with RunFile(tmp_path / "run") as file:
        file.values(0, [value])
    assert "is not a message" in open_logdir(tmp_path).json("runs")["runs"][0]["error"]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda d: replace(d, parameters=(replace(d.parameters[0], owner=9),)), "names a module"),
        (lambda d: replace(d, parameters=d.parameters[:1]), "names rows"),
        (lambda d: replace(d, groups=()), "names an optimizer group"),
    ],
)
def test_descriptions_that_contradict_themselves_are_explained(tmp_path, open_logdir, damage, words):
    with RunFile(tmp_path / "run") as file:
        file.describe(damage(describe(dense_layers(2))))
    assert words in open_logdir(tmp_path).json("runs")["runs"][0]["error"]


def test_records_of_another_shape_are_left_out(tmp_path, open_logdir):
    description = describe(dense_layers(2))
    gradients = random_gradients(description, np.random.default_rng(0))
    columns = observe(gradients, gradients, gradients)
    chunk = description.chunks[0].tag
    with RunFile(tmp_path / "run") as file:
        file.describe(description)
        for step in range(4):
            file.record(description, step, columns)
        for step, shape in enumerate([(1, 3, 11), (11,), (2, 4, 11), (0, 4, 11), (1, 4, 0)], start=4):
            file.values(step, [tensor_value(chunk, Family.PARAMETERS, np.zeros(shape, np.float32))])
    app = open_logdir(tmp_path)
    _, arrays = app.frame("series", run="run", statistic="gradient_norm")
    assert arrays["steps"].tolist() == [0, 1, 2, 3]
    assert not arrays["states"].any()


@pytest.mark.parametrize("damage", [{"tensor_content": b"123"}, {"dtype": types_pb2.DT_RESOURCE}])
def test_a_tensor_that_cannot_be_decoded_is_explained(tmp_path, open_logdir, damage):
    description = write_run(tmp_path / "run")
    write_run(tmp_path / "well")
    chunk = description.chunks[0].tag
    value = tensor_value(chunk, Family.PARAMETERS, np.zeros((1, 6, 11), np.float32))
    for field, content in damage.items():
        setattr(value.tensor, field, content)
    with RunFile(tmp_path / "run", start=1_700_001_000.0) as file:
        file.values(20, [value])
    app = open_logdir(tmp_path)
    for route in ("run", "findings"):
        status, kind, message = app.error(route, run="run")
        assert (status, kind) == (422, "unreadable")
        assert "the event file is damaged" in message
        app.json(route, run="well")
    app.frame("metrics", run="run")


def test_damaged_spans_and_costs_stop_nothing(tmp_path, open_logdir):
    description = describe(dense_layers(2))
    gradients = random_gradients(description, np.random.default_rng(0))
    columns = observe(gradients, gradients, gradients).astype(np.float32)[None]
    with RunFile(tmp_path / "run") as file:
        file.describe(description)
        for step, number in enumerate([np.inf, -np.inf, np.nan, 1e38, 0, -5]):
            damaged = tensor_value(tag(Family.STEPS, ""), Family.STEPS, np.full(6, number, np.float32))
            file.values(step, [damaged, tensor_value(description.chunks[0].tag, Family.PARAMETERS, columns)])
    app = open_logdir(tmp_path)
    assert app.json("run", run="run")["sampling"]["records"] == 6
    _, arrays = app.frame("series", run="run", statistic="gradient_norm")
    assert not arrays["states"].any()
    assert np.all(np.isfinite(arrays["spans"]) & (arrays["spans"] >= 1))


def test_nan_everywhere(tmp_path, open_logdir):
    layers = [f"blocks.{index}" for index in range(3)]
    write_run(tmp_path / "run", nan=dict.fromkeys(layers, range(20)))
    with RunFile(tmp_path / "run", start=1_700_001_000.0) as file:
        file.metric("loss/train", 20, np.inf, role="train_loss")
    app = open_logdir(tmp_path)
    _, arrays = app.frame("series", run="run", statistic="gradient_norm")
    assert np.all(arrays["states"] == 3)
    assert app.json("findings", run="run")["findings"][0]["rule"] == "nonfinite"
    app.frame("metrics", run="run")
