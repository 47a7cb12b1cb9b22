"""Findings in the tab: what it opens on, thresholds, remedies, another run, and a run that goes on."""

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.support.runs import RunFile, describe, observe, random_gradients, write_run
from tests.support.servers import tensorboard

LAYERS = ("stem", "fc", "spare")
RENAMED = ("input", "hidden", "spare")


def layers(names):
    """Return layers of different shapes, so that a renamed one is known by its shape."""
    return {name: {"weight": (4 + place, 4)} for place, name in enumerate(names)}


@pytest.fixture(scope="module")
def found_server(tmp_path_factory):
    """Runs of which the findings are known: NaN from step 30 on, a layer without a gradient, and neither."""
    folder = tmp_path_factory.mktemp("findings")
    everything = range(60)
    write_run(
        folder / "ill", layers=layers(LAYERS), nan={"fc": range(30, 60)}, none={"spare": everything}, steps=everything
    )
    write_run(folder / "unused", layers=layers(RENAMED), none={"spare": everything}, steps=everything)
    write_run(folder / "nan-too", layers=layers(RENAMED), nan={"hidden": range(20, 60)}, steps=everything)
    write_run(folder / "well", layers=layers(LAYERS), steps=everything)
    with tensorboard(folder, load_fast=True) as running:
        running.wait_for_runs("ill", "unused", "nan-too", "well")
        yield running


@pytest.fixture
def found(open_page, found_server):
    return open_page(found_server)


def open_run(tab, run, **selection):
    tab.open(view="overview", run=run, **selection)
    tab.wait_until_drawn("Gradient norm")
    return tab.role("region", "Findings")


def head(findings, title):
    """Return the button that selects a finding."""
    return findings.locator(".finding-head", has_text=title)


def test_it_opens_on_the_worst_finding_with_layer_step_cause_and_remedy_in_sight(found):
    findings = open_run(found, "ill")
    found.wait_for_selection("finding", "nonfinite")
    assert (found.selection()["layer"], found.selection()["step"]) == ("fc", "30")
    expect(head(findings, "NaN or infinite values")).to_have_attribute("aria-current", "true")
    shown = findings.locator(".finding.selected").first
    visible = found.page.viewport_size["height"]
    for part in (
        shown.get_by_text("Critical", exact=True).first,
        shown.get_by_role("button", name="fc"),
        shown.locator(".finding-message"),
        shown.locator(".remedy .code").first,
        found.page.frame_locator("iframe").locator(".evidence canvas").first,
    ):
        box = part.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= visible


def test_another_finding_can_be_chosen_and_stays_in_the_address(found):
    findings = open_run(found, "ill")
    found.wait_for_selection("finding", "nonfinite")
    head(findings, "Unused parameters").click()
    found.wait_for_selection("finding", "unused_parameter")
    assert found.selection()["layer"] == "spare"
    found.page.reload()
    found.wait_until_drawn("Gradient norm")
    expect(head(found.role("region", "Findings"), "Unused parameters")).to_have_attribute("aria-current", "true")


def test_a_link_to_a_finding_selects_its_layer_and_step(found):
    open_run(found, "ill", finding="unused_parameter")
    found.wait_for_selection("layer", "spare")
    assert found.selection()["finding"] == "unused_parameter"


def test_the_keyboard_goes_through_the_findings(found):
    open_run(found, "ill")
    found.wait_for_selection("finding", "nonfinite")
    found.heatmap("Gradient norm").focus()
    found.page.keyboard.press("]")
    found.page.wait_for_function("!location.hash.includes('finding=nonfinite')")
    for _ in range(20):
        found.page.keyboard.press("[")
    found.wait_for_selection("finding", "nonfinite")


def test_a_layer_that_the_finding_is_not_about_shows_no_evidence(found):
    findings = open_run(found, "ill")
    found.wait_for_selection("finding", "nonfinite")
    evidence = found.page.frame_locator("iframe").locator(".evidence")
    expect(evidence.first).to_be_visible()
    found.heatmap("Gradient norm").focus()
    found.page.keyboard.press("ArrowUp")
    found.wait_for_selection("layer", "stem")
    expect(evidence).to_have_count(0)
    expect(head(findings, "NaN or infinite values")).to_have_attribute("aria-current", "true")


def test_a_finding_leads_to_the_view_that_shows_it(found):
    findings = open_run(found, "ill")
    found.wait_for_selection("finding", "nonfinite")
    findings.get_by_role("button", name="Show in Gradient flow").click()
    found.wait_for_selection("view", "flow")
    assert (found.selection()["layer"], found.selection()["step"]) == ("fc", "30")
    assert found.selection()["statistic"] == "gradient_nonfinite"


def test_a_healthy_run_says_so_and_what_was_checked(found):
    findings = open_run(found, "well")
    findings.get_by_text("found nothing wrong with this run").wait_for()
    assert findings.locator(".finding.is-warning, .finding.is-critical").count() == 0
    checks = findings.locator(".checks")
    checks.locator("summary").click()
    checks.get_by_text("NaN or infinite values").wait_for()


