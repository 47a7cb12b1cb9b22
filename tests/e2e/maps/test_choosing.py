"""Choosing which activation maps to see, by link, keyboard, step, strength and layer."""

import re

import numpy as np
from playwright.sync_api import expect

from tests.support.mapviews import ILL, MANY, SILENT, csv_of, grid, page, spoken


def test_a_link_opens_module_input_step_and_comparison(maps):
    tab = maps(map="attention:encoder.attn", sample=2, step=20, against="step:0")
    expect(grid(tab)).to_have_accessible_name(re.compile(r"^encoder\.attn at step 20: 4 maps"))
    expect(tab.role("option", "eight")).to_have_attribute("aria-selected", "true")
    expect(tab.role("button", re.compile("^Comparison: "))).to_contain_text("Compared with step 0")


def test_the_slider_goes_through_the_steps_of_the_probe(maps):
    tab = maps(layer="blocks.0", step=20)
    slider = tab.role("slider", "Recorded maps")
    slider.focus()
    tab.page.keyboard.press("ArrowRight")
    tab.wait_for_selection("step", 40)
    expect(slider).to_have_attribute("aria-valuetext", "step 40, 4 of 5")
    expect(grid(tab)).to_have_accessible_name(re.compile("at step 40"))
    tab.page.keyboard.press("Home")
    tab.wait_for_selection("step", 0)


def test_playing_ends_at_the_newest_step(maps):
    tab = maps(layer="blocks.0", step=0)
    tab.role("button", "Play the maps").click()
    expect(tab.role("slider", "Recorded maps")).to_have_attribute("aria-valuetext", "step 80, 5 of 5")
    tab.role("button", "Play the maps").wait_for()


def test_a_step_between_shows_what_was_recorded_before_and_says_so(maps):
    tab = maps(layer="blocks.0", step=35)
    expect(grid(tab)).to_have_accessible_name(re.compile("at step 20"))
    notes = tab.page.frame_locator("iframe").locator(".view-notes")
    expect(notes).to_contain_text("Maps were recorded at step 20, not at 35.")


def test_maps_are_sorted_by_strength_and_stay_so_while_steps_go_by(maps, probed):
    tab = maps(layer="blocks.0", step=40)
    tab.role("button", "Strength", exact=True).click()
    strength = page(probed, step=40)["strength"]
    expected = [ILL, *(int(index) for index in np.argsort(-np.nan_to_num(strength), kind="stable") if index != ILL)]
    notes = tab.page.frame_locator("iframe").locator(".view-notes")
    expect(notes).to_contain_text("Sorted by strength at step 40.")
    assert [int(row["map"]) for row in csv_of(tab)] == expected
    tab.role("slider", "Recorded maps").focus()
    tab.page.keyboard.press("Home")
    expect(grid(tab)).to_have_accessible_name(re.compile("at step 0"))
    assert [int(row["map"]) for row in csv_of(tab)] == expected


def test_a_large_module_is_read_as_far_as_one_scrolls_and_nothing_is_left_out(maps, probed):
    tab = maps(map="feature_map:wide")
    grid(tab).focus()
    tab.page.keyboard.press("End")
    low, high = page(probed, "wide", first=512)["ranges"][MANY - 1 - 512]
    expect(spoken(tab)).to_contain_text(f"channel 599 · −{-low:.3g} to {high:.3g}")
    assert tab.frame.evaluate("document.querySelector('.map-grid .chart-scroller').scrollTop") > 0
    assert len(csv_of(tab)) == MANY


def test_maps_can_be_chosen_by_number_and_by_strength(maps):
    tab = maps(layer="blocks.0")
    field = tab.role("textbox", "Numbers of maps to show")
    field.fill("2, 9-")
    expect(grid(tab)).to_have_accessible_name(re.compile(": 4 maps"))
    assert [row["map"] for row in csv_of(tab)] == ["2", "9", "10", "11"]
    field.fill("two")
    expect(tab.page.frame_locator("iframe").get_by_text("Type numbers of maps")).to_be_visible()
    field.fill("")
    tab.role("button", "Show: All maps").click()
    tab.role("menuitemradio", "Those that are zero everywhere").click()
    assert [row["map"] for row in csv_of(tab)] == [str(SILENT)]


def test_inputs_are_chosen_with_the_keyboard(maps, probed):
    tab = maps(layer="blocks.0")
    tab.role("listbox", "Inputs of the probe").focus()
    tab.page.keyboard.press("ArrowDown")
    tab.wait_for_selection("sample", 1)
    second = float(page(probed, sample=1)["strength"][0])
    expect(tab.page.frame_locator("iframe").locator(".maps-inputs > h3")).to_contain_text("five")
    grid(tab).focus()
    expect(spoken(tab)).to_contain_text(f"strength {second:.3g}")


def test_the_selected_layer_and_the_module_go_together(maps):
    tab = maps(layer="blocks.0")
    tab.role("button", re.compile("^Module: ")).click()
    tab.role("menuitemradio", re.compile(r"^blocks\.2 · Feature maps")).click()
    tab.wait_for_selection("layer", "blocks.2")
    tab.page.keyboard.press("ArrowUp")
    tab.wait_for_selection("layer", "blocks.1")
    expect(grid(tab)).to_have_accessible_name(re.compile(r"^blocks\.1 at step 80"))


def test_a_layer_that_is_selected_in_another_view_brings_its_maps(maps):
    tab = maps(layer="blocks.0")
    tab.role("link", "Gradient flow").click()
    tab.wait_until_drawn("Gradient norm")
    tab.heatmap("Gradient norm").focus()
    tab.page.keyboard.press("ArrowDown")
    tab.wait_for_selection("layer", "blocks.1")
    tab.role("link", "Activations").click()
    expect(grid(tab)).to_have_accessible_name(re.compile(r"^blocks\.1 at step 80"))
