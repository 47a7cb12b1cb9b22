"""Names of runs and layers are text, whatever they hold."""

import pytest
from playwright.sync_api import expect

HOSTILE_RUN = "<img src=x onerror=alert(1)>"


@pytest.mark.parametrize("view", ["overview", "flow"])
def test_nothing_in_a_name_becomes_a_part_of_the_page(tab, view):
    tab.open(view=view, run=HOSTILE_RUN)
    tab.wait_until_drawn("Gradient norm")
    assert tab.role("button", f"Run: {HOSTILE_RUN}").is_visible()
    tab.heatmap("Gradient norm").focus()
    for _layer in range(7):
        tab.page.keyboard.press("ArrowDown")
    tab.page.keyboard.press("t")
    tab.role("region", "Gradient norm, table").get_by_role("table").wait_for()
    headers = tab.role("region", "Gradient norm, table").get_by_role("columnheader")
    expect(headers.get_by_text(HOSTILE_RUN, exact=True)).to_be_visible()
    assert tab.frame.locator("img, iframe, [onerror]").count() == 0


def test_a_hostile_layer_can_be_linked_to(tab):
    tab.open(view="flow", run=HOSTILE_RUN, layer="../../etc/passwd", step=7)
    tab.wait_until_drawn("Gradient norm")
    assert tab.role("textbox", "Go to step").input_value() == "7"
    assert tab.selection()["layer"] == "../../etc/passwd"
    tab.page.frame_locator("iframe").get_by_text("../../etc/passwd").first.wait_for()


def test_a_hostile_address_is_only_a_selection(tab):
    tab.open(view="<script>alert(1)</script>", run="cnn", layer="javascript:alert(1)", step="-1", filter="(((")
    tab.role("button", "Run: cnn").wait_for()
    assert tab.frame.locator("script[src*=alert]").count() == 0
