"""What a browser test reads of the view of dead units, and what the routes say of the same."""

import csv
import io

from playwright.sync_api import expect

from tests.support.apps import decode_frame

DEAD = 2
HOSTILE = "<img src=x onerror=alert(1)>"
LIVES = "[aria-roledescription='life lines']"


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


def layer_series(server, layer, statistic):
    """Return by last step the values of a layer of the run "units"."""
    names = [one["name"] for one in server.plugin_json("run", run="units")["layers"]]
    frame = server.plugin("series", run="units", statistic=statistic, row=names.index(layer))
    _header, arrays = decode_frame(frame)
    return dict(zip(arrays["steps"].tolist(), arrays["values"][0].tolist(), strict=True))


def listing(tab, title):
    return tab.role("region", title, exact=True)


def csv_of(tab, title):
    save = listing(tab, title).get_by_role("button", name="Save as CSV")
    expect(save).to_be_enabled()
    with tab.page.expect_download() as download:
        save.click()
    return list(csv.DictReader(io.StringIO(download.value.path().read_text(encoding="utf-8-sig"))))
