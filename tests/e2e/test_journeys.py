"""What a person does in the tab, over both loaders."""

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.both_loaders

NARROW = {"width": 720, "height": 800}


def test_a_link_opens_the_tab_on_its_selection(tab, recorded):
    step = recorded("raised-lr")[7]
    tab.open(view="flow", run="raised-lr", layer="fc3", step=step, statistic="weight_norm")
    tab.wait_until_drawn("Weight norm")
    assert tab.role("button", "Run: raised-lr").is_visible()
    assert tab.role("link", "Gradient flow").get_attribute("aria-current") == "page"
    assert tab.role("textbox", "Go to step").input_value() == str(step)
    assert tab.role("button", "Weight norm").first.is_visible()
    assert tab.selection()["layer"] == "fc3"


def test_the_tab_opens_without_a_selection_too(tab):
    tab.open()
    tab.wait_until_drawn("Gradient norm")
    assert "run" in tab.selection()


def test_the_overview_opens_on_what_killed_the_layers(tab):
    tab.open(view="overview", run="raised-lr")
    tab.wait_until_drawn("Gradient norm")
    findings = tab.role("region", "Findings")
    worst = findings.locator(".finding.selected")
    worst.get_by_text("Critical").first.wait_for()
    assert worst.get_by_role("region", name="What to try").get_by_role("button", name="Copy").first.is_visible()
    assert {"finding", "layer", "step"} <= set(tab.selection())
    assert int(tab.selection()["step"]) > 400


def test_the_overview_of_a_healthy_network_accuses_nothing(tab):
    tab.open(view="overview", run="cnn")
    tab.wait_until_drawn("Gradient norm")
    findings = tab.role("region", "Findings")
    findings.locator(".nothing").wait_for()
    assert findings.locator(".finding.is-warning, .finding.is-critical").count() == 0


def test_every_statistic_can_be_chosen(tab, server):
    statistics = server.plugin_json("catalogue")["statistics"]
    labels = {entry["label"]: entry["id"] for entry in statistics if entry["rows"] == "parameters"}
    tab.open(view="flow", run="sigmoid-mlp")
    tab.wait_until_drawn("Gradient norm")
    group = tab.role("group", "Statistic")
    for label, identifier in reversed(labels.items()):  # The default, which the address leaves out, comes last.
        direct = group.get_by_role("button", name=label, exact=True)
        if direct.count():
            direct.click()
        else:
            group.get_by_role("button", name="More statistics").click()
            tab.role("menuitemradio", label).click()
        tab.heatmap(label).wait_for()
        if label != "Gradient norm":
            tab.wait_for_selection("statistic", identifier)
    assert "statistic" not in tab.selection()


def test_the_keyboard_steps_through_records_and_layers(tab, recorded):
    steps = recorded("raised-lr")
    tab.open(view="flow", run="raised-lr", layer="fc2", step=steps[7])
    tab.wait_until_drawn("Gradient norm")
    tab.heatmap("Gradient norm").focus()
    tab.page.keyboard.press("ArrowRight")
    tab.wait_for_selection("step", steps[8])
    tab.page.keyboard.press("ArrowLeft")
    tab.wait_for_selection("step", steps[7])
    tab.page.keyboard.press("ArrowDown")
    tab.wait_for_selection("layer", "fc3")
    tab.page.keyboard.press("ArrowUp")
    tab.wait_for_selection("layer", "fc2")
    tab.page.keyboard.press("Home")
    tab.wait_for_selection("step", steps[0])


def test_a_click_selects_layer_and_step(tab):
    tab.open(view="flow", run="raised-lr")
    tab.wait_until_drawn("Gradient norm")
    box = tab.heatmap("Gradient norm").bounding_box()
    tab.page.mouse.click(box["x"] + 0.6 * box["width"], box["y"] + 0.5 * box["height"])
    tab.page.wait_for_function(
        "/p[.]netviz[.]layer=fc\\d/.test(location.hash) && /netviz[.]step=\\d+/.test(location.hash)"
    )


def test_the_layer_filter_takes_a_regular_expression(tab):
    tab.open(view="flow", run="sigmoid-mlp")
    tab.wait_until_drawn("Gradient norm")
    field = tab.role("textbox", "Filter layers by regular expression")
    field.fill("^fc1\\d$")
    tab.page.frame_locator("iframe").get_by_text("10 of 20 layers").wait_for()
    field.fill("fc(")
    tab.wait_for("() => document.querySelector('.layer-filter [aria-invalid=true]') !== null")


