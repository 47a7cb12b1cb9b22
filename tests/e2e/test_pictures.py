"""The pictures of the README: taken anew with --pictures, and otherwise looked at."""

import pytest
from PIL import Image

from tests.support.servers import ROOT

SIZE = {"width": 1440, "height": 900}
THEMES = {"light": "", "dark": "-dark"}
DRAWN = {"gradient-flow": ("overview", "Gradient norm"), "dead-units": ("units", "Dead units")}
"""By picture the view, and the heatmap that is drawn in it."""
PICTURES = [f"{name}{ending}.png" for name in DRAWN for ending in THEMES.values()]


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", DRAWN)
def test_the_worst_run_makes_a_picture(open_page, server, tmp_path, pytestconfig, name, theme):
    view, heatmap = DRAWN[name]
    tab = open_page(server, viewport=SIZE, device_scale_factor=2)
    tab.open(view=view, run="raised-lr")
    tab.wait_until_drawn(heatmap)
    if theme == "dark":
        tab.page.evaluate("document.body.classList.add('dark-mode')")
        tab.wait_for("() => document.documentElement.dataset.theme === 'dark'")
    tab.wait_until_drawn(heatmap)
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
