"""Two steps, two layers and two runs side by side, and how similar they are."""

import re

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.support.embeddingviews import (
    STEPS,
    arrays,
    cloud,
    csv_of,
    pixel_of,
    whole_csv,
)


def test_two_steps_stand_side_by_side_with_a_linked_selection(points, embedded):
    tab = points(step=20)
    tab.role("button", re.compile("^Comparison: ")).click()
    tab.role("menuitemradio", "Step 20 of this run").click()
    tab.wait_for_selection("against", "step:20")
    tab.role("slider", "Recorded points").focus()
    tab.page.keyboard.press("End")
    expect(cloud(tab)).to_have_count(2)
    expect(cloud(tab).nth(0)).to_have_accessible_name(re.compile("^step 80: "))
    expect(cloud(tab).nth(1)).to_have_accessible_name(re.compile("^step 20: "))
    tab.role("textbox", "Search points").fill("#3, #4")
    tab.role("button", "Select", exact=True).click()
    rows = csv_of(tab, tab.role("region", "Selected points", exact=True).get_by_role("button", name="Save as CSV"))
    for step in (80, 20):
        at = arrays(embedded, "points", layout=1, step=step)["positions"][3:5]
        assert [float(row[f"x, step {step}"]) for row in rows] == pytest.approx(at[:, 0].tolist(), rel=1e-5)
    tab.role("button", "Compare with the points recorded before").click()
    tab.wait_for_selection("against", "step:10")
    expect(cloud(tab).nth(1)).to_have_accessible_name(re.compile("^step 10: "))


def test_a_point_that_is_clicked_on_one_side_is_selected_on_both(points, embedded):
    tab = points(against="embedding:fc2")
    expect(cloud(tab)).to_have_count(2)
    expect(cloud(tab).nth(1)).to_have_accessible_name(re.compile("^fc2, step 80: "))
    positions = arrays(embedded, "points", embedding="fc2", layout=1, step=80)["positions"]
    farthest = int(np.nanargmax(np.abs(positions - np.nanmean(positions, axis=0)).sum(axis=1)))
    tab.page.mouse.click(*pixel_of(positions, farthest, cloud(tab).nth(1).bounding_box()))
    rows = csv_of(tab, tab.role("region", "Selected points", exact=True).get_by_role("button", name="Save as CSV"))
    assert [int(row["point"]) for row in rows] == [farthest]
    assert {"x, fc1, step 80", "x, fc2, step 80"} <= set(rows[0])


def test_two_runs_stand_side_by_side(points, embedded):
    tab = points()
    tab.role("button", re.compile("^Comparison: ")).click()
    tab.role("menuitemradio", "Run other").click()
    expect(cloud(tab).nth(1)).to_have_accessible_name(re.compile("^other, step 80: "))
    rows = whole_csv(tab, "Trustworthiness")
    assert {row["series"] for row in rows} == {"fc1", "fc2", "other"}


def test_what_is_not_there_is_said(points):
    tab = points(embedding="fc2", against="run:plain")
    notes = tab.page.frame_locator("iframe").locator(".view-notes")
    expect(notes).to_contain_text("Plain has no embedding fc2.")
    tab = points(against="run:numbers")
    notes = tab.page.frame_locator("iframe").locator(".view-notes")
    expect(notes).to_contain_text("Numbers has no embedding fc1.")


def test_other_points_are_not_linked(points):
    tab = points("other", against="embedding:none")
    notes = tab.page.frame_locator("iframe").locator(".view-notes")
    expect(notes).to_contain_text("This run has no embedding none.")


def test_similarity_between_steps_is_that_of_the_server(points, embedded):
    tab = points()
    rows = whole_csv(tab, "Similarity between steps")
    expected = arrays(embedded, "similarity", other_run="layers", other="fc1")["values"]
    found = np.array([[float(row[f"step {step}"]) for step in STEPS] for row in rows])
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found.diagonal() == pytest.approx(1, abs=1e-5)
    assert found[0, -1] < 0.9


def test_two_steps_are_put_side_by_side_from_their_similarity(points):
    tab = points(step=40)
    heatmap = tab.page.frame_locator("iframe").locator("[aria-roledescription=heatmap]")
    heatmap.focus()
    tab.page.keyboard.press("ArrowDown")
    tab.wait_for_selection("against", "step:0")
    expect(cloud(tab)).to_have_count(2)


def test_similarity_to_the_other_run_is_that_of_the_server(points, embedded):
    tab = points(against="run:other")
    tab.role("button", re.compile("^Similarity: ")).click()
    tab.role("menuitemradio", "CKA with other").click()
    rows = whole_csv(tab, "Similarity to the steps of other")
    expected = arrays(embedded, "similarity", other_run="other", other="fc1")["values"]
    found = np.array([[float(row[f"step {step}"]) for step in STEPS] for row in rows])
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_similarity_between_layers_is_that_of_the_server(points, embedded):
    tab = points(step=40)
    tab.role("button", re.compile("^Similarity: ")).click()
    tab.role("menuitemradio", "CKA of layers").click()
    expected = arrays(embedded, "layer_similarity", step=40)["values"]
    cell = tab.role("region", "Similarity between layers").get_by_role("row").nth(1).get_by_role("cell").nth(1)
    expect(cell).to_have_text(f"{expected[0, 1]:.2g}")
    rows = whole_csv(tab, "Similarity between layers at step 40")
    assert [float(row["fc2"]) for row in rows] == pytest.approx(expected[:, 1].tolist(), rel=1e-5)
