"""Activation maps of two steps and of two runs side by side."""

import re

import pytest
from playwright.sync_api import expect

from tests.support.mapviews import csv_of, grid, page, spoken


def test_two_steps_stand_side_by_side(maps, probed):
    tab = maps(layer="blocks.0", step=20)
    tab.role("button", re.compile("^Comparison: ")).click()
    tab.role("menuitemradio", "Step 20 of this run").click()
    tab.wait_for_selection("against", "step:20")
    tab.role("slider", "Recorded maps").focus()
    tab.page.keyboard.press("End")
    grid(tab).focus()
    expect(spoken(tab)).to_contain_text("step 20: ")
    rows = csv_of(tab)
    assert list(rows[0]) == [
        "map",
        *(f"{name}, step {step}" for step in (80, 20) for name in ("min", "max", "strength", "not finite")),
    ]
    then = float(page(probed, step=20)["strength"][0])
    assert float(rows[0]["strength, step 20"]) == pytest.approx(then, rel=1e-6)
    tab.role("button", "Compare with the maps recorded before").click()
    tab.wait_for_selection("against", "step:10")


def test_two_runs_stand_side_by_side(maps, probed):
    tab = maps(layer="blocks.0")
    tab.role("button", re.compile("^Comparison: ")).click()
    tab.role("menuitemradio", "Run other").click()
    grid(tab).focus()
    expect(spoken(tab)).to_contain_text("other, step 80: ")
    tab.page.keyboard.press("End")
    expect(spoken(tab)).to_contain_text("other, step 80: there is no such map")
    rows = csv_of(tab)
    theirs = page(probed, run="other")["strength"]
    assert float(rows[0]["strength, other, step 80"]) == pytest.approx(float(theirs[0]), rel=1e-6)
    assert rows[-1]["strength, other, step 80"] == ""
    tab.role("button", re.compile("^Module: ")).click()
    tab.role("menuitemradio", re.compile("^encoder.attn")).click()
    expect(tab.page.frame_locator("iframe").locator(".view-notes")).to_contain_text("Other has no maps of")
