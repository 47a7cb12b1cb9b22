"""What a run says about itself; resumed runs, several models, networks that change, hostile names."""

from urllib.parse import quote

import numpy as np
import pytest

from tests.support.runs import (
    HOSTILE_NAMES,
    START,
    Cost,
    RunFile,
    dense_layers,
    describe,
    observe,
    random_gradients,
    write_run,
)

LATER = START + 1000


def test_the_catalogue_explains_every_statistic(tmp_path, open_logdir):
    app = open_logdir(tmp_path)
    catalogue = app.json("catalogue")
    assert [one["id"] for one in catalogue["statistics"]][:2] == ["gradient_norm", "gradient_mean_abs"]
    for statistic in catalogue["statistics"]:
        assert set(statistic) == {"id", "label", "unit", "scale", "rows", "definition", "reading"}
        assert statistic["definition"].endswith(".")
    assert catalogue["bins"]["count"] == 128
    assert catalogue["schema_version"] == 1
    assert catalogue["version"]
    assert app.error("catalogue", run="x")[:2] == (400, "bad_argument")


def test_runs_are_listed_by_name_with_a_revision_that_follows_the_data(tmp_path, open_logdir):
    write_run(tmp_path / "b")
    write_run(tmp_path / "a" / "nested", steps=range(5))
    app = open_logdir(tmp_path)
    first = app.json("runs")["runs"]
    assert [(run["run"], run["last_step"], run["error"]) for run in first] == [("a/nested", 4, None), ("b", 19, None)]
    assert app.json("runs")["runs"] == first
    write_run(tmp_path / "b", steps=range(20, 25), start=LATER)
    app.reload()
    second = app.json("runs")["runs"]
    assert second[0] == first[0]
    assert second[1]["revision"] != first[1]["revision"]
    assert second[1]["last_step"] == 24
    assert second[1]["wall_time"] > first[1]["wall_time"]
    assert app.json("run", run="b")["revision"] == second[1]["revision"]
    assert app.json("run", run="b")["sampling"]["records"] == 25


def test_the_log_folder_itself_can_be_a_run(tmp_path, open_logdir):
    write_run(tmp_path)
    app = open_logdir(tmp_path)
    assert [run["run"] for run in app.json("runs")["runs"]] == ["."]
    assert app.json("run", run=".")["run"] == "."


def test_a_run_describes_its_network(tmp_path, open_logdir):
    description = describe(dense_layers(2), frozen=["blocks.0"], learning_rate=0.3)
    gradients = random_gradients(description, np.random.default_rng(0))
    with RunFile(tmp_path / "run") as file:
        file.describe(description)
        columns = observe(gradients, gradients, gradients)
        file.record(description, 0, columns, cost=Cost(0.1, 0.001, 4, 0))
        file.record(description, 8, np.stack([columns] * 3), span=8, observations=2, cost=Cost(0.1, 0.003, 4, 2))
    run = open_logdir(tmp_path).json("run", run="run")
    assert run["models"] == [
        {
            "name": "",
            "framework": "pytorch 2.13.0",
            "writer": "tb-netviz 0.1.0",
            "schedule": {"budget": 0.0, "every": 1},
        }
    ]
    assert run["layers"][0] == {
        "name": "blocks.0",
        "model": "",
        "type": "Linear",
        "detail": "16 → 16, 2 parameters",
        "elements": 20,
        "parameters": [0, 1],
        "frozen": True,
        "input_shape": [32, 16],
        "output_shape": [32, 16],
    }
    assert run["parameters"][2] == {
        "name": "blocks.1.weight",
        "layer": 1,
        "shape": [4, 4],
        "dtype": "float32",
        "elements": 16,
        "frozen": False,
        "group": 0,
    }
    assert run["parameters"][0]["group"] is None
    (group,) = run["groups"]
    assert group.pop("settings") == {"momentum": 0.9, "weight_decay": 0.01}
    assert group == {"model": "", "optimizer": "SGD", "index": 0, "learning_rate": 0.3}
    # The first record stands for one step, the second for eight.
    assert run["cost"] == {"fraction": pytest.approx((0.001 + 8 * 0.003) / 0.9), "interval": 4, "dropped": 2}
    assert run["sampling"] == {"records": 2, "first_step": 0, "last_step": 8, "evicted": False}


