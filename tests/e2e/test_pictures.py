"""The pictures of the README: taken anew with --pictures, and otherwise looked at."""

import pytest
from PIL import Image

from tests.support.embeddingviews import DRAWN as POINTS_DRAWN
from tests.support.servers import ROOT

SIZE = {"width": 1440, "height": 900}
THEMES = {"light": "", "dark": "-dark"}
SHOWN = {
    "gradient-flow": ("overview", "raised-lr", lambda tab: tab.wait_until_drawn("Gradient norm")),
    "dead-units": ("units", "raised-lr", lambda tab: tab.wait_until_drawn("Dead units")),
    "embeddings": ("embeddings", "cnn", lambda tab: tab.wait_for(POINTS_DRAWN)),
}
"""By picture the view, the run, and how to wait for what is drawn in it."""
PICTURES = [f"{name}{ending}.png" for name in SHOWN for ending in THEMES.values()]


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", SHOWN)
def test_the_demo_makes_a_picture(open_page, server, tmp_path, pytestconfig, name, theme):
    view, run, wait_until_drawn = SHOWN[name]
    tab = open_page(server, viewport=SIZE, device_scale_factor=2)
    tab.open(view=view, run=run)
    wait_until_drawn(tab)
    if theme == "dark":
        tab.page.evaluate("document.body.classList.add('dark-mode')")
        tab.wait_for("() => document.documentElement.dataset.theme === 'dark'")
    wait_until_drawn(tab)
    folder = pytestconfig.getoption("pictures") or tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}{THEMES[theme]}.png"
    tab.frame.locator("body").screenshot(path=path)
    with Image.open(path) as picture:
        assert picture.width == 2 * SIZE["width"]
        small = picture.convert("RGB").resize((720, 450))
        assert len(small.getcolors(maxcolors=720 * 450) or ()) > 100


@pytest.mark.parametrize("name", PICTURES)
def test_the_pictures_of_the_readme_are_there(name):
    assert f"docs/images/{name}" in (ROOT / "README.md").read_text(encoding="utf-8")
    with Image.open(ROOT / "docs" / "images" / name) as picture:
        assert picture.width == 2 * SIZE["width"]
