"""The page of activation maps as a whole: without maps, with hostile names, narrow, for readers of the screen."""

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.test_accessibility import violations
from tests.support.browser import TOOLBARS_HOLD_ALL
from tests.support.mapviews import HOSTILE, csv_of, grid


def test_a_run_without_maps_says_how_to_record_them(open_page, probed):
    tab = open_page(probed).open(view="activations", section="maps", run="plain")
    notice = tab.role("region", "No activation maps were recorded in this run")
    expect(notice).to_contain_text("writer.watch_activation_maps(inputs)")
    expect(notice).to_contain_text("were not recorded either: they come with writer.watch(model, optimizer)")


def test_names_of_probes_modules_and_inputs_are_text(maps):
    tab = maps(HOSTILE)
    expect(tab.page.frame_locator("iframe").locator(".maps-inputs > h3")).to_contain_text(HOSTILE)
    tab.role("button", re.compile("^Module: ")).click()
    tab.role("menuitemradio", "../../etc/passwd").click()
    expect(grid(tab)).to_have_accessible_name(re.compile(r"^\.\./\.\./etc/passwd at step 80"))
    assert len(csv_of(tab)) == 2
    assert tab.frame.locator("img, iframe, [onerror]").count() == 0


@pytest.mark.parametrize("width", [720, 1440])
def test_everything_stays_within_the_width(maps, width):
    tab = maps(layer="blocks.0", against="step:10", viewport={"width": width, "height": 900})
    grid(tab).focus()
    tab.page.keyboard.press("Enter")
    tab.role("region", "Channel 0 of blocks.0").wait_for()
    assert tab.frame.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert tab.frame.evaluate(
        "[...document.querySelectorAll('.maps-stage, .maps-zoom, .maps-inputs')].every((one) =>"
        " one.scrollWidth <= one.clientWidth)"
    )
    assert tab.frame.evaluate(TOOLBARS_HOLD_ALL)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_all_of_it_is_accessible(maps, theme):
    tab = maps(layer="blocks.0", against="run:other", step=35)
    if theme == "dark":
        tab.page.evaluate("document.body.classList.add('dark-mode')")
        tab.wait_for("() => document.documentElement.dataset.theme === 'dark'")
    tab.role("button", "Strength", exact=True).click()
    grid(tab).focus()
    tab.page.keyboard.press("Enter")
    tab.role("region", re.compile("^Channel . of")).wait_for()
    assert violations(tab) == []
    tab.role("button", re.compile("^Module: ")).click()
    assert violations(tab) == []
    tab.page.keyboard.press("Escape")
    grid(tab).focus()
    tab.page.keyboard.press("t")
    tab.role("region", re.compile("table$")).first.wait_for()
    assert violations(tab) == []


def test_a_run_without_maps_is_accessible(open_page, probed):
    tab = open_page(probed).open(view="activations", section="maps", run="plain")
    tab.role("region", "No activation maps were recorded in this run").wait_for()
    assert violations(tab) == []
