"""Reading activation maps: values, marks, colours, tables and pictures, over both loaders."""

import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.support.mapviews import CONSTANT, ILL, PARTLY, SILENT, STEPS, csv_of, grid, page, spoken

pytestmark = pytest.mark.both_loaders


def test_it_opens_on_the_newest_maps_and_says_what_they_take(maps, probed):
    tab = maps(layer="blocks.1")
    expect(grid(tab)).to_have_accessible_name(re.compile(r"^blocks\.1 at step 80: 12 maps"))
    recorded = tab.role("region", "What this probe takes")
    taken = probed.plugin_json("probes", run="probed")["probes"][0]["bytes"]
    assert taken > 0
    expect(recorded).to_contain_text("5 steps, 7 modules")
    expect(recorded).to_contain_text(f"{taken / 1024:.0f} KiB of the budget of 64 MiB")
    expect(recorded).to_contain_text("lstm: its 64 units are averaged down to 24")
    expect(tab.role("option")).to_have_text(["three", "five", "eight", "nine"])


def test_the_keyboard_goes_through_maps_and_shows_one_large(maps, probed):
    tab = maps(layer="blocks.0")
    grid(tab).focus()
    tab.page.keyboard.press("Home")
    for _ in range(2):
        tab.page.keyboard.press("ArrowRight")
    low, high = page(probed)["ranges"][2]
    expect(spoken(tab)).to_contain_text(f"channel 2 · −{-low:.3g} to {high:.3g} · strength")
    tab.page.keyboard.press("Enter")
    large = tab.role("region", "Channel 2 of blocks.0")
    expect(large).to_contain_text(f"{high:.3g}")
    expect(large).to_contain_text("of 12")
    expect(large).to_contain_text("at 5 steps")
    tab.page.keyboard.press("ArrowRight")
    large = tab.role("region", "Channel 3 of blocks.0")
    expect(large).to_contain_text("constant 0")
    tab.page.keyboard.press("Escape")
    expect(large).to_have_count(0)
    expect(grid(tab)).to_be_focused()


def test_single_values_can_be_read_with_the_keyboard(maps, probed):
    tab = maps(layer="blocks.0")
    grid(tab).focus()
    tab.page.keyboard.press("Enter")
    values = tab.page.frame_locator("iframe").locator("[aria-roledescription=map]")
    values.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        tab.page.keyboard.press(key)
    arrays = page(probed)
    low, high = (float(bound) for bound in arrays["ranges"][0])
    value = low + arrays["pictures"][0, 1, 1] / 255 * (high - low)
    expect(spoken(tab)).to_contain_text(f"row 1, column 1: {value:.3g}".replace("-", "−"))


def test_marks_are_said_in_words(maps):
    tab = maps(layer="blocks.0")
    grid(tab).focus()
    tab.page.keyboard.press("Home")
    for index, words in ((SILENT, "constant 0"), (CONSTANT, "constant 2.5"), (ILL, "NaN or infinite")):
        while not spoken(tab).inner_text().startswith(f"channel {index} "):
            tab.page.keyboard.press("ArrowRight")
            tab.page.wait_for_timeout(300)
        expect(spoken(tab)).to_contain_text(words)
    expect(tab.role("img", re.compile("^Colours of the maps"))).to_have_accessible_name(re.compile("zero, NaN"))


def test_a_map_says_how_many_of_its_values_are_not_finite(maps):
    tab = maps(layer="blocks.0")
    grid(tab).focus()
    tab.page.keyboard.press("Home")
    for _ in range(PARTLY):
        tab.page.keyboard.press("ArrowRight")
    expect(spoken(tab)).to_contain_text("2 not finite")
    tab.page.keyboard.press("Enter")
    values = tab.page.frame_locator("iframe").locator("[aria-roledescription=map]")
    values.focus()
    for key in ("ArrowRight", "ArrowDown"):
        tab.page.keyboard.press(key)
    expect(spoken(tab)).to_contain_text("row 1, column 0")
    expect(spoken(tab)).to_contain_text("or not finite")


