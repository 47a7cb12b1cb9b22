"""Views that stay open while a real training writes: nothing blinks, and what was chosen stays."""

import re

import pytest
import torch
from playwright.sync_api import expect
from torch import nn

from tb_netviz.pytorch import NetVizWriter
from tests.support.servers import tensorboard
from tests.support.trainings import Training

pytestmark = pytest.mark.both_loaders

ROUND, ROUNDS = 20, 3
KILLING = 3
NEWEST_STEP_FROM = "step => Number(document.querySelector('[aria-label=Step][type=range]')?.max) >= step"
WATCH = """
() => {
    window.blinks = [];
    const watched = '.figure, .findings, .verdict, .listing, .maps-stage, .maps-inputs, canvas';
    const alarming = '.waiting, .skeleton, .notice, .data-notice, .maps-waiting, .absent';
    const note = (what, node, selector) => {
        if (node.nodeType !== 1) return;
        for (const one of [node, ...node.querySelectorAll('*')])
            if (one.matches(selector)) window.blinks.push(`${what} ${one.tagName}.${one.className}`);
    };
    new MutationObserver((changes) => {
        for (const { addedNodes, removedNodes } of changes) {
            for (const node of addedNodes) note('came', node, alarming);
            for (const node of removedNodes) note('went', node, watched);
        }
    }).observe(document.querySelector('main'), { childList: true, subtree: true });
}
"""


def train(folder, asked):
    """Train ROUND steps whenever it is asked for; in one of the rounds a third of the units die."""
    torch.manual_seed(0)
    wide = nn.Linear(144, 400)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), wide, nn.ReLU(), nn.Linear(400, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    inputs, rounds = torch.randn(64, 1, 8, 8), 0
    with NetVizWriter(folder) as writer:
        writer.watch(model, optimizer, every=1)
        writer.watch_activation_maps(inputs[:2], every=1)
        while asked():
            rounds += 1
            if rounds == KILLING:
                with torch.no_grad():
                    wide.bias[::3] -= 50
            for _ in range(ROUND):
                loss = model(inputs).square().mean()
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                writer.add_scalar("loss/train", loss, writer.step)


class Rounds:
    """A training, and how many steps it was asked for."""

    def __init__(self, training):
        self._training = training
        self.steps = 0

    def go_on(self):
        self._training.go_on()
        self.steps += ROUND


@pytest.fixture
def training(load_fast, tmp_path):
    """Returns a training of two rounds, and a TensorBoard over it."""
    with Training(train, tmp_path / "live") as process:
        training = Rounds(process)
        training.go_on()
        training.go_on()
        with tensorboard(tmp_path, load_fast=load_fast) as server:
            server.wait_for_runs("live", last_step=training.steps - 2)
            yield training, server


def follow(tab, training):
    """Let the training go on for some rounds, each of which has to come into view."""
    for _ in range(ROUNDS):
        training.go_on()
        # The newest record is written when the next one begins.
        tab.wait_for(NEWEST_STEP_FROM, training.steps - 2)


def test_dead_units_appear_while_units_and_scroll_stay(open_page, training):
    training, server = training
    tab = open_page(server).open(view="units", run="live", layer="3", activation="4", unit=200, list="all")
    tab.wait_until_drawn("Dead units")
    lives = tab.page.frame_locator("iframe").locator("[aria-roledescription='life lines']")
    tab.page.frame_locator("iframe").locator(".lives[aria-busy=false]").wait_for()
    scroller = lives.locator(".chart-scroller")
    scroller.evaluate("element => { element.scrollTop = 500 }")
    before = tab.selection()
    tab.frame.evaluate(WATCH)
    follow(tab, training)
    verdict = tab.page.frame_locator("iframe").locator(".verdict")
    expect(verdict).to_contain_text(re.compile(r"1\d\d of 400 units of 3 · ReLU are dead"))
    expect(tab.role("region", "Moments of death").get_by_role("listitem").first).to_contain_text("of 400 units")
    assert tab.selection() == before
    assert scroller.evaluate("element => element.scrollTop") == 500
    assert tab.frame.evaluate("blinks") == []


def test_statistics_of_activations_grow_and_nothing_blinks(open_page, training):
    training, server = training
    tab = open_page(server).open(view="activations", run="live", layer="3", activation="4", unit=7)
    tab.wait_until_drawn("Activation deviation")
    tab.role("region", "Unit 7", exact=True).get_by_role("application").nth(2).wait_for()
    before = tab.selection()
    tab.frame.evaluate(WATCH)
    follow(tab, training)
    assert tab.selection() == before
    assert tab.frame.evaluate("blinks") == []
    assert tab.heatmap("Activation deviation").count() == 1


def test_maps_follow_the_newest_step_and_stay_at_a_chosen_one(open_page, training):
    training, server = training
    tab = open_page(server).open(view="activations", section="maps", run="live", layer="0")
    grid = tab.page.frame_locator("iframe").locator("[aria-roledescription='grid of maps']")
    grid.wait_for()
    tab.frame.evaluate(WATCH)
    follow(tab, training)
    newest = server.plugin_json("probes", run="live")["probes"][0]["steps"][-1]
    expect(grid).to_have_accessible_name(re.compile(f"at step {newest}"))
    tab.role("slider", "Recorded maps").focus()
    tab.page.keyboard.press("Home")
    expect(grid).to_have_accessible_name(re.compile("at step 0"))
    before = tab.selection()
    follow(tab, training)
    expect(grid).to_have_accessible_name(re.compile("at step 0"))
    assert tab.selection() == before
    assert tab.frame.evaluate("blinks") == []
