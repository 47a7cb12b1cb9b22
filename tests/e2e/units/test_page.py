"""The page of dead units as a whole: by link, with hostile names, narrow, for readers of the screen."""

import pytest
from playwright.sync_api import expect

from tests.e2e.test_accessibility import violations
from tests.support.unitviews import HOSTILE, lives, verdict

NARROW = {"width": 720, "height": 800}


def test_a_link_opens_the_view_on_its_unit_and_thresholds(units):
    tab = units(activation="gate.act", layer="gate", unit=7, step=1500, state="saturated", windows=3)
    assert tab.role("textbox", "Go to feature").input_value() == "7"
    assert tab.role("button", "Dead after 1,000 samples, 3 windows").is_visible()
    before = tab.selection()
    tab.page.reload()
    tab.wait_until_drawn("Saturated units")
    assert tab.selection() == before


def test_a_link_to_an_activation_alone_brings_its_layer_and_keeps_its_unit(units):
    tab = units(activation="gate.act", unit=7)
    tab.wait_for_selection("layer", "gate")
    assert (tab.selection()["activation"], tab.selection()["unit"]) == ("gate.act", "7")


def test_hostile_names_are_words_only(tab):
    tab.open(view="units", run=HOSTILE)
    lives(tab).wait_for()
    expect(verdict(tab)).to_contain_text(HOSTILE)
    assert tab.frame.evaluate("document.querySelector('main img') === null")


def test_a_narrow_page_keeps_everything_within_its_width(open_page, server):
    tab = open_page(server, viewport=NARROW).open(view="units", run="units")
    tab.wait_until_drawn("Dead units")
    assert tab.frame.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_view_is_accessible(tab, theme):
    tab.open(view="units", run="units", layer="fc1")
    tab.wait_until_drawn("Dead units")
    tab.role("region", "Unit ").first.wait_for()
    if theme == "dark":
        tab.page.evaluate("document.body.classList.add('dark-mode')")
        tab.wait_for("() => document.documentElement.dataset.theme === 'dark'")
    assert violations(tab) == []
