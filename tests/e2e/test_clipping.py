"""A run that clips and whose loss scaler skips steps shows both, and what recording it cost."""

import csv
import io
import math

import pytest
import torch
from playwright.sync_api import expect
from torch import nn

from tb_netviz.pytorch import NetVizWriter
from tests.e2e.test_accessibility import violations
from tests.support.apps import decode_frame
from tests.support.servers import tensorboard

OVERFLOWS = {0, 1, 12, 13, 14, 15, 16, 30}
ATTEMPTS = 60
SKIPPED = f"{len(OVERFLOWS)} steps skipped by the loss scaler"


def train(folder):
    """Train a network in mixed precision, clip its gradient at some steps, and return the share of those."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler("cpu", growth_interval=10)
    clipped = []
    with NetVizWriter(folder) as writer:
        writer.watch(model, optimizer, every=1)
        for attempt in range(ATTEMPTS):
            loss = model(torch.randn(16, 8) * (1 + attempt % 3)).square().mean()
            scaler.scale(loss * (math.inf if attempt in OVERFLOWS else 1.0)).backward()
            scaler.unscale_(optimizer)
            norm = nn.utils.clip_grad_norm_(model.parameters(), 0.3)
            if attempt not in OVERFLOWS:
                clipped.append(bool(norm > 0.3))
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
            writer.add_scalar("loss/train", loss, attempt)
    assert 0 < sum(clipped) < len(clipped)
    return sum(clipped) / len(clipped)


@pytest.fixture(scope="module")
def amp(load_fast, tmp_path_factory):
    """Returns a server over such a run, and the share of clipped steps."""
    folder = tmp_path_factory.mktemp("amp")
    share = train(folder / "amp")
    with tensorboard(folder, load_fast=load_fast) as running:
        running.wait_for_runs("amp", last_step=ATTEMPTS - 1)
        yield running, share


@pytest.fixture
def page(open_page, amp):
    """Opens a view of the run, and waits for its picture."""

    def page(view="overview", **settings):
        tab = open_page(amp[0], **settings).open(view=view, run="amp")
        tab.wait_until_drawn("Gradient norm")
        return tab

    return page


def test_the_share_of_clipped_steps_stands_beside_the_norm(page, amp):
    percent = f"{100 * amp[1]:.0f}" if 10 < 100 * amp[1] <= 90 else f"{100 * amp[1]:.1f}"
    strip = page().role("figure", "Gradient norm").nth(1)
    expect(strip).to_contain_text(f"Clipped in {percent} % of {ATTEMPTS - len(OVERFLOWS)} observed steps")


@pytest.mark.parametrize("view", ["overview", "flow"])
@pytest.mark.parametrize("width", [900, 1920])
def test_the_skipped_steps_are_counted_in_words(page, view, width):
    tab = page(view, viewport={"width": width, "height": 900})
    expect(tab.page.frame_locator("iframe").locator(".skip-note")).to_have_text(SKIPPED)
    assert tab.frame.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_the_table_behind_the_norm_has_both_lines_and_the_skipped_steps(page):
    tab = page()
    tab.role("button", "Table and export of Gradient norm").nth(1).click()
    with tab.page.expect_download() as download:
        tab.role("menuitem", "Save as CSV").click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text("utf-8-sig"))))
    values = {
        name: {int(row["last step"]): float(row["value"]) for row in rows if row["series"] == name}
        for name in ("before clipping", "applied", "skipped")
    }
    taken = sorted(set(range(ATTEMPTS)) - OVERFLOWS)
    assert sorted(values["before clipping"]) == sorted(values["applied"]) == taken
    assert all(values["applied"][step] <= values["before clipping"][step] * 1.00001 for step in taken)
    assert max(values["applied"].values()) == pytest.approx(0.3, rel=1e-3)
    assert max(values["before clipping"].values()) > 0.3
    assert values["skipped"] == {1: 2, 16: 5, 30: 1}


def test_the_table_behind_the_heatmap_says_which_steps_were_skipped(page):
    tab = page("flow")
    tab.heatmap("Gradient norm").focus()
    tab.page.keyboard.press("t")
    rows = tab.role("region", "Gradient norm, table").get_by_role("row")
    expect(rows.nth(1).get_by_role("cell")).to_have_text(["0", "1", "skipped", "skipped", "skipped"])
    expect(rows.nth(2).get_by_role("cell").nth(1)).to_have_text("2")


def test_the_pointer_over_a_skipped_step_says_so(page):
    tab = page("flow")
    box = tab.heatmap("Gradient norm").bounding_box()
    left, right = box["x"] + 224, box["x"] + box["width"] - 16
    x = left + (right - left) * 14.5 / ATTEMPTS  # In the middle of the steps 12 to 16.
    tab.page.mouse.move(x, box["y"] + 28 + 14)  # Over the first row.
    spoken = tab.page.frame_locator("iframe").locator("p[aria-live]")
    expect(spoken).to_contain_text("steps 12–16 skipped by the loss scaler")


def test_what_was_spent_is_plain(page, amp):
    run = amp[0].plugin_json("run", run="amp")["cost"]
    tab = page()
    button = tab.role("button", "Recording took")
    expect(button).to_contain_text("% of training time")
    button.click()
    sheet = tab.page.frame_locator("iframe").locator(".sheet")
    expect(sheet).to_contain_text("Observed nowevery step")
    expect(sheet).to_contain_text("Lostno record")
    expect(sheet.locator(".intervals li")).to_have_text(["From step 2: every step"])
    _header, arrays = decode_frame(amp[0].plugin("cost", run="amp"))
    spent = arrays["0.fraction"]
    assert spent.min() <= run["fraction"] <= spent.max()
    chart = sheet.get_by_role("application", name="Cost in % of training time")
    chart.focus()
    tab.page.keyboard.press("Home")
    expect(tab.page.frame_locator("iframe").locator("p[aria-live]")).to_contain_text("Cost in % of training time")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_all_of_it_is_accessible(page, theme):
    tab = page()
    if theme == "dark":
        tab.page.evaluate("document.body.classList.add('dark-mode')")
        tab.wait_for("() => document.documentElement.dataset.theme === 'dark'")
    tab.role("button", "Recording took").click()
    tab.page.frame_locator("iframe").locator(".intervals").wait_for()
    assert violations(tab) == []
