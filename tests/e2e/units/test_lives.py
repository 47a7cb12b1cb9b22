"""The life lines of units: moved through, read, sorted, fetched and saved, over both loaders."""

import csv
import io
import re

import pytest
from playwright.sync_api import expect

from tests.support.apps import decode_frame
from tests.support.unitviews import lives

pytestmark = pytest.mark.both_loaders


def test_the_keyboard_moves_through_units_and_steps(units):
    tab = units(layer="blocks.0.conv", unit=3, step=2998)
    tab.role("button", "By index").click()
    lives(tab).focus()
    tab.page.keyboard.press("ArrowDown")
    tab.wait_for_selection("unit", 4)
    tab.page.keyboard.press("ArrowUp")
    tab.wait_for_selection("unit", 3)
    tab.page.keyboard.press("Shift+ArrowDown")
    tab.wait_for_selection("unit", 13)
    tab.page.keyboard.press("ArrowLeft")
    tab.page.wait_for_function("/netviz[.]step=29\\d\\d/.test(location.hash)")


def test_a_click_on_a_line_selects_its_unit_and_the_pointer_reads_it(units, server):
    tab = units(layer="fc1")
    box = lives(tab).bounding_box()
    tab.page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 40)
    live = tab.page.frame_locator("iframe").locator("[aria-live=polite]")
    expect(live).to_contain_text("dead since step")
    expect(live).to_contain_text("fired in 0 of")
    tab.page.mouse.click(box["x"] + 0.7 * box["width"], box["y"] + 40)
    tab.page.wait_for_function("/netviz[.]unit=\\d+/.test(location.hash)")


@pytest.mark.parametrize(("order", "sort"), [("By activity", "activity"), ("By index", "index")])
def test_units_can_be_sorted(units, server, order, sort):
    tab = units(layer="fc1", step=2998)
    tab.role("button", order).click()
    header, _ = decode_frame(server.plugin("units", run="units", activation=4, sort=sort, count=8))
    lives(tab).focus()
    tab.page.keyboard.press("t")
    table = tab.role("region", "Units of fc1 · ReLU, table")
    first = table.get_by_role("row").nth(1).get_by_role("cell").first
    expect(first).to_have_text(str(header["unit"][0]))


def test_a_large_layer_is_fetched_as_one_scrolls(units, server):
    tab = units("units, large", layer="fc")
    wanted = {"run": "units, large", "activation": 20, "sort": "death", "first": 4090, "count": 6}
    header, _ = decode_frame(server.plugin("units", **wanted))
    scroller = lives(tab).locator(".chart-scroller")
    with tab.page.expect_response(lambda answer: "first=3584" in answer.url):
        scroller.evaluate("element => { element.scrollTop = element.scrollHeight }")
    tab.page.frame_locator("iframe").locator(".lives[aria-busy=false]").wait_for()
    box = lives(tab).bounding_box()
    tab.page.mouse.click(box["x"] + 60, box["y"] + box["height"] - 2)
    tab.wait_for_selection("unit", header["unit"][-1])


def test_the_table_of_a_large_layer_says_what_it_holds_and_the_file_holds_all(units, server):
    tab = units("units, large", layer="fc")
    lives(tab).focus()
    tab.page.keyboard.press("t")
    expect(tab.role("figure", "Units of fc · ReLU")).to_contain_text("Only 1,024 of 4,096 units")
    tab.role("button", "Table and export of Units of fc").click()
    with tab.page.expect_download() as download:
        tab.role("menuitem", "Save as CSV").click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text(encoding="utf-8-sig"))))
    _header, arrays = decode_frame(server.plugin("units", run="units, large", activation=20, count=1))
    assert len(rows) == 4096 * len(arrays["steps"])
    assert {int(row["unit"]) for row in rows} == set(range(4096))
    assert download.value.suggested_filename == "Units-of-fc-ReLU.csv"


def test_a_line_says_which_unit_it_is_like(units):
    tab = units("twins", layer="fc1", unit=5, step=398)
    tab.role("button", "By index").click()
    spoken = tab.page.frame_locator("iframe").locator("p[aria-live]")
    lives(tab).focus()
    tab.page.keyboard.press("ArrowDown")
    tab.page.keyboard.press("ArrowUp")
    expect(spoken).to_contain_text("the same as unit 3: ")
    for _ in range(2):
        tab.page.keyboard.press("ArrowUp")
    expect(spoken).to_contain_text("units 5 and 9 are the same")
    key = tab.page.frame_locator("iframe").locator(".life-key")
    expect(key).to_have_accessible_name(re.compile("same as another unit"))


def test_a_layer_whose_units_were_not_compared_says_so(units):
    tab = units("twins", layer="lstm")
    expect(tab.role("figure", "Units of lstm · Tanh")).to_contain_text("not compared with each other")


@pytest.mark.parametrize("kind", ["PNG", "SVG", "CSV"])
def test_life_lines_can_be_saved(units, kind):
    tab = units(layer="fc1")
    tab.role("button", "Table and export of Units of fc1").click()
    with tab.page.expect_download() as download:
        tab.role("menuitem", f"Save as {kind}").click()
    assert download.value.path().stat().st_size > 1000
