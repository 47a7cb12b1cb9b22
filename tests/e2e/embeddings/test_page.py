"""The Embeddings view as a whole: without embeddings, with hostile names, narrow, for readers of the screen."""

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.test_accessibility import violations
from tests.support.browser import TOOLBARS_HOLD_ALL
from tests.support.embeddingviews import HOSTILE, POINTS, cloud, whole_csv


def test_a_run_without_embeddings_says_how_to_record_them(open_page, embedded):
    tab = open_page(embedded).open(view="embeddings", run="plain")
    notice = tab.role("region", "No embedding was recorded in this run")
    expect(notice).to_contain_text('writer.watch_embedding("penultimate", "fc1", inputs, labels)')
    expect(notice).to_contain_text("tb-netviz-plugin[embedding]")
    assert violations(tab) == []


def test_an_embedding_without_positions_says_why(open_page, embedded):
    tab = open_page(embedded).open(view="embeddings", run="unplaced")
    notice = tab.role("region", "No positions of fc have been recorded yet")
    expect(notice).to_contain_text("50 points")
    expect(notice).to_contain_text("t-SNE: neither openTSNE nor scikit-learn is installed")


def test_names_of_embeddings_and_classes_are_text(points):
    tab = points(HOSTILE)
    expect(cloud(tab)).to_have_accessible_name(re.compile(f"^{re.escape(HOSTILE)} at step 80: {POINTS} points"))
    expect(tab.role("complementary", "Legend").get_by_role("button", name=HOSTILE)).to_be_visible()
    assert {row["label"] for row in whole_csv(tab, HOSTILE)} == {HOSTILE, "a\nb", "\u202ereversed", ""}
    assert tab.frame.locator("img, iframe, [onerror]").count() == 0


@pytest.mark.parametrize("width", [720, 1100, 1440])
def test_everything_stays_within_the_width(points, width):
    tab = points(against="step:10", viewport={"width": width, "height": 900})
    tab.role("button", "Select", exact=True).click()
    tab.role("region", "Selected points", exact=True).wait_for()
    assert tab.frame.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert (
        tab.frame.evaluate(
            "[...document.querySelectorAll('main, .embeddings, .embeddings-stage, .embeddings-side, .figure-head')]"
            ".filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.className)"
        )
        == []
    )
    assert tab.frame.evaluate(TOOLBARS_HOLD_ALL)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_all_of_it_is_accessible(points, theme):
    tab = points(against="embedding:fc2", step=35)
    if theme == "dark":
        tab.page.evaluate("document.body.classList.add('dark-mode')")
        tab.wait_for("() => document.documentElement.dataset.theme === 'dark'")
    tab.role("button", "Select", exact=True).click()
    tab.role("region", "Selected points", exact=True).wait_for()
    assert violations(tab) == []
    tab.role("button", re.compile("^Similarity: ")).click()
    assert violations(tab) == []
    tab.role("menuitemradio", "CKA of layers").click()
    tab.role("region", "Similarity between layers").wait_for()
    assert violations(tab) == []
    cloud(tab).first.focus()
    tab.page.keyboard.press("t")
    tab.role("region", re.compile("table$")).first.wait_for()
    assert violations(tab) == []


def test_numbers_are_accessible(points):
    assert violations(points("numbers")) == []
