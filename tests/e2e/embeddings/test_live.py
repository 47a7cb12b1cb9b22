"""Embeddings while the training goes on: new points come by themselves, nothing blinks, and what was chosen stays."""

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.test_live import WATCH
from tests.support.embeddings import EmbeddingFile, described, point_set
from tests.support.embeddingviews import DRAWN, LAYOUTS, POINTS, cloud, figures, positions_of, predicted, signature
from tests.support.runs import RunFile
from tests.support.servers import tensorboard

pytestmark = pytest.mark.both_loaders


class Training:
    """A run that gets one more record whenever it is asked to."""

    def __init__(self, file):
        self.file = file
        self.written = EmbeddingFile(file, described(point_set(POINTS), layouts=LAYOUTS[:2]))
        self.labels = positions_of(0)[1]
        self.written.labels(0, self.labels)

    def record(self, step, *, layouts=(0, 1)):
        """Write a step, by PCA or by both layouts."""
        for layout in layouts:
            self.written.lay(step, positions_of(step)[0], layout=layout, figures=figures(step))
        if 0 in layouts:
            self.written.measure(step, {"effective_rank": 9.0}, signature(step, 0), predicted(step, self.labels, 3))
        self.file.flush()


@pytest.fixture
def running(load_fast, tmp_path):
    """Returns a training of one record, and a TensorBoard over it."""
    with RunFile(tmp_path / "runs" / "live") as file:
        training = Training(file)
        training.record(0, layouts=(0,))
        with tensorboard(tmp_path / "runs", load_fast=load_fast) as server:
            server.wait_for_runs("live")
            yield training, server


def test_points_come_by_themselves_and_what_was_chosen_stays(open_page, running):
    training, server = running
    tab = open_page(server).open(view="embeddings", run="live")
    cloud(tab).wait_for()
    tab.wait_for(DRAWN)
    notes = tab.page.frame_locator("iframe").locator(".trust")
    expect(notes).to_contain_text("This is PCA; t-SNE takes longer, and comes when it is ready.")
    tab.role("textbox", "Search points").fill("#5")
    tab.role("button", "Select", exact=True).click()
    tab.role("button", "Correctness", exact=True).click()
    tab.frame.evaluate(WATCH)
    training.record(0, layouts=(1,))
    expect(tab.role("button", "Layout: t-SNE, 2-D")).to_be_visible()
    training.record(10)
    expect(cloud(tab)).to_have_accessible_name(re.compile("at step 10"))
    expect(tab.role("slider", "Recorded points")).to_have_attribute("aria-valuetext", "step 10, 2 of 2")
    tab.role("button", "Points recorded before").click()
    training.record(20)
    expect(tab.role("slider", "Recorded points")).to_have_attribute("aria-valuetext", "step 0, 1 of 3")
    expect(tab.role("region", "Selected points", exact=True)).to_contain_text("1 selected point")
    expect(tab.role("button", "Correctness", exact=True)).to_have_attribute("aria-pressed", "true")
    assert tab.frame.evaluate("blinks") == []