def test_the_dark_theme_follows_tensorboard(tab):
    tab.open(view="flow", run="raised-lr")
    tab.wait_until_drawn("Gradient norm")
    background = "() => getComputedStyle(document.body).backgroundColor"
    light = tab.frame.evaluate(background)
    tab.page.evaluate("document.body.classList.add('dark-mode')")
    tab.wait_for("() => document.documentElement.dataset.theme === 'dark'")
    assert tab.frame.evaluate(background) != light
    tab.wait_until_drawn("Gradient norm")
    tab.page.evaluate("document.body.classList.remove('dark-mode')")
    tab.wait_for("() => document.documentElement.dataset.theme === 'light'")
    assert tab.frame.evaluate(background) == light


def test_a_reload_keeps_the_selection(tab, recorded):
    second = recorded("cnn")[1]
    tab.open(view="flow", run="cnn", statistic="update_ratio")
    tab.wait_until_drawn("Update : weight")
    tab.heatmap("Update : weight").focus()
    tab.page.keyboard.press("Home")
    tab.page.keyboard.press("ArrowRight")
    tab.wait_for_selection("step", second)
    before = tab.selection()
    tab.page.reload()
    tab.wait_until_drawn("Update : weight")
    assert tab.selection() == before
    assert tab.role("textbox", "Go to step").input_value() == str(second)


def test_a_hidden_tab_is_there_again_when_shown(tab):
    tab.open(view="flow", run="raised-lr")
    tab.wait_until_drawn("Gradient norm")
    tab.page.get_by_role("tab", name="Time Series").first.click()
    tab.heatmap("Gradient norm").wait_for(state="hidden")
    tab.page.get_by_role("tab", name="Gradient Flow").first.click()
    tab.wait_until_drawn("Gradient norm")
    assert tab.role("button", "Run: raised-lr").is_visible()


@pytest.mark.parametrize("view", ["overview", "flow"])
def test_a_narrow_page_keeps_everything_within_its_width(open_page, server, view):
    tab = open_page(server, viewport=NARROW).open(view=view, run="raised-lr")
    tab.wait_until_drawn("Gradient norm")
    assert tab.frame.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    tab.page.set_viewport_size({"width": 1920, "height": 1080})
    tab.wait_until_drawn("Gradient norm")
    assert tab.frame.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_the_table_behind_a_chart_holds_its_numbers(tab, server):
    tab.open(view="flow", run="raised-lr")
    tab.wait_until_drawn("Gradient norm")
    tab.heatmap("Gradient norm").focus()
    tab.page.keyboard.press("t")
    table = tab.role("region", "Gradient norm, table")
    table.get_by_role("table").wait_for()
    records = server.plugin_json("run", run="raised-lr")["sampling"]["records"]
    assert int(table.get_by_role("table").get_attribute("aria-rowcount")) == records + 1
    layers = [f"fc{number}" for number in range(1, 9)]
    expect(table.get_by_role("columnheader")).to_have_text(["first step", "last step", *layers, "head"])
    first = table.get_by_role("row").nth(1).get_by_role("cell")
    assert first.nth(0).inner_text() == "0"
    assert float(first.nth(2).inner_text()) > 0
    tab.page.keyboard.press("t")
    tab.wait_until_drawn("Gradient norm")


def test_another_run_can_be_chosen(tab):
    tab.open(view="flow", run="cnn")
    tab.wait_until_drawn("Gradient norm")
    tab.role("button", "Run: cnn").click()
    tab.role("combobox", "Search runs").fill("sig")
    tab.page.keyboard.press("Enter")
    tab.wait_for_selection("run", "sigmoid-mlp")
    tab.role("button", "Run: sigmoid-mlp").wait_for()


def test_every_statistic_explains_itself(tab, server):
    definition = server.plugin_json("catalogue")["statistics"][0]["definition"]
    tab.open(view="flow", run="cnn")
    tab.wait_until_drawn("Gradient norm")
    tab.page.frame_locator("iframe").locator("figure[aria-label='Gradient norm'] .figure-head button").first.click()
    tab.page.frame_locator("iframe").get_by_text(definition).first.wait_for()


def test_a_run_that_does_not_exist_is_said_to_be_missing(tab):
    tab.open(view="flow", run="no such run")
    tab.role("region", "This run is not here").wait_for()
