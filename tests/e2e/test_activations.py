"""The Activations view: statistics of what layers put out, through the depth, and unit by unit."""

import shutil

import pytest
from playwright.sync_api import expect

from tests.e2e.test_accessibility import violations
from tests.support.apps import decode_frame
from tests.support.runs import write_run
from tests.support.servers import tensorboard
from tests.support.unitruns import Modelled, write_modelled

NARROW = {"width": 720, "height": 800}
HOSTILE = "<img src=x onerror=alert(1)>"
DEVIATION = "Activation deviation"


@pytest.fixture(scope="module")
def log_dir(unit_run, tmp_path_factory):
    """A run of modelled outputs, one whose every name is hostile, and one without outputs."""
    folder = tmp_path_factory.mktemp("activations") / "runs"
    shutil.copytree(unit_run, folder / "units")
    names = (f"{HOSTILE}.../../x", f"{HOSTILE}.a\nb", "🦆 naïve \u202ereversed")
    write_modelled(folder / HOSTILE, [Modelled(name, units=4) for name in names], steps=200)
    write_run(folder / "gradients", layers=3, steps=range(20))
    return folder


@pytest.fixture(scope="module")
def server(load_fast, log_dir):
    """A TensorBoard over these runs."""
    with tensorboard(log_dir, load_fast=load_fast) as running:
        running.wait_for_runs("units", HOSTILE, "gradients")
        yield running


@pytest.fixture
def activations(tab):
    """Opens the view on a run, and waits until its picture is drawn."""

    def activations(run="units", label=DEVIATION, **selection):
        tab.open(view="activations", run=run, **selection)
        tab.wait_until_drawn(label)
        return tab

    return activations


def labels_of(server, rows):
    """Return the labels of the statistics that have these rows."""
    return [entry["label"] for entry in server.plugin_json("catalogue")["statistics"] if entry["rows"] == rows]


def choose(tab, label):
    group = tab.role("group", "Statistic")
    direct = group.get_by_role("button", name=label, exact=True)
    if direct.count():
        direct.click()
    else:
        group.get_by_role("button", name="More statistics").click()
        tab.role("menuitemradio", label).click()


def test_every_statistic_of_activations_can_be_chosen(activations, server):
    tab = activations()
    for label in labels_of(server, "activations"):
        choose(tab, label)
        tab.heatmap(label).wait_for()


def test_the_gradient_flow_offers_no_statistic_of_activations(tab, server):
    tab.open(view="flow", run="units", statistic="activation_mean")
    tab.wait_until_drawn("Gradient norm")
    group = tab.role("group", "Statistic")
    expect(group.get_by_role("button", name="Gradient norm")).to_have_attribute("aria-pressed", "true")
    group.get_by_role("button", name="More statistics").click()
    offered = set(group.get_by_role("button").all_inner_texts()) | set(tab.role("menuitemradio").all_inner_texts())
    assert offered.isdisjoint(labels_of(server, "activations"))
    assert set(labels_of(server, "parameters")) <= offered


def test_a_link_opens_the_view_on_its_selection(activations):
    tab = activations(
        label="Mean activation", activation="fc1.act", layer="fc1", unit=6, step=1500, statistic="activation_mean"
    )
    assert tab.role("textbox", "Go to feature").input_value() == "6"
    before = tab.selection()
    tab.page.reload()
    tab.wait_until_drawn("Mean activation")
    assert tab.selection() == before


def test_the_signal_is_followed_through_the_depth(activations):
    depth = activations(layer="fc1").role("figure", "Through the depth")
    expect(depth).to_contain_text("Signal")
    expect(depth.get_by_role("application")).to_have_attribute("aria-roledescription", "profile")


def test_the_values_of_the_chosen_activation_are_distributed(activations):
    tab = activations(layer="fc1")
    tab.role("application", "Magnitudes of the values of fc1 · ReLU").wait_for()
    tab.role("application", f"{DEVIATION} of fc1 · ReLU").wait_for()