def test_a_run_that_has_only_begun_has_a_network_and_no_records(tmp_path, open_logdir):
    with RunFile(tmp_path / "run") as file:
        file.describe(describe(dense_layers(2)))
    app = open_logdir(tmp_path)
    run = app.json("run", run="run")
    assert len(run["layers"]) == 2
    assert run["cost"] is None
    assert run["sampling"] == {"records": 0, "first_step": None, "last_step": None, "evicted": False}
    _, arrays = app.frame("series", run="run", statistic="gradient_norm", band="true")
    assert arrays["values"].shape == (2, 0)
    assert app.frame("bins", run="run", layer=0)[1]["counts"].shape == (0, 128)
    assert app.json("findings", run="run")["findings"] == []


def test_a_run_of_metrics_alone_has_no_layers(tmp_path, open_logdir):
    with RunFile(tmp_path / "run") as file:
        file.metric("loss/train", 0, 1.0, role="train_loss")
    app = open_logdir(tmp_path)
    assert app.json("runs")["runs"][0]["error"] is None
    assert app.json("run", run="run")["layers"] == []
    for rows in ("layers", "parameters", "network"):
        _, arrays = app.frame("series", run="run", statistic="gradient_norm", rows=rows)
        assert arrays["values"].shape == (0, 0)
    assert app.json("findings", run="run")["findings"] == []


def test_one_layer_and_one_step(tmp_path, open_logdir):
    write_run(tmp_path / "run", layers=1, steps=[7])
    app = open_logdir(tmp_path)
    _, arrays = app.frame("series", run="run", statistic="gradient_norm", band="true")
    assert arrays["values"].shape == (1, 1)
    assert arrays["steps"].tolist() == [7]
    assert app.json("findings", run="run")["findings"] == []


def test_a_resumed_run_supersedes_what_lay_beyond(tmp_path, open_logdir):
    write_run(tmp_path / "run", steps=range(100), seed=1)
    write_run(tmp_path / "run", steps=range(60, 80), seed=2, start=LATER)
    write_run(tmp_path / "first", steps=range(100), seed=1)
    write_run(tmp_path / "second", steps=range(60, 80), seed=2)
    app = open_logdir(tmp_path)
    _, resumed = app.frame("series", run="run", statistic="gradient_norm")
    _, first = app.frame("series", run="first", statistic="gradient_norm")
    _, second = app.frame("series", run="second", statistic="gradient_norm")
    np.testing.assert_array_equal(resumed["steps"], np.arange(80))
    np.testing.assert_array_equal(resumed["values"], np.hstack([first["values"][:, :60], second["values"]]))
    _, metrics = app.frame("metrics", run="run")
    np.testing.assert_array_equal(metrics["0.steps"], np.arange(80))
    _, counts = app.frame("bins", run="run", layer=0)
    assert counts["steps"].tolist() == [*range(0, 60, 8), 60, 68, 76]
    assert app.json("run", run="run")["sampling"]["last_step"] == 79


def test_a_run_resumed_with_another_network_supersedes_the_old_one_too(tmp_path, open_logdir):
    write_run(tmp_path / "run", layers=dense_layers(3), steps=range(10))
    changed = {name: shapes for name, shapes in dense_layers(5).items() if name != "blocks.1"}
    write_run(tmp_path / "run", layers=changed, steps=range(4, 8), start=LATER)
    app = open_logdir(tmp_path)
    run = app.json("run", run="run")
    assert [layer["name"] for layer in run["layers"]] == [f"blocks.{index}" for index in range(5)]
    _, arrays = app.frame("series", run="run", statistic="gradient_norm")
    np.testing.assert_array_equal(arrays["steps"], range(8))
    there, gone = [0] * 4, [1] * 4
    assert arrays["states"].tolist() == [there + there, there + gone, there + there, gone + there, gone + there]