def test_what_was_not_checked_says_why(found, found_server):
    reasons = found_server.plugin_json("findings", run="ill")["not_checked"]
    checks = open_run(found, "ill").locator(".checks")
    expect(checks.locator("summary")).to_contain_text(f"{len(reasons)} not checked" if reasons else "passed")
    checks.locator("summary").click()
    for one in reasons:
        expect(checks.locator("dd", has_text=one["reason"]).first).to_be_visible()


def test_a_moved_threshold_replays_the_verdict_and_stands_in_the_address(found):
    findings = open_run(found, "ill")
    expect(head(findings, "Unused parameters")).to_have_count(1)
    findings.get_by_role("button", name="Thresholds").click()
    number = findings.get_by_role("textbox", name="Records without a gradient, as a number")
    number.fill("61")
    number.press("Enter")
    expect(head(findings, "Unused parameters")).to_have_count(0)
    assert found.selection()["thresholds"] == "unused_parameter.records:61"
    expect(head(findings, "NaN or infinite values")).to_have_attribute("aria-current", "true")
    findings.get_by_role("button", name="Records without a gradient: back to 5").click()
    expect(head(findings, "Unused parameters")).to_have_count(1)
    assert "thresholds" not in found.selection()


def test_a_slider_moves_by_the_keyboard(found):
    findings = open_run(found, "ill")
    findings.get_by_role("button", name="Thresholds").click()
    slider = findings.get_by_role("slider", name="Records without a gradient")
    slider.focus()
    slider.press("End")
    found.wait_for_selection("thresholds", "unused_parameter.records:1000")
    expect(head(findings, "Unused parameters")).to_have_count(0)
    assert found.selection()["step"] == "30"
    findings.get_by_role("button", name="Reset all").click()
    expect(head(findings, "Unused parameters")).to_have_count(1)


def test_a_threshold_that_makes_no_sense_is_said_in_words_and_can_be_taken_back(found):
    findings = open_run(found, "ill", thresholds="unused_parameter.records:1")
    findings.get_by_text("must be from 2 to 1000").first.wait_for()
    findings.get_by_role("button", name="1 threshold moved").click()
    findings.get_by_role("button", name="Reset all").click()
    found.wait_for_selection("finding", "nonfinite")
    assert all("400 (BAD REQUEST)" in complaint for complaint in found.complaints)
    found.complaints.clear()


def test_code_is_selected_where_the_browser_refuses_to_copy(found):
    findings = open_run(found, "ill")
    found.frame.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('refused')); }")
    code = findings.locator(".remedy .code").first
    code.get_by_role("button", name="Copy").click()
    found.wait_for("() => getSelection().toString().includes('set_detect_anomaly')")


def test_code_can_be_copied(found):
    findings = open_run(found, "ill")
    found.frame.evaluate("() => { navigator.clipboard.writeText = async (text) => { window.copied = text; }; }")
    findings.locator(".remedy .code").first.get_by_role("button", name="Copy").click()
    found.wait_for("() => window.copied === 'torch.autograd.set_detect_anomaly(True)'")
    expect(findings.get_by_role("button", name="Copied")).to_be_visible()


def test_findings_of_another_run_are_resolved_persisting_or_new_though_layers_were_renamed(found):
    findings = open_run(found, "ill", against="run:nan-too")
    expect(head(findings, "NaN or infinite values").locator(".standing")).to_have_text("persisting")
    expect(head(findings, "Unused parameters").locator(".standing")).to_have_text("new")
    findings.get_by_role("combobox", name="Compare with").select_option("unused")
    found.wait_for_selection("against", "run:unused")
    expect(head(findings, "NaN or infinite values").locator(".standing")).to_have_text("new")
    expect(head(findings, "Unused parameters").locator(".standing")).to_have_text("persisting")
    findings = open_run(found, "well", against="run:ill")
    findings.get_by_text("Resolved: NaN or infinite values").wait_for()
    findings.get_by_text("Resolved: Unused parameters").wait_for()


def test_another_run_opens_on_its_own_worst_finding(found):
    open_run(found, "ill")
    found.wait_for_selection("finding", "nonfinite")
    found.role("button", "Run: ill").click()
    found.role("combobox", "Search runs").fill("unused")
    found.page.keyboard.press("Enter")
    found.wait_for_selection("finding", "unused_parameter")
    assert found.selection()["layer"] == "spare"


def test_the_selection_stays_while_findings_come(open_page, tmp_path):
    description = describe(layers(LAYERS))
    rng = np.random.default_rng(0)
    weights = random_gradients(description, rng)

    def record(file, step, *, broken):
        gradients = random_gradients(description, rng)
        if broken:
            gradients[1][:] = np.nan
        file.record(description, step, observe([*gradients[:2], None], weights, gradients))
        file.flush()

    with RunFile(tmp_path / "run") as file, tensorboard(tmp_path, load_fast=True) as server:
        file.describe(description)
        for step in range(30):
            record(file, step, broken=False)
        server.wait_for_runs("run", last_step=29)
        tab = open_page(server)
        findings = open_run(tab, "run")
        tab.wait_for_selection("finding", "unused_parameter")
        for step in range(30, 60):
            record(file, step, broken=True)
        expect(head(findings, "NaN or infinite values")).to_have_count(1)
        expect(head(findings, "Unused parameters")).to_have_attribute("aria-current", "true")
        assert tab.selection()["layer"] == "spare"
