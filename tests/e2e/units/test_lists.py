"""The lists and counts of dead and redundant units."""

import re

from playwright.sync_api import expect

from tests.support.apps import decode_frame
from tests.support.unitviews import csv_of, dead_at_the_end, listing


def test_the_list_of_dead_units_is_whole_and_saved_as_csv(units, server):
    tab = units()
    listing(tab, "All dead units").scroll_into_view_if_needed()
    rows = csv_of(tab, "All dead units")
    counts = dead_at_the_end(server, "units")
    fc1 = {int(row["unit"]) for row in rows if row["layer"] == "fc1"}
    assert len(fc1) == counts[4]
    death = server.plugin_json("deaths", run="units")["deaths"][0]
    assert fc1 <= set(death["units"])
    assert all(int(row["samples since"]) >= 1000 for row in rows)


def test_redundant_units_are_listed_beside_the_unit_that_they_are_like(units, server):
    tab = units("twins")
    listing(tab, "All dead units").scroll_into_view_if_needed()
    tab.role("group", "List").get_by_role("button", name=re.compile("^Redundant ?3$")).click()
    tab.wait_for_selection("list", "redundant")
    expect(listing(tab, "All redundant units")).to_contain_text(
        "Not compared: lstm (its incoming weights were not compared)"
    )
    rows = csv_of(tab, "All redundant units")
    assert [(row["layer"], row["unit"], row["what"], row["twin"]) for row in rows] == [
        ("fc1", "5", "same as its twin", "3"),
        ("fc1", "9", "same as its twin", "3"),
        ("gate", "6", "opposite of its twin", "1"),
    ]
    samples = {entry["layer"]: entry["samples"] for entry in server.plugin_json("redundant", run="twins")["redundant"]}
    assert [int(row["samples compared"]) for row in rows] == [samples["fc1"], samples["fc1"], samples["gate"]]
    assert all(float(row["largest difference"]) <= 1e-3 for row in rows)


def test_dead_and_redundant_units_stand_in_one_list(units):
    tab = units("twins", list="all")
    listing(tab, "All dead and redundant units").scroll_into_view_if_needed()
    rows = csv_of(tab, "All dead and redundant units")
    assert [(row["unit"], row["what"]) for row in rows] == [
        ("2", "dead"),
        ("5", "same as its twin"),
        ("9", "same as its twin"),
        ("6", "opposite of its twin"),
    ]


def test_another_state_can_be_counted(units):
    tab = units()
    tab.role("group", "State").get_by_role("button", name="Saturated").click()
    tab.heatmap("Saturated units").wait_for()
    tab.wait_for_selection("state", "saturated")
    tab.role("group", "State").get_by_role("button", name="More states").click()
    tab.role("menuitemradio", "Revived").click()
    tab.heatmap("Revived units").wait_for()


def test_the_table_behind_the_picture_counts_units(units, server):
    tab = units()
    tab.heatmap("Dead units").focus()
    tab.page.keyboard.press("t")
    # The list of dead units below it has a table, too, once it is there.
    table = tab.role("region", "Dead units, table", exact=True).get_by_role("table")
    table.wait_for()
    _header, arrays = decode_frame(server.plugin("dead", run="units"))
    assert int(table.get_attribute("aria-rowcount")) == len(arrays["steps"]) + 1
    expect(table.get_by_role("columnheader").nth(2)).to_have_text("stem · ReLU (of 32)")
