"""The verdict is the same by whatever way it is reached.

In training, by `tb-netviz check`, and in the tab over either of TensorBoard's loaders, whatever these sample.
"""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout

import pytest
import torch
from torch import nn

from tb_netviz.cli import main
from tb_netviz.pytorch import NetVizWriter
from tb_netviz.reading import read_runs
from tb_netviz_plugin.diagnosis.telling import tell
from tests.diagnosis.store import folder_of
from tests.diagnosis.test_scenarios import CHOSEN
from tests.support.servers import tensorboard, wait_until

LONG = "long"
STEPS = 3000
KEPT_BY_DEFAULT = 100
"""Tensors of a tag that TensorBoard keeps where nothing raises it."""


class Network(nn.Module):
    """A tiny network, of which a part is forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 2))
        self.spare = nn.Linear(4, 4)

    def forward(self, inputs):
        return self.body(inputs)


def train_for_long(folder):
    """Train for so long that TensorBoard would keep a sample by default; units die in the middle."""
    torch.manual_seed(0)
    model, criterion = Network(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    with NetVizWriter(folder) as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(STEPS):
            if step == STEPS // 2:
                with torch.no_grad():
                    model.body[0].bias[:20] = -1e3
            inputs = torch.randn(32, 8)
            loss = criterion(model(inputs), (inputs[:, 0] > 0).long())
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            writer.add_scalar("loss/train", loss, writer.step)


def brief(finding, name):
    """Return what makes a finding the same, with what follows from it."""
    told = {key: finding[key] for key in ("id", "severity", "first_step", "last_step", "message", "units")}
    told["layers"] = [name(layer) for layer in finding["layers"]]
    return told | {"consequences": [brief(one, name) for one in finding.get("consequences", ())]}


def verdict(answer, name=str):
    """Return the findings of a run, and of which rules there is no verdict and why."""
    return {
        "findings": [brief(finding, name) for finding in answer["findings"]],
        "passed": [one["rule"] for one in answer["passed"]],
        "not_checked": [(one["rule"], one["reason"]) for one in answer["not_checked"]],
    }


@pytest.fixture(scope="module")
def in_training(trainings):
    """What the checks beside the trainings said at their ends, by the name of the run."""
    heard = {LONG: trainings.by(LONG, train_for_long)}
    for scenario in CHOSEN:
        heard[f"{folder_of(scenario, 0)}/run"] = trainings.of(scenario)[2]
    return {name: of_training(*one.last) for name, one in heard.items()}


def of_training(report, network):
    return verdict(tell(report, naming=lambda layer: network.layers[layer].name))


@pytest.fixture(scope="module")
def checked(in_training, trainings):
    """What `tb-netviz check` says, by the name of the run."""
    text = io.StringIO()
    with redirect_stdout(text):
        assert main(["check", str(trainings.folder), "--format", "json"]) == 1
    found = {run["run"]: verdict(run) for run in json.loads(text.getvalue())["runs"]}
    assert found.keys() == in_training.keys()
    return found


def test_a_check_says_what_was_said_in_training(in_training, checked):
    assert checked == in_training


def test_there_is_something_to_say(checked):
    rules = {finding["id"].partition(":")[0] for run in checked.values() for finding in run["findings"]}
    assert len(rules) >= 12
    assert {"dead_units", "unused_parameter"} <= {finding["id"] for finding in checked[LONG]["findings"]}


@pytest.mark.parametrize("load_fast", [True, False], ids=["rust", "python"])
def test_the_tab_says_the_same_over_either_loader(trainings, checked, load_fast):
    revisions = {run.name: run.revision for run in read_runs(trainings.folder)}
    with tensorboard(trainings.folder, load_fast=load_fast, arguments=["--samples_per_plugin=scalars=50"]) as server:
        wait_until(lambda: revisions_of(server) == revisions, "TensorBoard did not read all runs")
        for name, expected in checked.items():
            assert in_tab(server, name) == expected, name
        sampling = server.plugin_json("run", run=LONG)["sampling"]
    assert sampling["records"] > KEPT_BY_DEFAULT
    assert sampling["evicted"] is False


def test_the_tab_says_where_it_has_but_a_sample(trainings, checked):
    with tensorboard(trainings.folder / LONG, arguments=["--samples_per_plugin=netviz=100"]) as server:
        server.wait_for_runs(".", last_step=STEPS - 1)
        assert server.plugin_json("run", run=".")["sampling"]["evicted"] is True
        sampled = in_tab(server, ".")
    # What lasts is found in a sample, too; steps and numbers may differ.
    lasting = {finding["id"] for finding in checked[LONG]["findings"] if finding["severity"] != "info"}
    assert lasting <= {finding["id"] for finding in sampled["findings"]}


def revisions_of(server):
    return {run["run"]: run["revision"] for run in server.plugin_json("runs")["runs"]}


def in_tab(server, run):
    layers = server.plugin_json("run", run=run)["layers"]
    return verdict(server.plugin_json("findings", run=run), lambda layer: layers[layer]["name"])
