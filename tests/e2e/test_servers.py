"""TensorBoards that are set up in other ways."""

import re

import pytest
import torch
from playwright.sync_api import expect

from tb_netviz.pytorch import NetVizWriter
from tests.support.runs import RunFile, write_run
from tests.support.servers import tensorboard
from tests.support.trainings import Training

pytestmark = pytest.mark.both_loaders


def test_a_log_folder_without_our_data_is_not_offered_the_tab(open_page, tmp_path, load_fast):
    with RunFile(tmp_path / "other") as file:
        file.foreign("loss", 0, 1.0)
    with tensorboard(tmp_path, load_fast=load_fast) as server:
        tab = open_page(server)
        tab.page.goto(server.url)
        tab.page.get_by_role("tab", name="Scalars").first.wait_for()
        assert tab.page.get_by_role("tab", name="Gradient Flow").count() == 0


def test_a_path_prefix_does_not_get_in_the_way(open_page, tmp_path, load_fast):
    write_run(tmp_path / "run", steps=range(20))
    with tensorboard(tmp_path, load_fast=load_fast, path_prefix="/some/where") as server:
        server.wait_for_runs("run", last_step=19)
        tab = open_page(server).open(view="flow", run="run")
        tab.wait_until_drawn("Gradient norm")
        assert tab.page.url.startswith(f"{server.url}/")


def test_a_run_of_a_newer_schema_says_so(open_page, tmp_path, load_fast):
    write_run(tmp_path / "newer", schema_version=99)
    with tensorboard(tmp_path, load_fast=load_fast) as server:
        server.wait_for_runs("newer")
        tab = open_page(server).open(run="newer")
        notice = tab.role("region", "This run can’t be read")
        notice.wait_for()
        assert "newer netviz" in notice.inner_text()


def train(folder, asked):
    """Train ten steps whenever it is asked for."""
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with NetVizWriter(folder) as writer:
        writer.watch(model, optimizer, every=1)
        while asked():
            for _ in range(10):
                loss = model(torch.randn(4, 8)).square().mean()
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                writer.add_scalar("loss/train", loss, writer.step)


NUMBER = re.compile(r"^0\.\d+$")
NEWEST_STEP_FROM = """
(step) => Number(document.querySelector('[aria-label=Step][type=range]')?.max) >= step
"""


def test_a_tab_follows_a_training_that_goes_on(open_page, tmp_path, load_fast):
    with Training(train, tmp_path / "live") as training:
        training.go_on()
        with tensorboard(tmp_path, load_fast=load_fast) as server:
            server.wait_for_runs("live", last_step=9)
            tab = open_page(server).open(view="flow", run="live")
            tab.wait_until_drawn("Gradient norm")
            for trained in (10, 20, 30):
                # The newest record is written when the next one begins.
                tab.wait_for(NEWEST_STEP_FROM, trained - 2)
                training.go_on()


def test_layers_without_a_gradient_and_with_nan_are_told_apart(open_page, tmp_path, load_fast):
    steps = range(12)
    write_run(tmp_path / "ill", layers=4, none={"blocks.1": steps}, nan={"blocks.2": steps}, zero={"blocks.3": steps})
    with tensorboard(tmp_path, load_fast=load_fast) as server:
        server.wait_for_runs("ill")
        tab = open_page(server).open(view="flow", run="ill")
        tab.wait_until_drawn("Gradient norm")
        tab.heatmap("Gradient norm").focus()
        tab.page.keyboard.press("t")
        row = tab.role("region", "Gradient norm, table").get_by_role("row").nth(1)
        expect(row.get_by_role("cell")).to_have_text(["0", "0", NUMBER, "no gradient", "non-finite", "0"])
