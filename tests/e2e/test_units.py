"""The Dead units view: which units are dead, since when, over how many samples and after what, over both loaders."""

import csv
import io
import re

import pytest
from playwright.sync_api import expect

from tests.e2e.test_accessibility import violations
from tests.support.apps import decode_frame
from tests.support.servers import tensorboard
from tests.support.unitruns import OFF, Modelled, write_modelled, write_unit_runs

NARROW = {"width": 720, "height": 800}
HOSTILE = "<img src=x onerror=alert(1)>"
DEAD = 2
LIVES = "[aria-roledescription='life lines']"


@pytest.fixture(scope="module")
def log_dir(tmp_path_factory):
    """Runs of known deaths, one of none, and one whose every name is hostile."""
    folder = tmp_path_factory.mktemp("units") / "runs"
    write_unit_runs(folder)
    mostly_zeros = {unit: [(0, -1.2)] for unit in range(32)}
    write_modelled(folder / "sparse", [Modelled("fc", units=32, changes=mostly_zeros)], steps=400)
    compared = Modelled("fc1", units=16, changes={2: [(50, OFF)]}, twins={5: 4, 9: 4})
    opposite = Modelled("gate", "Tanh", units=8, twins={6: -2})
    write_modelled(folder / "twins", [compared, opposite, Modelled("lstm", "Tanh", units=8, twins=None)], steps=400)
    write_modelled(folder / "linear", [Modelled("fc", "Linear", units=8)], steps=200)
    layers = [Modelled(f"{HOSTILE}.{name}", units=4, changes={1: [(50, OFF)]}) for name in ("../../x", "a\nb", "🦆")]
    write_modelled(folder / HOSTILE, layers, steps=200)
    return folder


@pytest.fixture(scope="module", params=[True, False], ids=["rust", "python"])
def server(request, log_dir):
    """A TensorBoard over these runs, over either of its loaders."""
    with tensorboard(log_dir, load_fast=request.param) as running:
        running.wait_for_runs("units", "units, large", "sparse", "twins", "linear", HOSTILE)
        yield running


@pytest.fixture
def units(tab):
    """Opens the view on a run, and waits until its pictures are drawn."""

    def units(run="units", **selection):
        tab.open(view="units", run=run, **selection)
        tab.wait_until_drawn(f"{selection.get('state', 'dead').title()} units")
        lives(tab).wait_for()
        return tab

    return units


def lives(tab):
    return tab.page.frame_locator("iframe").locator(LIVES)


def verdict(tab):
    return tab.page.frame_locator("iframe").locator(".verdict")


def moments(tab):
    return tab.role("region", "Moments of death")


def dead_at_the_end(server, run):
    """Return the number of dead units of each activation at the last record, from the route's counts."""
    header, arrays = decode_frame(server.plugin("dead", run=run))
    return dict(zip(header["activations"], arrays["counts"][:, DEAD, -1].tolist(), strict=True))


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


def layer_series(server, layer, statistic):
    """Return by last step the values of a layer of the run "units"."""
    names = [one["name"] for one in server.plugin_json("run", run="units")["layers"]]
    frame = server.plugin("series", run="units", statistic=statistic, row=names.index(layer))
    _header, arrays = decode_frame(frame)
    return dict(zip(arrays["steps"].tolist(), arrays["values"][0].tolist(), strict=True))


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


def test_a_link_opens_the_view_on_its_unit_and_thresholds(units):
    tab = units(activation="gate.act", layer="gate", unit=7, step=1500, state="saturated", windows=3)
    assert tab.role("textbox", "Go to feature").input_value() == "7"
    assert tab.role("button", "Dead after 1,000 samples, 3 windows").is_visible()
    before = tab.selection()
    tab.page.reload()
    tab.wait_until_drawn("Saturated units")
    assert tab.selection() == before


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


def test_the_list_of_dead_units_is_whole_and_saved_as_csv(units, server):
    tab = units()
    tab.role("region", "All dead units").scroll_into_view_if_needed()
    save = tab.role("region", "All dead units").get_by_role("button", name="Save as CSV")
    expect(save).to_be_enabled()
    with tab.page.expect_download() as download:
        save.click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text(encoding="utf-8-sig"))))
    counts = dead_at_the_end(server, "units")
    fc1 = {int(row["unit"]) for row in rows if row["layer"] == "fc1"}
    assert len(fc1) == counts[4]
    death = server.plugin_json("deaths", run="units")["deaths"][0]
    assert fc1 <= set(death["units"])
    assert all(int(row["samples since"]) >= 1000 for row in rows)


def listing(tab, title):
    return tab.role("region", title, exact=True)


def csv_of(tab, title):
    save = listing(tab, title).get_by_role("button", name="Save as CSV")
    expect(save).to_be_enabled()
    with tab.page.expect_download() as download:
        save.click()
    return list(csv.DictReader(io.StringIO(download.value.path().read_text(encoding="utf-8-sig"))))


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


@pytest.mark.parametrize("kind", ["PNG", "SVG", "CSV"])
def test_life_lines_can_be_saved(units, kind):
    tab = units(layer="fc1")
    tab.role("button", "Table and export of Units of fc1").click()
    with tab.page.expect_download() as download:
        tab.role("menuitem", f"Save as {kind}").click()
    assert download.value.path().stat().st_size > 1000


def test_a_network_whose_units_can_not_die_says_so(tab):
    tab.open(view="units", run="linear")
    expect(tab.role("region", "No unit of this network can die")).to_contain_text("such as ReLU")


def test_hostile_names_are_words_only(tab):
    tab.open(view="units", run=HOSTILE)
    lives(tab).wait_for()
    expect(verdict(tab)).to_contain_text(HOSTILE)
    assert tab.frame.evaluate("document.querySelector('main img') === null")


def test_a_narrow_page_keeps_everything_within_its_width(open_page, server):
    tab = open_page(server, viewport=NARROW).open(view="units", run="units")
    tab.wait_until_drawn("Dead units")
    assert tab.frame.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_view_is_accessible(tab, theme):
    tab.open(view="units", run="units", layer="fc1")
    tab.wait_until_drawn("Dead units")
    tab.role("region", "Unit ").first.wait_for()
    if theme == "dark":
        tab.page.evaluate("document.body.classList.add('dark-mode')")
        tab.wait_for("() => document.documentElement.dataset.theme === 'dark'")
    assert violations(tab) == []