def test_a_layer_whose_shape_changes_stays_one_layer(tmp_path, open_logdir):
    write_run(tmp_path / "run", layers={"head": {"weight": (4, 2)}}, steps=range(3))
    write_run(tmp_path / "run", layers={"head": {"weight": (4, 5)}}, steps=range(3, 6), start=LATER)
    app = open_logdir(tmp_path)
    run = app.json("run", run="run")
    assert [layer["name"] for layer in run["layers"]] == ["head"]
    assert [row["shape"] for row in run["parameters"]] == [[4, 5], [4, 2]]
    _, arrays = app.frame("series", run="run", statistic="gradient_mean_abs")
    assert arrays["states"].tolist() == [[0] * 6]
    # Random gradients of deviation 0.1 have a mean magnitude of 0.08, whatever the number of elements.
    assert np.all((arrays["values"] > 0.03) & (arrays["values"] < 0.16))


def test_models_of_one_run_share_an_axis_and_are_told_apart(tmp_path, open_logdir):
    write_run(tmp_path / "gan", model="generator", layers=2, steps=range(6))
    write_run(tmp_path / "gan", model="critic", layers=3, steps=range(0, 8, 2), start=LATER)
    app = open_logdir(tmp_path)
    run = app.json("run", run="gan")
    assert [model["name"] for model in run["models"]] == ["generator", "critic"]
    names = [layer["name"] for layer in run["layers"]]
    assert names == ["generator/blocks.0", "generator/blocks.1", *(f"critic/blocks.{index}" for index in range(3))]
    assert run["parameters"][0]["name"] == "generator/blocks.0.weight"
    assert [row["group"] for row in run["parameters"]] == [0] * 4 + [1] * 6
    assert [group["model"] for group in run["groups"]] == ["generator", "critic"]
    _, arrays = app.frame("series", run="gan", statistic="gradient_norm")
    assert arrays["steps"].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert arrays["states"].tolist() == [[0] * 6 + [1]] * 2 + [[0, 1, 0, 1, 0, 1, 0]] * 3


def test_hostile_names_arrive_as_they_are(tmp_path, open_logdir):
    # A run's name is a folder's, which holds neither slashes that lead elsewhere nor 500 characters.
    folders = ["<img src=x onerror=alert(1)>", "line\nbreak", "🦆 naïve", "x" * 200, "%2e%2e", "a&run=b"]
    for folder in folders:
        write_run(tmp_path / folder, layers={name: {"weight": (2, 2)} for name in HOSTILE_NAMES}, steps=range(3))
        with RunFile(tmp_path / folder, start=LATER) as file:
            for name in HOSTILE_NAMES:
                file.metric(name, 0, 1.0)
    app = open_logdir(tmp_path)
    assert sorted(run["run"] for run in app.json("runs")["runs"]) == sorted(folders)
    for folder in folders:
        run = app.json("run", run=folder)
        assert [layer["name"] for layer in run["layers"]] == list(HOSTILE_NAMES)
        header, _ = app.frame("metrics", run=folder)
        assert {metric["name"] for metric in header["metrics"]} >= set(HOSTILE_NAMES)
        header, arrays = app.frame("series", run=folder, statistic="gradient_norm")
        assert header["run"] == folder
        assert arrays["values"].shape == (len(HOSTILE_NAMES), 3)
    raw = app.client.get(f"/data/plugin/netviz/run?run={quote(folders[0])}")
    assert raw.headers["X-Content-Type-Options"] == "nosniff"


def test_a_sample_is_called_a_sample(tmp_path, open_logdir):
    write_run(tmp_path / "long", layers=1, steps=range(300))
    write_run(tmp_path / "short", layers=1, steps=range(50))
    app = open_logdir(tmp_path, samples=50)
    assert app.json("run", run="long")["sampling"]["evicted"] is True
    assert app.json("run", run="short")["sampling"] == {
        "records": 50,
        "first_step": 0,
        "last_step": 49,
        "evicted": False,
    }
