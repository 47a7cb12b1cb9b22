"""Reading a picture of points: what it opens on, values, colours, labels and how far it can be trusted."""

import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.support.embeddings import CLASSES
from tests.support.embeddingviews import (
    MANY,
    NOWHERE,
    POINTS,
    UNLABELLED,
    arrays,
    cloud,
    pixel_of,
    spoken,
    trust,
    whole_csv,
)

pytestmark = pytest.mark.both_loaders

SHADE_OF_THUMBNAIL_IS = """
shade => document.querySelector('.hover-card canvas')?.getContext('2d').getImageData(0, 0, 1, 1).data[0] === shade
"""


def test_it_opens_on_the_newest_picture_by_class_with_a_legend_its_trust_and_play(points, embedded):
    tab = points()
    expect(cloud(tab)).to_have_accessible_name(re.compile(f"^fc1 at step 80: {POINTS} points"))
    legend = tab.role("complementary", "Legend")
    labels = arrays(embedded, "point_labels", set=0)["labels"]
    for index, name in enumerate(CLASSES):
        expect(legend.get_by_role("button", name=f"{name} {(labels == index).sum()}")).to_be_visible()
    expect(trust(tab)).to_contain_text("Trustworthiness 0.97. Points that lie together belong together.")
    expect(trust(tab)).to_contain_text("51 % of the 10 nearest neighbours")
    expect(trust(tab)).to_contain_text("moved 0.28 of the radius; noise alone moves 0.012")
    expect(trust(tab)).to_contain_text("1 point without a finite vector is not drawn.")
    expect(tab.role("button", "Play the points")).to_be_enabled()
    expect(tab.role("button", "Class", exact=True)).to_have_attribute("aria-pressed", "true")


def test_the_table_is_what_the_server_has(points, embedded):
    tab = points(step=20)
    rows = whole_csv(tab, "fc1 at step 20")
    at = arrays(embedded, "points", layout=1, step=20)
    labels = arrays(embedded, "point_labels", set=0)["labels"]
    assert len(rows) == POINTS
    for index, row in enumerate(rows):
        assert row["label"] == ("" if index == UNLABELLED else CLASSES[int(labels[index])])
        assert row["prediction"] == CLASSES[int(at["predictions"][index])]
        if index == NOWHERE:
            assert (row["x"], row["y"]) == ("", "")
        else:
            assert [float(row["x"]), float(row["y"])] == pytest.approx(at["positions"][index].tolist(), rel=1e-5)


def test_a_point_under_the_pointer_is_said_and_shown_with_its_thumbnail(points, embedded):
    tab = points()
    positions = arrays(embedded, "points", layout=1, step=80)["positions"]
    farthest = int(np.nanargmax(np.abs(positions - np.nanmean(positions, axis=0)).sum(axis=1)))
    tab.page.mouse.move(*pixel_of(positions, farthest, cloud(tab).bounding_box()))
    label = CLASSES[int(arrays(embedded, "point_labels", set=0)["labels"][farthest])]
    expect(spoken(tab)).to_contain_text(f"point {farthest}, {label}, predicted as")
    card = tab.page.frame_locator("iframe").locator(".hover-card")
    expect(card).to_contain_text(label)
    tab.wait_for(SHADE_OF_THUMBNAIL_IS, 40 + 60 * CLASSES.index(label))


def test_the_picture_is_saved_with_its_colours_and_names(points):
    tab = points()
    tab.role("button", re.compile("^Table and export of fc1 at step 80")).click()
    with tab.page.expect_download() as download:
        tab.role("menuitem", "Save as PNG").click()
    with Image.open(download.value.path()) as picture:
        counted = picture.convert("RGB").getcolors(1 << 20) or []
    colours = {colour for count, colour in counted if count > 100}
    assert {(0, 114, 178), (230, 159, 0), (0, 158, 115), (26, 29, 33)} <= colours


def test_points_are_coloured_by_correctness(points, embedded):
    tab = points(colour="correctness", step=0)
    labels = arrays(embedded, "point_labels", set=0)["labels"]
    right = (arrays(embedded, "points", layout=1, step=0)["predictions"] == labels).sum() / (POINTS - 1)
    legend = tab.role("complementary", "Legend")
    share = re.compile(rf"^right {100 * right:.0f}")
    assert 0.1 < right < 0.9
    expect(legend.get_by_role("button", name=share)).to_be_visible()
    expect(legend.get_by_role("button", name="not known")).to_be_visible()


def test_labels_that_are_numbers_have_a_scale_and_pca_alone_says_why(points):
    tab = points("numbers")
    expect(tab.role("img", re.compile("^Colours of the labels: −1 to 3"))).to_be_visible()
    expect(trust(tab)).to_contain_text(
        "Only PCA is shown, without t-SNE: neither openTSNE nor scikit-learn is installed."
    )
    expect(trust(tab)).to_contain_text("60 points were fitted, the others placed among them.")
    field = tab.role("textbox", "Search points")
    field.fill("> 2")
    status = tab.role("complementary", "Legend").get_by_role("status")
    expect(status).to_have_text("25 of 100 points in colour")
    field.fill("large")
    expect(status).to_have_text([re.compile("^Type a number"), "100 points"])


def test_ten_thousand_kinds_are_listed_as_far_as_one_scrolls_and_can_be_searched(points):
    tab = points("kinds")
    legend = tab.role("complementary", "Legend")
    expect(legend).to_contain_text("10,000 groups: colours are alike or come back.")
    assert legend.locator(".group").count() < 100
    tab.role("textbox", "Search points").fill("kind 7777")
    expect(legend.get_by_role("status")).to_have_text("1 of 10,000 points in colour")
    expect(legend.locator(".group")).to_have_text([re.compile("kind 7777")])
    assert len(whole_csv(tab, "fc at step 0")) == MANY
    expect(trust(tab)).to_contain_text("Most points that lie together belong together")


def test_measures_over_the_steps_are_those_of_the_server(points, embedded):
    tab = points()
    tab.role("button", "Measure: Trustworthiness").click()
    tab.role("menuitemradio", "Effective rank").click()
    rows = whole_csv(tab, "Effective rank")
    expected = arrays(embedded, "measures")["values"][:, 2]
    for name in ("fc1", "fc2"):
        own = [float(row["value"]) for row in rows if row["series"] == name]
        assert own == pytest.approx(expected.tolist(), rel=1e-6)