def test_the_table_and_the_csv_hold_ranges_and_strengths(maps, probed):
    tab = maps(layer="blocks.0")
    arrays = page(probed)
    for index, row in enumerate(csv_of(tab)):
        assert int(row["not finite"]) == {ILL: 16 * 16, PARTLY: 2}.get(index, 0)
        if index == ILL:
            assert (row["min"], row["max"], row["strength"]) == ("non-finite",) * 3
            continue
        assert [float(row["min"]), float(row["max"])] == pytest.approx(list(arrays["ranges"][index]), rel=1e-6)
        assert float(row["strength"]) == pytest.approx(float(arrays["strength"][index]), rel=1e-6)
    grid(tab).focus()
    tab.page.keyboard.press("t")
    table = tab.role("region", "blocks.0 at step 80, table")
    expect(table.get_by_role("columnheader")).to_have_text(["map", "min", "max", "strength", "not finite"])
    expect(table.get_by_role("row").nth(CONSTANT + 1).get_by_role("cell")).to_have_text(["4", "2.5", "2.5", "2.5", "0"])


def test_a_png_holds_the_maps(maps):
    tab = maps(layer="blocks.0")
    tab.role("button", re.compile("^Table and export of ")).first.click()
    with tab.page.expect_download() as download:
        tab.role("menuitem", "Save as PNG").click()
    assert download.value.suggested_filename == "blocks.0-at-step-80.png"
    image = Image.open(download.value.path()).convert("RGB")
    assert len(image.getcolors(maxcolors=image.width * image.height) or ()) > 100


def test_each_scale_says_what_it_was_taken_from(maps, probed):
    tab = maps(layer="blocks.0")
    notes = tab.page.frame_locator("iframe").locator(".view-notes")
    legend = tab.role("img", re.compile("^Colours of the maps"))
    expect(notes).to_contain_text("Each channel over its own range")
    first = float(np.abs(page(probed)["ranges"][0]).max())
    expect(legend).to_have_accessible_name(re.compile(f"−{first:.3g} to {first:.3g};"))
    tab.role("button", "This step").click()
    expect(notes).to_contain_text("The same for all 12 channels at this step")
    shown = float(np.nanmax(np.abs(page(probed)["ranges"])))
    expect(legend).to_have_accessible_name(re.compile(f"−{shown:.3g} to {shown:.3g};"))
    tab.role("button", "Steps loaded").click()
    notes.get_by_role("button", name="Load all 5 steps").click()
    expect(notes).to_contain_text("The same at the 5 steps loaded, of 5")
    largest = max(float(np.nanmax(np.abs(page(probed, step=step)["ranges"]))) for step in STEPS)
    expect(legend).to_have_accessible_name(re.compile(f"−{largest:.3g} to {largest:.3g};"))


def test_attention_has_no_signs_and_its_own_words(maps):
    tab = maps(map="attention:encoder.attn")
    expect(tab.role("img", re.compile("^Colours of the maps"))).to_have_accessible_name(re.compile(": 0.0"))
    grid(tab).focus()
    tab.page.keyboard.press("Enter")
    values = tab.page.frame_locator("iframe").locator("[aria-roledescription=map]")
    values.focus()
    tab.page.keyboard.press("ArrowRight")
    expect(spoken(tab)).to_contain_text("query 0, key 0: 0.")
    tab.role("button", "What are Attention?").click()
    expect(tab.page.frame_locator("iframe").locator(".sheet")).to_contain_text("adds up to one")


def test_a_map_lies_over_the_input(maps):
    tab = maps(layer="blocks.0")
    chosen = tab.page.frame_locator("iframe").locator(".chosen-input canvas")
    expect(chosen).to_have_count(1)
    tab.role("button", re.compile("^Picture: ")).click()
    tab.role("menuitemradio", re.compile("^Grad-CAM")).click()
    expect(chosen).to_have_count(2)
    opacity = tab.role("slider", "Opacity")
    opacity.focus()
    tab.page.keyboard.press("Home")
    expect(chosen.nth(1)).to_have_css("opacity", "0")
