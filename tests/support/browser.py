"""A real Chromium over a real TensorBoard. What a page complains about fails the test that opened it.

`python -m tests.support.browser` says which Chromium is used, or fails where there is none.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Dialog,
    Frame,
    Locator,
    Page,
    Request,
    ViewportSize,
    expect,
    sync_playwright,
)

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""Of Debian's, the one without a window comes first: it needs a quarter less of the processor's time."""
FLAGS = ("--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync")
IN_ONE_PROCESS = ("--process-per-site", "--renderer-process-limit=1")
"""Flags under which all pages of a profile have one process, which compiles the 6 MB of TensorBoard's page once."""
REPORT_VIOLATIONS = """
addEventListener('securitypolicyviolation', (event) =>
    console.error(`CSP: ${event.violatedDirective} blocked ${event.blockedURI}`), true);
"""
TOOLBARS_HOLD_ALL = (
    "[...document.querySelectorAll('.view-toolbar')].every((one) => one.scrollHeight <= one.clientHeight + 1)"
)
"""Tells whether toolbars are as high as their rows, so that none of them lies over what is below."""
PATIENCE = 60_000
"""Milliseconds that a page may take on a busy machine."""


def find_chromium() -> str | None:
    """Return the Chromium of $CHROMIUM, of the PATH, or of `playwright install chromium`; or None."""
    named = os.environ.get("CHROMIUM")
    if named:
        return named
    on_path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if on_path:
        return on_path
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


@contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    """Run a headless Chromium with further flags while the context lasts.

    Raises:
        RuntimeError: If there is none.
    """
    expect.set_options(timeout=PATIENCE)
    executable = find_chromium()
    if executable is None:
        raise RuntimeError(
            "no Chromium: set $CHROMIUM, install Debian's chromium, or run `playwright install chromium`"
        )
    as_root = os.name == "posix" and os.geteuid() == 0
    without_sandbox = ("--no-sandbox",) if as_root else ()  # As root Chromium has none.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=[*FLAGS, *flags, *without_sandbox])
        try:
            yield browser
        finally:
            browser.close()


class Profile:
    """What all pages of a session share: the browser's caches, and nothing that one of them stores.

    Args:
        browser: Where the pages are opened.
    """

    def __init__(self, browser: Browser) -> None:
        self._context = browser.new_context()
        self._kept = self._context.new_page()  # Its process stays, with what it has compiled.
        self._storage = self._context.new_cdp_session(self._kept)

    def open(self, viewport: ViewportSize) -> Page:
        """Open a page of this size, in pixels."""
        page = self._context.new_page()
        page.set_viewport_size(viewport)
        return page

    def close(self, page: Page, address: str) -> None:
        """Close a page, and forget whatever the server at `address` has stored."""
        page.close()
        self._context.clear_cookies()
        self._context.clear_permissions()
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(address))
        self._storage.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "all"})


class Tab:
    """TensorBoard in a page of its own, and our tab in it.

    Attributes:
        page: TensorBoard's page.
        complaints: Errors on the console, uncaught exceptions, dialogs, violations of the content security policy,
            and requests that leave the server.
    """

    def __init__(self, page: Page, server: str) -> None:
        self.page = page
        self.complaints: list[str] = []
        self._server = server
        page.set_default_timeout(PATIENCE)
        page.add_init_script(REPORT_VIOLATIONS)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        page.on("request", self._follow)
        page.on("dialog", self._refuse)

    def open(self, **selection: object) -> Tab:
        """Open TensorBoard on our tab, cold, with this selection in its address."""
        self.page.goto("about:blank")
        self.page.goto(f"{self._server}/{fragment(**selection)}")
        return self

    @property
    def frame(self) -> Frame:
        """The frame of our tab, once it is there."""
        self.page.wait_for_selector("iframe", state="attached")
        return next(frame for frame in self.page.frames if "plugin_entry" in frame.url)

    def role(self, role: Any, name: str | None = None, *, exact: bool = False) -> Locator:
        """Return what has this role and name in our tab, as a reader of the screen finds it."""
        inside = self.page.frame_locator("iframe")
        return inside.get_by_role(role, name=name, exact=exact) if name else inside.get_by_role(role)

    def heatmap(self, statistic: str) -> Locator:
        """Return the heatmap of the statistic with this label."""
        return self.page.frame_locator("iframe").locator(f'[aria-roledescription=heatmap][aria-label^="{statistic}: "]')

    def wait_for(self, script: str, argument: Any = None) -> None:
        """Wait until a function of the frame returns what is true."""
        self.frame.wait_for_function(script, arg=argument, timeout=PATIENCE)

    def wait_until_drawn(self, statistic: str) -> None:
        """Wait until the heatmap of this statistic shows more than a background and its text."""
        self.heatmap(statistic).wait_for()
        self.wait_for(COLOURS_AT_LEAST, [statistic, 4])

    def selection(self) -> dict[str, str]:
        """Return what the address says about our selection, decoded."""
        found = self.page.evaluate(
            "Object.fromEntries(location.hash.slice(1).split('&').filter((part) => part.startsWith('p.netviz.'))"
            ".map((part) => part.slice('p.netviz.'.length).split('=').map(decodeURIComponent)))"
        )
        return dict(found)

    def wait_for_selection(self, name: str, value: object) -> None:
        """Wait until the address holds this part of the selection."""
        self.page.wait_for_function(
            "([name, value]) => location.hash.split('&').includes(`p.netviz.${name}=${value}`)",
            arg=[name, quote(str(value), safe="")],
        )

    def _hear(self, message: ConsoleMessage) -> None:
        address = message.location.get("url", "")
        # TensorBoard asks for its own fonts without the prefix of its path.
        if message.type == "error" and "/font-roboto/" not in address:
            self.complaints.append(f"console: {message.text} ({address})")

    def _refuse(self, dialog: Dialog) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _follow(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme in {"http", "https", "ws", "wss"} and address.netloc != urlsplit(self._server).netloc:
            self.complaints.append(f"request to {request.url}")


COLOURS_AT_LEAST = """
([statistic, least]) => {
    const canvas = document.querySelector(`[aria-roledescription=heatmap][aria-label^="${statistic}: "] canvas`);
    if (!canvas?.width || !canvas.height) return false;
    const pixels = new Uint32Array(
        canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.buffer);
    const counts = new Map();
    for (const pixel of pixels) counts.set(pixel, (counts.get(pixel) ?? 0) + 1);
    return [...counts.values()].filter((count) => count > 200).length >= least;
}
"""


def fragment(**selection: object) -> str:
    """Return the end of an address that opens our tab on `selection`."""
    return "#" + "&".join(
        ["netviz", *(f"p.netviz.{name}={quote(str(value), safe='')}" for name, value in selection.items())]
    )


if __name__ == "__main__":
    found = find_chromium()
    sys.stdout.write(f"Browser: {found}\n" if found else "No Chromium found.\n")
    sys.exit(0 if found else 1)
