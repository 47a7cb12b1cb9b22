"""Which units are dead, since when, over how many samples and after what."""

import re

import pytest
from playwright.sync_api import expect

from tests.support.unitviews import dead_at_the_end, layer_series, moments, verdict


def test_it_opens_on_the_layer_with_most_dead_units_and_says_since_when(units, server):
    tab = units()
    counts = dead_at_the_end(server, "units")
    death = server.plugin_json("deaths", run="units")["deaths"][0]
    assert death["activation"] == max(counts, key=counts.get)
    expect(verdict(tab)).to_contain_text(f"{counts[death['activation']]} of 512 units of fc1 · ReLU are dead")
    expect(verdict(tab)).to_contain_text(f"since step {death['step']:,}")
    expect(verdict(tab)).to_contain_text("Each fired in 0 of at least")
    tab.wait_for_selection("layer", "fc1")
    tab.wait_for_selection("step", death["step"])


def test_it_says_what_happened_just_before(units):
    before = units().role("region", "Just before")
    for words in ("Update : weight of fc1", "Gradient norm of fc1", "Learning rate", "Loss"):
        expect(before).to_contain_text(words)
    expect(before).to_contain_text("its median before")


def test_four_charts_show_what_moved_around_the_moment(units, server):
    tab = units()
    step = server.plugin_json("deaths", run="units")["deaths"][0]["step"]
    around = tab.role("region", f"Around step {step:,}")
    charts = around.get_by_role("application")
    for index, what in enumerate(("Update norm of fc1", "Gradient norm of fc1", "Learning rate", "Loss")):
        expect(charts.nth(index)).to_have_accessible_name(re.compile(f"^{what} around step {step:,}: 1 curve"))
    charts.first.focus()
    tab.page.keyboard.press("t")
    # The steps are those of the records around the moment, about as many before as after.
    cells = around.get_by_role("table").get_by_role("row").filter(has=tab.role("cell"))
    ratio, weight = (layer_series(server, "fc1", name) for name in ("update_ratio", "weight_norm"))
    shown = [cells.nth(index).get_by_role("cell").all_inner_texts()[2:4] for index in range(3)]
    for last, value in shown:
        at = float(last.replace(",", ""))
        assert float(value) == pytest.approx(ratio[at] * weight[at], rel=1e-3)
    steps = [at for at in ratio if abs(at - step) < 10_000]
    first = float(shown[0][0].replace(",", ""))
    before = sum(first <= at < step for at in steps)
    rows = int(around.get_by_role("table").get_attribute("aria-rowcount")) - 1
    assert abs(before - (rows - before)) <= 2


def test_the_moment_stays_while_the_cursor_moves_over_its_charts(units, server):
    tab = units()
    step = server.plugin_json("deaths", run="units")["deaths"][0]["step"]
    around = tab.role("region", f"Around step {step:,}")
    around.get_by_role("application").nth(3).focus()
    axis = sorted(layer_series(server, "fc1", "gradient_norm"))
    at = next(index for index, last in enumerate(axis) if last >= step)
    for record in (at - 1, at - 2):
        tab.page.keyboard.press("ArrowLeft")
        tab.wait_for_selection("step", int(axis[record]))
    expect(tab.page.frame_locator("iframe").locator("p[aria-live]")).to_contain_text("Loss around step")
    expect(around).to_be_visible()
    expect(tab.role("region", "Just before")).to_be_visible()


def test_a_moment_of_death_moves_step_and_layer(units, server):
    tab = units()
    deaths = server.plugin_json("deaths", run="units")["deaths"]
    names = [activation["label"] for activation in server.plugin_json("run", run="units")["activations"]]
    index, death = next((i, one) for i, one in enumerate(deaths) if names[one["activation"]].startswith("blocks.1"))
    moments(tab).get_by_role("listitem").filter(has_text="units").nth(index).get_by_role("button").first.click()
    tab.wait_for_selection("layer", "blocks.1.conv")
    tab.wait_for_selection("step", death["step"])
    tab.wait_for_selection("unit", death["units"][0])


def test_a_run_without_a_dead_unit_says_so_and_calls_zeros_sparse(tab):
    tab.open(view="units", run="sparse")
    expect(verdict(tab)).to_contain_text("No dead units. 32 units of 1 activation, each judged over at least")
    expect(verdict(tab)).to_contain_text("zeros, but no unit is dead: it is sparse.")
    expect(moments(tab)).to_contain_text("No unit fell silent")


def test_the_thresholds_can_be_moved_and_the_verdict_is_passed_again(units):
    tab = units()
    tab.role("button", "Dead after 1,000 samples, 2 windows").click()
    field = tab.role("textbox", "Silent over at least so many samples")
    field.fill("10,000,000")
    field.press("Enter")
    expect(verdict(tab)).to_contain_text("No dead units.")
    tab.wait_for_selection("samples", 10_000_000)
    tab.role("button", "Back to 1,000 samples and 2 windows").click()
    expect(verdict(tab)).to_contain_text("are dead")
    assert "samples" not in tab.selection()


def test_a_network_whose_units_can_not_die_says_so(tab):
    tab.open(view="units", run="linear")
    expect(tab.role("region", "No unit of this network can die")).to_contain_text("such as ReLU")
