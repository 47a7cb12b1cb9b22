"""axe-core finds nothing to complain about, in light and in dark."""

import pytest

from tests.support.servers import ROOT

AXE = (ROOT / "frontend" / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
RUN = """
() => axe.run(document, { preload: false }).then(({ violations }) =>
    violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) =>
        `${html.slice(0, 160)} (${failureSummary})`).join(' | ')}`))
"""


def violations(tab):
    tab.frame.evaluate(AXE)
    return tab.frame.evaluate(RUN)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("view", "run"), [("overview", "raised-lr"), ("overview", "cnn"), ("flow", "sigmoid-mlp")])
def test_a_view_is_accessible(tab, view, run, theme):
    tab.open(view=view, run=run, layer="fc3", step=400)
    tab.wait_until_drawn("Gradient norm")
    if theme == "dark":
        tab.page.evaluate("document.body.classList.add('dark-mode')")
        tab.wait_for("() => document.documentElement.dataset.theme === 'dark'")
    assert violations(tab) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_thresholds_and_checks_are_accessible(tab, theme):
    tab.open(view="overview", run="raised-lr", against="run:cnn")
    tab.wait_until_drawn("Gradient norm")
    if theme == "dark":
        tab.page.evaluate("document.body.classList.add('dark-mode')")
        tab.wait_for("() => document.documentElement.dataset.theme === 'dark'")
    findings = tab.role("region", "Findings")
    findings.locator(".checks summary").click()
    findings.get_by_role("button", name="Thresholds").click()
    findings.get_by_role("slider").first.wait_for()
    assert violations(tab) == []


def test_menus_tables_and_help_are_accessible(tab):
    tab.open(view="flow", run="raised-lr")
    tab.wait_until_drawn("Gradient norm")
    tab.role("button", "Table and export of Gradient norm").first.click()
    assert violations(tab) == []
    tab.page.keyboard.press("Escape")
    tab.heatmap("Gradient norm").focus()
    tab.page.keyboard.press("t")
    tab.role("region", "Gradient norm, table").get_by_role("table").wait_for()
    assert violations(tab) == []
    tab.page.keyboard.press("?")
    tab.role("dialog").first.wait_for()
    assert violations(tab) == []