def test_the_keyboard_moves_through_activations(activations):
    tab = activations(layer="fc1")
    tab.heatmap(DEVIATION).focus()
    tab.page.keyboard.press("ArrowDown")
    tab.wait_for_selection("activation", "fc2.act")
    tab.wait_for_selection("layer", "fc2")
    tab.page.keyboard.press("ArrowUp")
    tab.wait_for_selection("activation", "fc1.act")


def test_a_unit_is_chosen_by_its_number(activations, server):
    tab = activations(layer="fc1")
    field = tab.role("textbox", "Go to feature")
    field.fill("8")
    field.press("Enter")
    tab.wait_for_selection("unit", 8)
    expect(tab.role("region", "Unit 8", exact=True)).to_contain_text("Dead since step")
    tab.role("button", "Next unit").click()
    tab.wait_for_selection("unit", 9)
    field.fill("99,999")
    field.press("Enter")
    tab.wait_for_selection("unit", 511)


def test_the_curves_of_a_unit_hold_its_numbers(activations, server):
    tab = activations(layer="fc1", unit=8)
    tab.role("application", "Largest value: unit 8 of fc1 · ReLU").focus()
    tab.page.keyboard.press("t")
    table = tab.role("region", "Largest value, table").get_by_role("table")
    table.wait_for()
    _header, arrays = decode_frame(server.plugin("units", run="units", activation=4, first=8, count=1))
    shown = table.get_by_role("row").nth(1).get_by_role("cell").nth(3).inner_text()
    assert float(shown) == pytest.approx(float(arrays["largest"][0, 0]), rel=1e-3)


def test_another_view_keeps_the_layer(activations):
    tab = activations(layer="fc1", step=1500)
    tab.role("link", "Dead units").click()
    tab.wait_until_drawn("Dead units")
    assert tab.selection()["layer"] == "fc1"
    tab.role("link", "Gradient flow").click()
    tab.wait_until_drawn("Gradient norm")
    assert tab.selection()["layer"] == "fc1"
    assert tab.selection()["step"] == "1500"


def test_a_run_without_outputs_has_no_view_of_dead_units(tab):
    tab.open(view="units", run="gradients")
    tab.wait_until_drawn("Gradient norm")
    expect(tab.role("link", "Overview")).to_have_attribute("aria-current", "page")
    assert tab.role("link", "Dead units").count() == 0
    absent = tab.page.frame_locator("iframe").locator(".absent")
    expect(absent).to_contain_text("Dead units: Nothing was recorded of single units in this run.")
    expect(absent).to_contain_text("writer.watch(model, optimizer)")
    tab.role("link", "Gradient flow").click()
    expect(absent).to_have_count(0)


def test_hostile_names_are_words_only(activations):
    tab = activations(HOSTILE)
    tab.heatmap(DEVIATION).focus()
    tab.page.keyboard.press("ArrowDown")
    tab.page.keyboard.press("t")
    table = tab.role("region", f"{DEVIATION}, table")
    expect(table.get_by_role("columnheader").nth(2)).to_contain_text(HOSTILE)
    assert tab.frame.evaluate("document.querySelector('main img') === null")


def test_a_narrow_page_keeps_everything_within_its_width(open_page, server):
    tab = open_page(server, viewport=NARROW).open(view="activations", run="units")
    tab.wait_until_drawn(DEVIATION)
    assert tab.frame.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_view_is_accessible(tab, theme):
    tab.open(view="activations", run="units", layer="fc1")
    tab.wait_until_drawn(DEVIATION)
    tab.role("region", "Unit ").first.wait_for()
    if theme == "dark":
        tab.page.evaluate("document.body.classList.add('dark-mode')")
        tab.wait_for("() => document.documentElement.dataset.theme === 'dark'")
    assert violations(tab) == []
