"""Choosing steps, layouts, groups and points, by link, keyboard, pointer and search."""

import re

from playwright.sync_api import expect

from tests.support.embeddings import CLASSES
from tests.support.embeddingviews import (
    NOWHERE,
    POINTS,
    UNLABELLED,
    arrays,
    cloud,
    csv_of,
    trust,
)


def named(tab, words):
    expect(cloud(tab).first).to_have_accessible_name(re.compile(words))


def test_a_link_opens_embedding_layout_step_and_colours(points):
    tab = points(embedding="fc2", layout="tsne-3-live", step=20, colour="prediction")
    named(tab, "^fc2 at step 20: ")
    expect(tab.role("button", "Layout: t-SNE, 3-D")).to_be_visible()
    expect(tab.role("button", "Prediction", exact=True)).to_have_attribute("aria-pressed", "true")


def test_embedding_and_layout_are_chosen_from_menus(points):
    tab = points()
    tab.role("button", "Embedding: fc1").click()
    tab.role("menuitemradio", re.compile("^fc2")).click()
    tab.wait_for_selection("embedding", "fc2")
    named(tab, "^fc2 at step 80")
    tab.role("button", re.compile("^Layout: ")).click()
    tab.role("menuitemradio", re.compile("^PCA, 2-D")).click()
    tab.wait_for_selection("layout", "pca-2-live")
    expect(tab.page.frame_locator("iframe").locator(".cloud .caption")).to_contain_text("PCA, 2-D")


def test_the_slider_goes_through_the_steps_of_the_embedding(points):
    tab = points(step=20)
    slider = tab.role("slider", "Recorded points")
    slider.focus()
    tab.page.keyboard.press("ArrowRight")
    tab.wait_for_selection("step", 40)
    expect(slider).to_have_attribute("aria-valuetext", "step 40, 4 of 5")
    named(tab, "at step 40")
    expect(trust(tab)).to_contain_text("2 steps before this one were left out: the worker was busy.")


def test_arrows_and_space_move_the_points_wherever_the_focus_is(points):
    tab = points(step=20)
    tab.role("button", "Class", exact=True).focus()
    tab.page.keyboard.press("ArrowLeft")
    tab.wait_for_selection("step", 10)
    tab.page.keyboard.press("Home")
    tab.wait_for_selection("step", 0)
    tab.frame.evaluate("document.activeElement.blur()")
    tab.page.keyboard.press("Space")
    expect(tab.role("slider", "Recorded points")).to_have_attribute("aria-valuetext", "step 80, 5 of 5")


def test_playing_starts_anew_and_ends_at_the_newest_step(points):
    tab = points()
    tab.role("button", "Play the points").click()
    slider = tab.role("slider", "Recorded points")
    expect(slider).to_have_attribute("aria-valuetext", "step 10, 2 of 5")
    expect(slider).to_have_attribute("aria-valuetext", "step 80, 5 of 5")
    tab.role("button", "Play the points").wait_for()
    named(tab, "at step 80")


def test_a_step_between_shows_what_was_recorded_before_and_says_so(points):
    tab = points(step=35)
    named(tab, "at step 20")
    notes = tab.page.frame_locator("iframe").locator(".view-notes")
    expect(notes).to_contain_text("Points were recorded at step 20, not at 35.")


def test_groups_and_searches_leave_their_points_in_colour_which_can_be_selected(points, embedded):
    tab = points()
    labels = arrays(embedded, "point_labels", set=0)["labels"]
    legend = tab.role("complementary", "Legend")
    legend.get_by_role("button", name=re.compile("^two")).focus()
    tab.page.keyboard.press("Enter")
    expect(legend.get_by_role("status")).to_have_text(f"{(labels == 2).sum()} of 300 points in colour")
    tab.role("textbox", "Search points").fill("#0-99")
    found = [index for index in range(100) if labels[index] == 2]
    expect(legend.get_by_role("status")).to_have_text(f"{len(found)} of 300 points in colour")
    tab.role("button", "Select", exact=True).click()
    rows = csv_of(tab, tab.role("region", "Selected points", exact=True).get_by_role("button", name="Save as CSV"))
    assert [int(row["point"]) for row in rows] == found
    assert {row["label"] for row in rows} == {CLASSES[2]}
    legend.get_by_role("button", name="Show all").click()
    expect(legend.get_by_role("status")).to_have_text("300 points")
    tab.role("button", "Clear the selection").click()
    expect(tab.role("region", "Selected points", exact=True)).to_have_count(0)


def test_points_without_a_label_are_a_group(points):
    tab = points()
    tab.role("complementary", "Legend").get_by_role("button", name="no label 1").click()
    tab.role("button", "Select", exact=True).click()
    table = tab.role("region", "Selected points", exact=True).get_by_role("table")
    expect(table.get_by_role("row")).to_have_count(2)
    expect(table).to_contain_text(str(UNLABELLED))


def test_a_lasso_selects_the_points_inside_it(points):
    tab = points()
    tab.role("button", "Lasso", exact=True).click()
    box = cloud(tab).bounding_box()
    left, top = box["x"] + 4, box["y"] + 4
    right, bottom = left + box["width"] - 8, top + box["height"] - 8
    tab.page.mouse.move(left, top)
    tab.page.mouse.down()
    for x, y in ((right, top), (right, bottom), (left, bottom), (left, top)):
        tab.page.mouse.move(x, y, steps=4)
    tab.page.mouse.up()
    selected = tab.role("region", "Selected points", exact=True)
    expect(selected).to_contain_text(f"{POINTS - 1} selected points")
    rows = csv_of(tab, selected.get_by_role("button", name="Save as CSV"))
    assert {int(row["point"]) for row in rows} == set(range(POINTS)) - {NOWHERE}
    expect(selected.get_by_role("listitem")).to_have_count(48)


def test_a_selection_stays_while_steps_go_by(points):
    tab = points()
    tab.role("textbox", "Search points").fill("#5")
    tab.role("button", "Select", exact=True).click()
    selected = tab.role("region", "Selected points", exact=True)
    expect(selected).to_contain_text("1 selected point")
    tab.role("button", "Points recorded before").click()
    named(tab, "at step 40")
    expect(selected).to_contain_text("1 selected point")
