"""What the tab costs a browser: the first picture of 300 layers and 1,000 records, a key and a move of the pointer.

    python -m benchmarks.first_paint

CPU time of the page's main thread in a headless Chromium without a GPU, by its DevTools (TaskDuration in thread
ticks). The tab is opened by itself, without TensorBoard's page around it; compiling the script is included.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser, CDPSession, Page

from benchmarks.runs import write_run
from tests.support.browser import chromium
from tests.support.servers import Server, tensorboard

LAYERS = 300
RECORDS = 1000
RUN = "run"
REPEATS = 5
SETTLE = 1500
"""Milliseconds after which nothing more is drawn."""
PAINTED = "performance.getEntriesByName('netviz:painted').length > 0"


def main() -> None:
    """Print the CPU time of the first picture, of moving the cursor by a step and by a layer, and of a hover."""
    with tempfile.TemporaryDirectory() as folder:
        write_run(Path(folder) / RUN, layers=LAYERS, records=RECORDS)
        with tensorboard(Path(folder)) as server, chromium() as browser:
            server.wait_for_runs(RUN)
            rounds = [measure(browser, server) for _ in range(REPEATS)]
    print("| first picture | all of the page | another step | another layer | hover |\n|---|---|---|---|---|")
    print("| " + " | ".join(f"{median(column):.0f} ms" for column in zip(*rounds, strict=True)) + " |")


def measure(browser: Browser, server: Server) -> tuple[float, float, float, float, float]:
    """Return milliseconds of CPU time in a new page."""
    context = browser.new_context(viewport={"width": 1440, "height": 836})
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    before = cpu_time(session)
    page.goto(f"{server.url}/data/plugin_entry.html?name=netviz")
    page.wait_for_function(PAINTED)
    first = cpu_time(session) - before
    page.wait_for_timeout(SETTLE)
    whole = cpu_time(session) - before
    chart = page.locator('.chart[aria-roledescription="heatmap"]')
    box = chart.bounding_box()
    assert box is not None
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.keyboard.press("End")
    step = spent(page, session, lambda _: page.keyboard.press("ArrowLeft"))
    layer = spent(page, session, lambda _: page.keyboard.press("ArrowDown"))
    hover = spent(page, session, lambda turn: page.mouse.move(middle[0] + 17 * turn, middle[1] + 7 * turn))
    context.close()
    return first, whole, step, layer, hover


def spent(page: Page, session: CDPSession, act: Callable[[int], None], turns: int = 8) -> float:
    """Return the median milliseconds that `act` costs until all is drawn, without its first turn."""
    costs = []
    for turn in range(turns):
        before = cpu_time(session)
        act(turn)
        page.wait_for_timeout(250)
        costs.append(cpu_time(session) - before)
    return median(costs[1:])


def cpu_time(session: CDPSession) -> float:
    """Return milliseconds that the main thread has worked."""
    metrics = {metric["name"]: metric["value"] for metric in session.send("Performance.getMetrics")["metrics"]}
    return float(metrics["TaskDuration"]) * 1e3


if __name__ == "__main__":
    main()
